"""Smoothing along the motion: each score is averaged with that of the same surface in the frame before.

The motion is that of cells of 8×8 pixels, whatever the network's stride; finer scores each move by what lies between
the motion of the cells around them.

Shapes: C classes; h, w scores of a class, or cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.runtime.score_grid import require_fit
from contextnet.runtime.smoothing.brightness import CELL_PIXELS, cell_brightness, pyramid
from contextnet.runtime.smoothing.motion_estimate import Motion, box_mean, estimate_motion
from contextnet.runtime.smoothing.warping import Places, Plane, enlarged

WEIGHT = 0.7
"""Chosen on drawn streets: more takes away more flicker, but at 512×1024 mIoU falls."""

UNEXPLAINED_LEVELS = 12.0
"""The difference between the moved picture and the present one, in grey levels, that halves the weight."""


@dataclass(frozen=True, eq=False)
class _Before:
    """What is kept of the frame before; no motion of the first one."""

    scores: NDArray[np.float32]
    levels: tuple[Plane, ...]
    motion: Motion | None


class AlongMotion:
    """Mixes scores with those of the place that their surface comes from.

    ``weight``, 0 to below 1, is the share of the frames before where the motion explains the picture; where it does
    not, because something was hidden or is matched wrongly, the share is less, and none where the place lay outside.
    ``stride`` is how many pixels a score spans each way: 1, 4 or 8.
    """

    def __init__(self, weight: float = WEIGHT, *, stride: int) -> None:
        if not 0 <= weight < 1:
            raise ValueError(f"weight {weight} of the frames before; 0 to below 1 is possible")
        self._weight = weight
        self._stride = stride
        self._before: _Before | None = None

    def smooth(self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give steadier scores; the image tells the motion.

        Raises ``ValueError`` when scores, image and stride do not fit together.
        """
        _, height, width = scores_CHW.shape
        require_fit((height, width), image_HW3.shape[:2], self._stride)
        cells_hw = (-(-self._stride * height // CELL_PIXELS), -(-self._stride * width // CELL_PIXELS))
        levels = pyramid(cell_brightness(image_HW3, cells_hw))
        before, motion = self._before, None
        if before is not None and before.scores.shape == scores_CHW.shape:
            motion = estimate_motion(levels, before.levels, before.motion)
            places = Places.moved_by(motion)
            unexplained_hw = _unexplained(places, levels[0], before.levels[0])
            if self._stride != CELL_PIXELS:
                factor = CELL_PIXELS // self._stride
                finer = [enlarged(plane, factor)[:height, :width] for plane in (*motion, unexplained_hw)]
                places = Places.moved_by(np.float32(factor) * np.stack(finer[:2]))
                unexplained_hw = finer[2]
            scores_CHW = _mixed(scores_CHW, before.scores, places, self._share(places, unexplained_hw))
        self._before = _Before(scores_CHW, levels, motion)
        return scores_CHW

    def reset(self) -> None:
        """Forget the frames before."""
        self._before = None

    def _share(self, places: Places, unexplained_hw: Plane) -> Plane:
        """Give the share of the frame before in each score, float32 (h, w)."""
        share_hw: Plane = places.inside * np.float32(self._weight)
        share_hw /= 1 + np.square(unexplained_hw / np.float32(UNEXPLAINED_LEVELS))
        return share_hw


def _unexplained(places: Places, now_hw: Plane, before_hw: Plane) -> Plane:
    """Give by how much the moved picture differs from the present one around each cell, float32 (h, w) grey levels."""
    unexplained_hw: Plane = box_mean(np.abs(now_hw - places.read(before_hw))[None], 1)[0]
    return unexplained_hw


def _mixed(
    now_Chw: NDArray[np.float32], before_Chw: NDArray[np.float32], places: Places, share_hw: Plane
) -> NDArray[np.float32]:
    """Average scores with the moved ones, class by class, whose planes stay in the processor's cache."""
    mixed_Chw = np.empty_like(now_Chw)
    for mixed_hw, now_hw, before_hw in zip(mixed_Chw, now_Chw, before_Chw, strict=True):
        moved_hw = places.read(before_hw)
        moved_hw -= now_hw
        moved_hw *= share_hw
        np.add(moved_hw, now_hw, out=mixed_hw)
    return mixed_Chw
