"""The motion between two pictures, one vector a cell, from coarse to fine.

At every level the vectors are corrected a few times by the step that best explains what is left between the two
pictures in a window around each cell (Lucas and Kanade 1981), held to the mean of the vectors around it where the
window shows little structure (combined local-global, Bruhn, Weickert and Schnörr 2005). Pixels that differ much count
little: they were hidden or belong to another object.

Shapes: h, w cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contextnet.runtime.smoothing.brightness import halved
from contextnet.runtime.smoothing.warping import Places, Plane

Motion = NDArray[np.float32]
"""Where each cell's content was in the frame before: (dy, dx) in cells, float32 (2, h, w)."""

WINDOW_RADIUS_CELLS = 2
"""Windows are means over 5×5 cells taken twice: 9×9 cells that count less outward. After a single mean, whose response
to some ripples is negative, every correction would make these ripples of the vectors larger."""

AROUND_RADIUS_CELLS = 3
"""The means that vectors are held to are those of 7×7 cells."""

STIFFNESS = 16.0
"""The mean square of the slopes, in grey levels a cell, that weighs as much as the mean of the vectors around."""

OUTLIER_LEVELS = 16.0
"""The difference in grey levels at which a cell counts half."""

CORRECTIONS = 2
FINEST_CORRECTIONS = 3


def estimate_motion(now: Sequence[Plane], before: Sequence[Plane], guess: Motion | None = None) -> Motion:
    """Find where each cell was in the frame before, from the ``pyramid`` of both pictures.

    ``guess`` is the motion of the frame before, of the finest level's size: what moves steadily is then followed
    further than the coarsest level reaches.
    """
    motion = np.zeros((2, *now[-1].shape), np.float32) if guess is None else _coarsened(guess, len(now) - 1)
    for level in reversed(range(len(now))):
        if motion.shape[1:] != now[level].shape:
            motion = _refined(motion, now[level].shape)
        for _ in range(CORRECTIONS if level else FINEST_CORRECTIONS):
            motion = _corrected(motion, now[level], before[level])
    return motion


def _corrected(motion: Motion, now_hw: Plane, before_hw: Plane) -> Motion:
    """Move every vector by one Lucas–Kanade step."""
    places = Places.moved_by(motion)
    moved = places.read(before_hw)
    # The slopes of both pictures together place the step's linear model halfway between them.
    slope_y, slope_x = _slopes(np.float32(0.5) * (now_hw + moved))
    difference = now_hw - moved
    # What came in from outside has nothing to be compared with.
    trust = places.inside / (1 + np.square(difference / np.float32(OUTLIER_LEVELS)))
    steep_y, steep_x = trust * slope_y, trust * slope_x
    products = (steep_y * slope_y, steep_y * slope_x, steep_x * slope_x, steep_y * difference, steep_x * difference)
    yy, yx, xx, y_left, x_left = _windowed(np.stack(products))
    pull = np.float32(STIFFNESS) * (box_mean(motion, AROUND_RADIUS_CELLS) - motion)
    yy += np.float32(STIFFNESS)
    xx += np.float32(STIFFNESS)
    y_left += pull[0]
    x_left += pull[1]
    steps = np.stack([xx * y_left - yx * x_left, yy * x_left - yx * y_left])
    steps /= yy * xx - yx * yx
    steps += motion
    return steps


def box_mean(planes_Khw: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Average each plane over squares of ``2 * radius + 1`` cells, edges repeated."""
    padded = np.pad(planes_Khw, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    height, width = planes_Khw.shape[1:]
    side = 2 * radius + 1
    rows = padded[:, :height].copy()
    for offset in range(1, side):
        rows += padded[:, offset : offset + height]
    sums = rows[:, :, :width].copy()
    for offset in range(1, side):
        sums += rows[:, :, offset : offset + width]
    sums *= np.float32(1 / side**2)
    return sums


def _windowed(planes_Khw: NDArray[np.float32]) -> NDArray[np.float32]:
    return box_mean(box_mean(planes_Khw, WINDOW_RADIUS_CELLS), WINDOW_RADIUS_CELLS)


def _slopes(plane_hw: Plane) -> tuple[Plane, Plane]:
    """Give the slopes downward and to the right, in levels a cell; none at the edge, where one neighbour is missing."""
    down, aside = np.zeros_like(plane_hw), np.zeros_like(plane_hw)
    down[1:-1] = plane_hw[2:] - plane_hw[:-2]
    aside[:, 1:-1] = plane_hw[:, 2:] - plane_hw[:, :-2]
    down *= np.float32(0.5)
    aside *= np.float32(0.5)
    return down, aside


def _coarsened(motion: Motion, levels: int) -> Motion:
    for _ in range(levels):
        motion = np.float32(0.5) * np.stack([halved(motion[0]), halved(motion[1])])
    return motion


def _refined(motion: Motion, size_hw: tuple[int, ...]) -> Motion:
    """Give each of 2×2 finer cells its vector, in finer cells."""
    height, width = size_hw
    return np.float32(2) * motion.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
