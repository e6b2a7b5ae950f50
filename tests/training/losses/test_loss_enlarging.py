"""Scores raised to the labels' size: the values and gradients of the one definition of every resize."""

from __future__ import annotations

import pytest
import torch

from contextnet.models.resize import upscale
from contextnet.training.losses.enlarging import enlarge


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size_hw", [(11, 15), (2, 3), (1, 4), (5, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_it_is_upscaling_there_and_back(factor: int, size_hw: tuple[int, int], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, *size_hw).contiguous(memory_format=layout).requires_grad_()
    got, expected = enlarge(scores, factor), upscale(scores, factor)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-6)
    weights = torch.randn(expected.shape)
    of_ours, of_theirs = (torch.autograd.grad((result * weights).sum(), scores)[0] for result in (got, expected))
    assert torch.allclose(of_ours, of_theirs, atol=1e-4)


@pytest.mark.parametrize(("factor", "stride"), [(8, 2), (8, 4), (4, 2), (2, 2), (1, 2), (4, 4), (16, 4)])
@pytest.mark.parametrize("last", [False, True])
def test_rows_and_columns_are_kept_as_by_slicing(factor: int, stride: int, last: bool) -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 5, 7, requires_grad=True)
    y, x = (stride - 1, stride - 1) if last else (0, 1)
    got, expected = enlarge(scores, factor, stride, (y, x)), upscale(scores, factor)[..., y::stride, x::stride]
    assert torch.allclose(got, expected, atol=1e-6)
    weights = torch.randn(expected.shape)
    of_ours, of_theirs = (torch.autograd.grad((result * weights).sum(), scores)[0] for result in (got, expected))
    assert torch.allclose(of_ours, of_theirs, atol=1e-4)


def test_a_score_that_is_not_finite_stays_near_its_place() -> None:
    scores = torch.zeros(1, 1, 4, 4)
    scores[0, 0, 1, 1] = float("nan")
    lost = enlarge(scores, 8)[0, 0].isnan()
    assert lost.any()
    assert not lost[24:].any()
    assert not lost[:, 24:].any()
