"""The class scores of every pixel of one image, made band by band, so that they never exist all at once.

A large image's scores at full size are the largest thing a prediction would hold: 19 float32 for every pixel. A field
keeps what they are made from, the network's coarser output, and gives any band of rows as it would stand in the whole.

Tensors are (1, C, H, W): C is the number of classes; H, W are height and width in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.models.resize import upscale
from contextnet.runtime.labelling import label_scores

BAND_VALUES = 1 << 24
"""How many scores a band may hold at a time, steps on the way included: 64 MiB of float32."""

_ROWS_TOGETHER = 8
"""Bands are as many rows or multiples of them, which are whole cells at every stride."""


class ScoreField(Protocol):
    """Scores of every pixel of an image, in rows when asked for them."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def are_probabilities(self) -> bool:
        """Whether the scores are probabilities, which sum to 1 at every pixel; otherwise a soft-max makes them so."""
        ...

    @property
    def values_per_row(self) -> int:
        """How many values are held at a time to make one row."""
        ...

    def rows(self, first: int, last: int) -> Tensor:
        """Give the scores of the rows ``first`` to ``last`` - 1, float (1, C, last - first, W), to be written over."""
        ...


class ScoreSource(Protocol):
    """Anything that scores images: a network, or what shows an image to one in several ways."""

    @property
    def device(self) -> torch.device:
        """Where images have to be."""
        ...

    def field(self, image_13HW: Tensor) -> ScoreField:
        """Score an image of any size from 1×1 up, uint8 or float (1, 3, H, W) RGB of 0…255."""
        ...


@dataclass(frozen=True, eq=False)
class UpsampledScores:
    """The scores of a network on the padded image, ``cells``, enlarged by its ``stride`` and cropped to the image."""

    cells: Tensor
    size_hw: tuple[int, int]
    stride: int
    _: KW_ONLY
    are_probabilities: bool = False

    @property
    def values_per_row(self) -> int:
        """The classes times the padded width."""
        return self.cells.shape[1] * self.cells.shape[3] * self.stride

    def rows(self, first: int, last: int) -> Tensor:
        """Enlarge the cells of these rows and one neighbour above and below, which is all that they depend on."""
        top = max(first // self.stride - 1, 0)
        bottom = min(-(-last // self.stride) + 1, self.cells.shape[2])
        # A copy in any case: the rows are the caller's to write over.
        raised = upscale(self.cells[:, :, top:bottom].clone(memory_format=torch.contiguous_format), self.stride)
        offset = top * self.stride
        return raised[:, :, first - offset : last - offset, : self.size_hw[1]]


def probabilities(field: ScoreField, first: int, last: int) -> Tensor:
    """Give the class probabilities of a band of rows, float (1, C, last - first, W)."""
    rows = field.rows(first, last)
    return rows if field.are_probabilities else rows.softmax(dim=1)


def label_image(source: ScoreSource, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
    with torch.inference_mode():
        # The interleaved array, seen as (1, 3, H, W), already is in channels-last layout.
        image = torch.from_numpy(np.ascontiguousarray(image_HW3)).to(source.device).permute(2, 0, 1).unsqueeze(0)
        labels: NDArray[np.uint8] = best_classes(source.field(image)).cpu().numpy()
        return labels


def best_classes(field: ScoreField, band_values: int = BAND_VALUES) -> Tensor:
    """Give each pixel the class with the highest score, uint8 (H, W); the size of the bands does not change it."""
    if isinstance(field, UpsampledScores) and field.cells.device.type == "cpu":
        # The cells alone decide most pixels, so that few have to be enlarged.
        return torch.from_numpy(label_scores(field.cells[0].detach().float().numpy(), field.size_hw, field.stride))
    return torch.cat([field.rows(*band)[0].argmax(dim=0).to(torch.uint8) for band in _bands(field, band_values)])


def _bands(field: ScoreField, band_values: int) -> Iterator[tuple[int, int]]:
    height = field.size_hw[0]
    # So that no row of the network's output is enlarged for two bands more than it must be.
    step = max(1, band_values // field.values_per_row // _ROWS_TOGETHER) * _ROWS_TOGETHER
    for first in range(0, height, step):
        yield first, min(first + step, height)
