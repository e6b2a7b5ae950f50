"""Outlines of a mask along the edges of its pixels, exact: filled, they give the mask back.

Points are (x, y) whole pixels from the image's top-left corner, x to the right and y down: the pixel of row 0 and
column 0 has the corners (0, 0), (1, 0), (1, 1), (0, 1). Only corners are kept, no point between two others on a line.

A region is 4-connected: pixels that touch at a corner alone belong to two polygons, whose rings meet there. Where two
pixels of one region touch so, around a gap, the gap is a hole whose ring meets another ring of the region there. So no
ring comes to a point twice, and the polygons are simple as OGC and GeoJSON mean it.

Outer rings run counter-clockwise and holes clockwise as GeoJSON counts it, with y upward: the shoelace sum
½ Σ (x₁ y₂ − x₂ y₁) is positive for outer rings and negative for holes. On the screen, with y down, the outer rings run
clockwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """One region: its outer ring, then its holes, each int64 (K, 2) of (x, y) with the first point again at the end.

    ``area_px`` is the number of its pixels, which is the area within the outer ring less that of the holes.
    """

    rings: tuple[_Ints, ...]
    area_px: int

    def coordinates(self) -> list[list[list[int]]]:
        """Give the coordinates of a GeoJSON Polygon, plain lists."""
        return [ring.tolist() for ring in self.rings]


def trace_polygons(mask_HW: NDArray[np.bool_], min_area_px: int = 1) -> tuple[Polygon, ...]:
    """Outline the regions of a mask, bool (H, W), of at least ``min_area_px`` pixels, the topmost first.

    Holes are kept, however small.
    """
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not rows.size:
        return ()
    top, left = int(rows[0]), int(columns[0])
    padded = np.pad(mask_HW[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.bool_, copy=False), 1)
    corners = _find_corners(padded)
    rings = _Rings.of(_follow(corners.successors.tolist(), corners.twins.tolist()), corners)
    outer_of = _outer_rings(rings, corners, padded)
    areas = np.zeros(len(outer_of), np.int64)
    np.add.at(areas, outer_of, rings.signed_areas)
    parts: dict[int, list[_Ints]] = {i: [] for i in np.flatnonzero(areas >= max(1, min_area_px)).tolist()}
    # Outer rings first: each opens the list of its polygon.
    for ring in np.argsort(rings.signed_areas < 0, kind="stable").tolist():
        owner = int(outer_of[ring])
        if owner in parts:
            parts[owner].append(rings.points(ring) + np.array([left, top]))
    return tuple(Polygon(tuple(points), int(areas[owner])) for owner, points in parts.items())


@dataclass(frozen=True, eq=False)
class _Corners:
    """The points at which outlines turn, by rows; where two pixels touch at a corner alone, a point stands twice.

    ``successors`` is the next corner with the region on the right-hand side of the way on the screen, each pixel of a
    twice-standing point kept to itself; ``twins`` is the other corner of such a point, -1 for all others.
    ``by_column`` orders the corners by columns, in which two and two of them bound a vertical edge; ``column_keys``
    are (x × ``height`` + y) × 2 in that order, and one more for the second of two at the same point.
    """

    x: _Ints
    y: _Ints
    successors: _Ints
    twins: _Ints
    by_column: _Ints
    column_keys: _Ints
    height: int


def _find_corners(padded: NDArray[np.bool_]) -> _Corners:
    """Find the corners of a mask with a margin of one empty pixel; point (x, y) is the corner of four pixels."""
    beside, below = padded[:, 1:] != padded[:, :-1], padded[1:] != padded[:-1]
    y, x = np.nonzero((beside[1:] | beside[:-1]) & (below[:, 1:] | below[:, :-1]))
    double = (padded[y, x] == padded[y + 1, x + 1]) & (padded[y, x + 1] == padded[y + 1, x])
    repeats = 1 + double
    x, y, double = np.repeat(x, repeats), np.repeat(y, repeats), np.repeat(double, repeats)
    northwest, northeast, southeast = padded[y, x], padded[y, x + 1], padded[y + 1, x + 1]
    index = np.arange(len(x))
    # In a row, two and two corners bound a horizontal edge: every first one's goes east, every second one's west.
    is_second = index % 2 == 1
    # The edges of a point that stands twice are paired around its two pixels. The first of its corners in the row has
    # the edge to the west, and with it the one to the north if the pixel in the northwest is set.
    height = padded.shape[0] - 1
    column_keys = (x * height + y) * 2 + (is_second == northeast)
    by_column = np.argsort(column_keys)
    vertical = np.empty_like(index)
    vertical[by_column] = by_column.reshape(-1, 2)[:, ::-1].ravel()
    # Edges above the region are walked to the east, those below it to the west.
    leaves_along_row = np.where(is_second, northwest, southeast)
    successors = np.where(leaves_along_row, index ^ 1, vertical)
    twins = np.where(double, np.where(is_second, index + 1, index - 1), -1)
    return _Corners(x, y, successors, twins, by_column, column_keys[by_column], height)


def _follow(successors: Sequence[int], twins: Sequence[int]) -> list[list[int]]:
    """Walk every ring once, cutting it in two where it comes to a point again."""
    done = bytearray(len(successors))
    depths = [-1] * len(successors)
    rings = []
    for start in range(len(successors)):
        path: list[int] = []
        corner = start
        while not done[corner]:
            done[corner] = 1
            twin = twins[corner]
            if twin >= 0:
                depth = depths[twin]
                # The twin may be on a ring that was finished or cut off before.
                if 0 <= depth < len(path) and path[depth] == twin:
                    rings.append(path[depth:])
                    del path[depth:]
                depths[corner] = len(path)
            path.append(corner)
            corner = successors[corner]
        if path:
            rings.append(path)
    return rings


@dataclass(frozen=True, eq=False)
class _Rings:
    """Closed rings one after another: their points, where each begins and ends, and each corner's ring."""

    x: _Ints
    y: _Ints
    firsts: _Ints
    lasts: _Ints
    ring_of_corner: _Ints
    signed_areas: _Ints

    @classmethod
    def of(cls, paths: Sequence[Sequence[int]], corners: _Corners) -> _Rings:
        lengths = np.array([len(path) + 1 for path in paths])
        flat = np.fromiter(chain.from_iterable((*path, path[0]) for path in paths), np.int64, int(lengths.sum()))
        x, y = corners.x[flat], corners.y[flat]
        lasts = np.cumsum(lengths) - 1
        firsts = lasts - lengths + 1
        ring_of_corner = np.empty(len(corners.x), np.int64)
        ring_of_corner[flat] = np.repeat(np.arange(len(paths)), lengths)
        sums = np.concatenate([[0], np.cumsum(x[:-1] * y[1:] - x[1:] * y[:-1])])
        return cls(x, y, firsts, lasts, ring_of_corner, (sums[lasts] - sums[firsts]) // 2)

    def points(self, ring: int) -> _Ints:
        among = slice(self.firsts[ring], self.lasts[ring] + 1)
        return np.stack([self.x[among], self.y[among]], axis=1)


def _outer_rings(rings: _Rings, corners: _Corners, padded: NDArray[np.bool_]) -> _Ints:
    """Give the outer ring of the region of every ring.

    From the leftmost edge of a hole, the pixels of its region go on to the left up to another edge of the region. The
    ring through the upper end of that edge reaches farther left than the hole, so from ring to ring this ends at the
    outer one.
    """
    outer_of = np.arange(len(rings.firsts))
    holes = np.flatnonzero(rings.signed_areas < 0)
    if not holes.size:
        return outer_of
    leftmost = np.minimum.reduceat(rings.x * corners.height + rings.y, rings.firsts)[holes]
    x, y = np.divmod(leftmost, corners.height)
    width = padded.shape[1]
    run_starts = np.flatnonzero(padded[1:, 1:] & ~padded[1:, :-1])
    starts = run_starts[np.searchsorted(run_starts, y * (width - 1) + x) - 1]
    start_x = starts % (width - 1)
    # Of a point that stands twice, the second corner in its column is the one with the edge to the south.
    upper_end = np.searchsorted(corners.column_keys, (start_x * corners.height + y) * 2 + 1, side="right") - 1
    outer_of[holes] = rings.ring_of_corner[corners.by_column[upper_end]]
    while not np.array_equal(farther := outer_of[outer_of], outer_of):
        outer_of = farther
    return outer_of
