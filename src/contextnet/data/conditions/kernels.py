"""What becomes of a point of light in a lens out of focus, and behind a shutter while it moves.

A kernel is float32 (K, L), K and L odd, its centre in the middle; its values add up to 1.
"""

from __future__ import annotations

from math import ceil, cos, sin

import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]

_STEPS = 16
"""Into how many parts a pixel is cut each way."""


def disc(radius_px: float) -> Kernel:
    """Spread a point over a disc; each pixel has the share of the disc's area that lies in it."""
    radius = max(radius_px, 0.5)  # a smaller disc lies in one pixel as well
    reach = ceil(radius - 0.5)
    side = 2 * reach + 1
    offsets = (np.arange(side * _STEPS) + 0.5) / _STEPS - side / 2
    inside = offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius**2
    shares = inside.reshape(side, _STEPS, side, _STEPS).sum(axis=(1, 3))
    kernel: Kernel = (shares / shares.sum()).astype(np.float32)
    return kernel


def line(length_px: float, angle: float) -> Kernel:
    """Spread a point evenly along a line; ``angle`` in radians, 0 along a row, a quarter turn along a column.

    The line is as wide as a pixel: each of its points is shared among the four nearest pixels.
    """
    reach = max(1, ceil(length_px / 2))
    count = max(1, ceil(length_px * _STEPS))
    along = ((np.arange(count) + 0.5) / count - 0.5) * length_px
    rows, columns = along * sin(angle) + reach, along * cos(angle) + reach
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = rows - top, columns - left
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for y, share_y in ((top, 1 - down), (top + 1, down)):
        for x, share_x in ((left, 1 - right), (left + 1, right)):
            np.add.at(kernel, (y, x), share_y * share_x / count)
    return kernel.astype(np.float32)
