"""Prediction at several scales and mirrored: every view is scored, and their class probabilities are averaged.

Each view's scores are brought back to the size of the image before the soft-max, so the average is taken pixel by
pixel at full size. Every resize is the project's: bilinear, half-pixel centres, no antialiasing.

Tensors are (1, C, H, W): C is the number of classes; H, W are height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from contextnet.models.score_field import ScoreField, ScoreSource, label_image, probabilities


class MultiScalePredictor:
    """Labels images of any size by the average over scales, with and without mirroring.

    ``scales`` multiply height and width. With one view, its scores are taken as they are.
    """

    def __init__(self, source: ScoreSource, scales: Sequence[float] = (1.0,), flip: bool = False) -> None:
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales {list(scales)}; at least one is needed, all of them above 0")
        self._source = source
        self._scales = tuple(scales)
        self._flip = flip

    @property
    def device(self) -> torch.device:
        """Where the source is."""
        return self._source.device

    def field(self, image_13HW: Tensor) -> ScoreField:
        """Score every view of an image, uint8 or float (1, 3, H, W) RGB of 0…255."""
        views = tuple(self._views(image_13HW))
        return views[0] if len(views) == 1 else MeanScores(views)

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        return label_image(self, image_HW3)

    def _views(self, image_13HW: Tensor) -> Iterator[ScoreField]:
        size_hw = (image_13HW.shape[-2], image_13HW.shape[-1])
        for scale in self._scales:
            scaled = _resize(image_13HW, _scaled_size(size_hw, scale))
            yield _at_size(self._source.field(scaled), size_hw)
            if self._flip:
                yield _at_size(MirroredScores(self._source.field(scaled.flip(-1))), size_hw)


@dataclass(frozen=True, eq=False)
class MirroredScores:
    """A field seen in the mirror, left for right."""

    inner: ScoreField

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the inner field."""
        return self.inner.size_hw

    @property
    def are_probabilities(self) -> bool:
        """As the inner field."""
        return self.inner.are_probabilities

    @property
    def values_per_row(self) -> int:
        """The inner field's row, and its mirror image."""
        return 2 * self.inner.values_per_row

    def rows(self, first: int, last: int) -> Tensor:
        """Give these rows of the inner field from right to left."""
        return self.inner.rows(first, last).flip(-1)


@dataclass(frozen=True, eq=False)
class ResizedScores:
    """A field brought to another size."""

    inner: ScoreField
    size_hw: tuple[int, int]

    @property
    def are_probabilities(self) -> bool:
        """As the inner field: a weighted mean of probabilities is one."""
        return self.inner.are_probabilities

    @property
    def values_per_row(self) -> int:
        """The inner rows that one row stands for, these at the new width, and the row with its neighbour."""
        inner, inner_rows = self.inner.values_per_row, -(-self.inner.size_hw[0] // self.size_hw[0])
        own = -(-inner * self.size_hw[1] // self.inner.size_hw[1])
        return inner_rows * (inner + own) + 2 * own

    def rows(self, first: int, last: int) -> Tensor:
        """Interpolate along the width, then between the two inner rows nearest to each row."""
        height = self.inner.size_hw[0]
        position = (np.arange(first, last) + 0.5) * (height / self.size_hw[0]) - 0.5
        position = position.clip(0, height - 1)
        above = np.floor(position).astype(np.int64)
        below = np.minimum(above + 1, height - 1)
        start = int(above[0])
        inner = self.inner.rows(start, int(below[-1]) + 1)
        inner = _resize(inner, (inner.shape[-2], self.size_hw[1]))
        weight = torch.from_numpy(position - above).to(inner)[:, None]
        upper = inner.index_select(2, torch.from_numpy(above - start).to(inner.device))
        return upper.lerp_(inner.index_select(2, torch.from_numpy(below - start).to(inner.device)), weight)


@dataclass(frozen=True, eq=False)
class MeanScores:
    """The class probabilities of several fields of one size, averaged pixel by pixel."""

    fields: tuple[ScoreField, ...]
    are_probabilities: bool = True

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width that all fields have."""
        return self.fields[0].size_hw

    @property
    def values_per_row(self) -> int:
        """The largest row of a field, and the sum."""
        return 2 * max(field.values_per_row for field in self.fields)

    def rows(self, first: int, last: int) -> Tensor:
        """Average the probabilities of these rows."""
        total = probabilities(self.fields[0], first, last)
        for field in self.fields[1:]:
            total += probabilities(field, first, last)
        return total / len(self.fields)


def _scaled_size(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """Multiply height and width, to the nearest pixel, halves up, and at least one."""
    height, width = (max(1, int(side * scale + 0.5)) for side in size_hw)
    return height, width


def _at_size(field: ScoreField, size_hw: tuple[int, int]) -> ScoreField:
    return field if field.size_hw == size_hw else ResizedScores(field, size_hw)


def _resize(pixels_1CHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bring an image or scores to a size; the very same tensor where they have it."""
    if tuple(pixels_1CHW.shape[-2:]) == size_hw:
        return pixels_1CHW
    return F.interpolate(pixels_1CHW.float(), size_hw, mode="bilinear", align_corners=False)
