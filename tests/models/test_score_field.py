"""The scores of a network's cells as scores of pixels: every band as it stands in the whole, and free to be changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from contextnet.models.score_field import UpsampledScores, best_classes, probabilities

SIZE_HW = (37, 53)


def cells(stride: int, seed: int = 0) -> Tensor:
    """Scores of the smallest image padded to whole cells of 8, so that some lie beyond the picture."""
    height, width = 40 // stride, 56 // stride
    return torch.randn((1, 3, height, width), generator=torch.Generator().manual_seed(seed))


def whole(scores: Tensor, stride: int) -> Tensor:
    raised = F.interpolate(scores, scale_factor=stride, mode="bilinear", align_corners=False)
    return raised[:, :, : SIZE_HW[0], : SIZE_HW[1]]


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_every_band_stands_as_in_the_whole(stride: int) -> None:
    scores = cells(stride)
    field, expected = UpsampledScores(scores, SIZE_HW, stride), whole(scores, stride)
    assert (field.size_hw, field.are_probabilities) == (SIZE_HW, False)
    for first, last in [(0, 37), (0, 1), (36, 37), (3, 4), (7, 9), (8, 16), (5, 30), (15, 17)]:
        torch.testing.assert_close(field.rows(first, last), expected[:, :, first:last], rtol=0, atol=1e-6)
        shares = probabilities(field, first, last)
        torch.testing.assert_close(shares, expected[:, :, first:last].softmax(dim=1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_may_be_written_over(stride: int, layout: torch.memory_format) -> None:
    scores = cells(stride).to(memory_format=layout)
    before, field = scores.clone(), UpsampledScores(scores, SIZE_HW, stride)
    for first, last in ((0, SIZE_HW[0]), (9, 20)):
        expected = field.rows(first, last).clone()
        field.rows(first, last).fill_(99)
        assert torch.equal(scores, before)
        assert torch.equal(field.rows(first, last), expected)


@pytest.mark.parametrize(("stride", "expected"), [(1, 3 * 56), (4, 3 * 56), (8, 3 * 56)])
def test_a_row_holds_as_many_values_as_the_padded_image_is_wide(stride: int, expected: int) -> None:
    assert UpsampledScores(cells(stride), SIZE_HW, stride).values_per_row == expected


def test_scores_of_another_stride_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^80×112 scores at stride 8 are those of an image of 427 to 640 × "):
        best_classes(UpsampledScores(torch.zeros(1, 3, 80, 112), (320, 448), 8))


def test_scores_are_said_to_be_probabilities_by_name_alone() -> None:
    assert UpsampledScores(cells(8), SIZE_HW, 8, are_probabilities=True).are_probabilities
    with pytest.raises(TypeError, match="positional"):
        UpsampledScores(cells(8), SIZE_HW, 8, True)  # type: ignore[misc]


class Bands:
    """The same scores as another kind of field, so that they are enlarged band by band."""

    are_probabilities = False

    def __init__(self, field: UpsampledScores) -> None:
        self._field = field
        self.size_hw, self.values_per_row = field.size_hw, field.values_per_row
        self.asked: list[tuple[int, int]] = []

    def rows(self, first: int, last: int) -> Tensor:
        self.asked.append((first, last))
        return self._field.rows(first, last)


@pytest.mark.parametrize("stride", [1, 4])
def test_labels_by_cells_and_by_bands_are_those_of_the_whole(stride: int) -> None:
    scores = cells(stride, seed=2)
    field, expected = UpsampledScores(scores, SIZE_HW, stride), whole(scores, stride)[0].argmax(dim=0).byte()
    assert torch.equal(best_classes(field), expected)
    bands = Bands(field)
    assert torch.equal(best_classes(bands, band_values=16 * field.values_per_row), expected)
    assert bands.asked == [(0, 16), (16, 32), (32, 37)]
    assert np.array_equal(best_classes(UpsampledScores(scores.bfloat16(), SIZE_HW, stride)).shape, SIZE_HW)
