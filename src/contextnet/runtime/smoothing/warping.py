"""Planes of cells read at moved places, and enlarged, bilinearly.

Shapes: h, w cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Places:
    """One place between cells for every cell of a plane, held at the plane's edge.

    ``corner`` is the flat index of the cell above and to the left of each place, ``below`` and ``right`` how far the
    place lies from it in cells, 0 to 1, and ``inside`` whether it lay on the plane before it was held there; all
    (h, w). ``steps`` lead in the flat plane to the next cell below and to the next on the right.
    """

    corner: NDArray[np.intp]
    below: Plane
    right: Plane
    inside: NDArray[np.bool_]
    steps: tuple[int, int]

    @classmethod
    def moved_by(cls, motion_2hw: NDArray[np.float32]) -> Places:
        """Find where each cell comes from; ``motion_2hw`` is (dy, dx) in cells."""
        _, height, width = motion_2hw.shape
        y = np.arange(height, dtype=np.float32)[:, None] + motion_2hw[0]
        x = np.arange(width, dtype=np.float32) + motion_2hw[1]
        inside = (y >= -0.5) & (y <= height - 0.5) & (x >= -0.5) & (x <= width - 0.5)
        top, below = _split(y, height)
        left, right = _split(x, width)
        top *= width
        top += left
        return cls(top, below, right, inside, (width if height > 1 else 0, 1 if width > 1 else 0))

    def read(self, plane_hw: Plane) -> Plane:
        """Read a plane at the places, float32 (h, w)."""
        flat = plane_hw.ravel()
        down, aside = self.steps
        upper = _between(flat, self.corner, aside, self.right)
        lower = _between(flat, self.corner + down, aside, self.right)
        lower -= upper
        lower *= self.below
        lower += upper
        return lower


def enlarged(plane_hw: Plane, factor: int) -> Plane:
    """Enlarge a plane, float32 (``factor`` h, ``factor`` w): half-pixel centres, edges held."""
    if factor == 1:
        return plane_hw
    rows = np.empty((factor * plane_hw.shape[0], plane_hw.shape[1]), np.float32)
    _fill_between(rows, plane_hw, factor)
    enlarged_hw = np.empty((rows.shape[0], factor * plane_hw.shape[1]), np.float32)
    _fill_between(enlarged_hw.T, rows.T, factor)
    return enlarged_hw


def _fill_between(finer: Plane, plane: Plane, factor: int) -> None:
    """Fill ``finer`` with ``factor`` rows for each row of a plane."""
    padded = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
    steps = padded[1:] - padded[:-1]
    for phase in range(factor):
        # Counted from the row above the one that this row is in.
        above, share = divmod((phase + 0.5) / factor + 0.5, 1)
        first = int(above)
        rows = finer[phase::factor]
        np.multiply(steps[first : first + len(plane)], np.float32(share), out=rows)
        rows += padded[first : first + len(plane)]


def _split(along: Plane, length: int) -> tuple[NDArray[np.intp], Plane]:
    """Split places along one side into the cell before each and the rest, changing ``along``."""
    np.clip(along, 0, length - 1, out=along)
    # The last cell is read as a whole step from the one before it.
    cells = np.minimum(along.astype(np.intp), max(length - 2, 0))
    along -= cells.astype(np.float32)
    return cells, along


def _between(flat: Plane, cells: NDArray[np.intp], step: int, share: Plane) -> Plane:
    # No cell is out of range; "clip" only spares looking.
    first = flat.take(cells, mode="clip")
    second = flat.take(cells + step, mode="clip")
    second -= first
    second *= share
    second += first
    return second
