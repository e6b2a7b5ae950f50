"""The brightness of a picture, cell by cell of 8×8 pixels, and coarser and coarser.

Shapes: H, W pixels; h, w cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contextnet.runtime.smoothing.warping import Plane

CELL_PIXELS = 8
"""Pixels along a cell, whatever the network's stride: what the motion's constants were chosen on."""

MIN_HALVED_CELLS = 16


def cell_brightness(image_HW3: NDArray[np.uint8], cells_hw: tuple[int, int]) -> Plane:
    """Give the mean green of each cell, float32 (h, w) of 0 to 255, edges repeated where the cells reach beyond.

    Half of a cell's pixels are read, in the pattern of a chessboard. Raises ``ValueError`` when the picture is larger
    than the cells.
    """
    green_HW = image_HW3[..., 1]
    beyond = [CELL_PIXELS * cells - pixels for cells, pixels in zip(cells_hw, green_HW.shape, strict=True)]
    if min(beyond) < 0:
        raise ValueError(f"a picture of {green_HW.shape} for {cells_hw} cells of {CELL_PIXELS}×{CELL_PIXELS}")
    if any(beyond):
        green_HW = np.pad(green_HW, [(0, beyond[0]), (0, beyond[1])], mode="edge")
    pairs = np.add(green_HW[0::2, 0::2], green_HW[1::2, 1::2], dtype=np.uint16).astype(np.float32)
    return halved(halved(pairs)) * np.float32(0.5)


def halved(plane_hw: Plane) -> Plane:
    """Give the means of 2×2 cells, the last row and column repeated where their number is odd."""
    height, width = plane_hw.shape
    if height % 2 or width % 2:
        plane_hw = np.pad(plane_hw, ((0, height % 2), (0, width % 2)), mode="edge")
    rows = plane_hw[0::2] + plane_hw[1::2]
    means = rows[:, 0::2] + rows[:, 1::2]
    means *= np.float32(0.25)
    return means


def pyramid(plane_hw: Plane) -> tuple[Plane, ...]:
    """Halve a plane until its shorter side is below 16 cells; the finest comes first."""
    levels = [plane_hw]
    while min(levels[-1].shape) >= MIN_HALVED_CELLS:
        levels.append(halved(levels[-1]))
    return tuple(levels)
