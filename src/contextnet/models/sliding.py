"""Prediction in overlapping windows, for images larger than a network can take or was trained on.

Tensors are (1, C, H, W): C is the number of classes; H, W are height and width in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.models.score_field import ScoreField, ScoreSource, label_image, probabilities


class SlidingPredictor:
    """Labels images of any size window by window; where windows overlap, their class probabilities are averaged.

    Windows are ``window_hw`` pixels and neighbours share ``overlap`` (0 up to, not including, 1) of their side or
    more. An image that is smaller one way has windows as small that way; one that fits into a window is labelled
    whole, and then the scores are taken as they are.
    """

    def __init__(self, source: ScoreSource, window_hw: tuple[int, int], overlap: float) -> None:
        if min(window_hw) < 1 or not 0 <= overlap < 1:
            raise ValueError(f"windows {window_hw} with overlap {overlap}; sides are 1 or more, overlap 0 to below 1")
        self._source = source
        self._window_hw = window_hw
        self._overlap = overlap

    @property
    def device(self) -> torch.device:
        """Where the source is."""
        return self._source.device

    def field(self, image_13HW: Tensor) -> ScoreField:
        """Score every window of an image, uint8 or float (1, 3, H, W) RGB of 0…255."""
        size_hw = (image_13HW.shape[-2], image_13HW.shape[-1])
        height, width = (min(window, side) for window, side in zip(self._window_hw, size_hw, strict=True))
        windows = tuple(
            Window(top, left, self._source.field(image_13HW[..., top : top + height, left : left + width]))
            for top in window_starts(size_hw[0], height, self._overlap)
            for left in window_starts(size_hw[1], width, self._overlap)
        )
        return windows[0].scores if len(windows) == 1 else WindowedScores(windows, size_hw)

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        return label_image(self, image_HW3)


def window_starts(length_px: int, window_px: int, overlap: float) -> list[int]:
    """Place windows along one side, the fewest that share ``overlap`` of ``window_px``, to the nearest pixel, or more.

    The first begins at 0, the last ends at ``length_px``, and the others are spread evenly between them.
    """
    if window_px >= length_px:
        return [0]
    step = max(1, round(window_px * (1 - overlap)))
    rest = length_px - window_px
    gaps = -(-rest // step)
    return [index * rest // gaps for index in range(gaps + 1)]


@dataclass(frozen=True, eq=False)
class Window:
    """The scores of one window and the pixel of the image at which it begins."""

    top: int
    left: int
    scores: ScoreField


@dataclass(frozen=True, eq=False)
class WindowedScores:
    """The class probabilities of windows that cover an image, averaged where several lie over a pixel."""

    windows: tuple[Window, ...]
    size_hw: tuple[int, int]
    are_probabilities: bool = True

    @property
    def values_per_row(self) -> int:
        """The row, and one window's scores and probabilities."""
        window = self.windows[0].scores
        return window.values_per_row * (2 + -(-self.size_hw[1] // window.size_hw[1]))

    def rows(self, first: int, last: int) -> Tensor:
        """Sum the probabilities of the windows that reach into these rows, and divide by how many lie over a pixel."""
        total: Tensor | None = None
        for window in self.windows:
            height, width = window.scores.size_hw
            top, bottom = max(first, window.top), min(last, window.top + height)
            if top >= bottom:
                continue
            part = probabilities(window.scores, top - window.top, bottom - window.top)
            if total is None:
                total = part.new_zeros((1, part.shape[1], last - first, self.size_hw[1]))
                count = part.new_zeros((last - first, self.size_hw[1]))
            total[:, :, top - first : bottom - first, window.left : window.left + width] += part
            count[top - first : bottom - first, window.left : window.left + width] += 1
        assert total is not None, "the windows cover every row"
        return total / count
