"""Flicker: how often the label of a surface changes from one frame to the next although the surface does not.

The share of followed pixels that keep their label is what the literature calls temporal consistency. Varghese et al.
2020 (mTC, "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated Driving") and Lai et al.
2018 (warping error, "Learning Blind Video Temporal Consistency") follow surfaces along an estimated motion; here the
motion and what hides what are known, so the ground truth's own flicker is 0 and every change is the network's.

Shapes: H, W pixels; K of them followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError


@dataclass(frozen=True, eq=False)
class FollowedPixels:
    """The pixels of a frame whose surface was seen in the frame before, as flat indices (K,) into both frames.

    ``size_hw`` is that of the frames.
    """

    now: NDArray[np.intp]
    before: NDArray[np.intp]
    size_hw: tuple[int, int]


def follow_pixels(
    motion_HW2: NDArray[np.float32], objects_HW: NDArray[np.int32], objects_before_HW: NDArray[np.int32]
) -> FollowedPixels:
    """Look every pixel's surface up in the frame before, at the nearest pixel.

    ``motion_HW2`` is the true backward flow (dy, dx) in pixels, NaN where it is not known; ``objects_HW`` and
    ``objects_before_HW`` number what each pixel truly shows, label and instance. Pixels of unknown motion, those that
    come from outside the picture, and those that look up another object, because theirs was hidden, are left out.
    Raises ``DataError`` when the sizes differ.
    """
    height, width = objects_HW.shape
    _require_size(motion_HW2.shape[:2], (height, width), "motion")
    _require_size(objects_before_HW.shape, (height, width), "frame before")
    now = np.flatnonzero(np.isfinite(motion_HW2).all(axis=2))
    moved = np.rint(motion_HW2.reshape(-1, 2)[now]).astype(np.intp)
    # Rows and columns are whole, so rounding the motion rounds the place.
    rows, columns = now // width + moved[:, 0], now % width + moved[:, 1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    now, before = now[inside], rows[inside] * width + columns[inside]
    same = objects_HW.ravel()[now] == objects_before_HW.ravel()[before]
    return FollowedPixels(now[same], before[same], (height, width))


class Flicker:
    """Counts label changes over pairs of consecutive frames, of one film or several.

    ``changed_px`` of the ``followed_px`` pixels had another label in the frame before; ``all_px`` are all pixels.
    """

    def __init__(self) -> None:
        self.changed_px = 0
        self.followed_px = 0
        self.all_px = 0

    def update(
        self, labels_HW: NDArray[np.uint8], labels_before_HW: NDArray[np.uint8], followed: FollowedPixels
    ) -> None:
        """Add a pair of frames, given their predicted train ids. Raises ``DataError`` when the sizes differ."""
        _require_size(labels_HW.shape, followed.size_hw, "prediction")
        _require_size(labels_before_HW.shape, followed.size_hw, "prediction before")
        changed = labels_HW.ravel()[followed.now] != labels_before_HW.ravel()[followed.before]
        self.changed_px += int(np.count_nonzero(changed))
        self.followed_px += len(followed.now)
        self.all_px += labels_HW.size

    @property
    def share(self) -> float:
        """Share of the followed pixels whose label changed, 0 to 1; NaN before any was followed."""
        return self.changed_px / self.followed_px if self.followed_px else math.nan

    @property
    def followed_share(self) -> float:
        """Share of all pixels that could be followed, 0 to 1; NaN before any pair of frames."""
        return self.followed_px / self.all_px if self.all_px else math.nan


def _require_size(found: tuple[int, ...], expected_hw: tuple[int, int], what: str) -> None:
    if found != expected_hw:
        size, frame = (" × ".join(map(str, lengths)) for lengths in (found, expected_hw))
        raise DataError(f"the {what} is {size} pixels and the frame {frame}; both must have the same size")
