"""The image that is measured on: a drawn street, so that the labels have a street's boundaries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contextnet.benchmark.own_process import draw_apart
from contextnet.data.synthetic.dataset import drives_for
from contextnet.data.synthetic.drive import MAX_SIDE_PX, MIN_SIDE_PX, Drive
from contextnet.errors import ContextNetError


def draw_street(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw a street, uint8 (H, W, 3) RGB, always the same for a size.

    It is drawn in a process of its own, so that the memory this takes is not the engine's. Raises ``ContextNetError``
    for a size that no street is drawn in, and when the drawing process dies.
    """
    require_drawable(size_hw)
    drive = drives_for("demo", 1, size_hw)[0]
    return draw_apart(size_hw, _first_image, drive)


def require_drawable(size_hw: tuple[int, int]) -> None:
    """Raise ``ContextNetError`` for a size that no street is drawn in."""
    if not MIN_SIDE_PX <= min(size_hw) <= max(size_hw) <= MAX_SIDE_PX:
        raise ContextNetError(
            f"size {size_hw[0]}x{size_hw[1]}: the street that is labelled is {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels "
            "high and wide; give a size in this range"
        )


def _first_image(drive: Drive) -> NDArray[np.uint8]:
    return drive.frame(0).image
