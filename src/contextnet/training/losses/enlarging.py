"""Scores raised to the size of the labels, in a fraction of the time that PyTorch takes for it on a CPU."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from contextnet.models.resize import stretch, upscale


def enlarge(scores_NCHW: Tensor, factor: int) -> Tensor:
    """Enlarge float32 scores by ``factor``, as ``models.resize.upscale`` does.

    On a CPU an even factor is reached in two steps, width before height, and rows are mixed as a whole: the way there
    and back takes a third of the time, which otherwise is a quarter of a training step.
    """
    if scores_NCHW.device.type != "cpu" or factor % 2 == 1:
        return upscale(scores_NCHW, factor)
    wide = stretch(scores_NCHW.contiguous(), 1, factor)
    return cast(Tensor, _EnlargedRows.apply(wide, factor))  # type: ignore[no-untyped-call]


class _EnlargedRows(torch.autograd.Function):
    """The rows of (N, C, H, W) enlarged by an even factor, bilinear with half-pixel centres, the edges replicated.

    The centres of two neighbouring rows have ``factor`` new rows between them, a block; half of one lies outside the
    first centre, and half outside the last.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, factor: int) -> Tensor:
        ctx.factor, half = factor, factor // 2
        count, channels, height, width = rows.shape
        result = rows.new_empty(count, channels, height * factor, width)
        blocks = _blocks(result, factor)
        share = _shares_of_the_next(blocks, factor)[:, None].expand_as(blocks)
        torch.lerp(rows[:, :, :-1, None].expand_as(blocks), rows[:, :, 1:, None].expand_as(blocks), share, out=blocks)
        result[:, :, :half] = rows[:, :, :1]
        result[:, :, -half:] = rows[:, :, -1:]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        factor, half = ctx.factor, ctx.factor // 2
        count, channels, height, width = gradient.shape
        share = _shares_of_the_next(gradient, factor)
        of_both = torch.matmul(torch.stack([1 - share, share]), _blocks(gradient, factor))
        result = gradient.new_zeros(count, channels, height // factor, width)
        result[:, :, :-1] += of_both[:, :, :, 0]
        result[:, :, 1:] += of_both[:, :, :, 1]
        result[:, :, 0] += gradient[:, :, :half].sum(2)
        result[:, :, -1] += gradient[:, :, -half:].sum(2)
        return result, None


def _blocks(rows: Tensor, factor: int) -> Tensor:
    """View (N, C, H·factor, W) as its blocks between the old rows, (N, C, H - 1, factor, W)."""
    half = factor // 2
    inner = rows[:, :, half:-half]
    return inner.view(*inner.shape[:2], -1, factor, inner.shape[-1])


def _shares_of_the_next(rows: Tensor, factor: int) -> Tensor:
    """Give how much of each new row in a block is the old row after it, (factor,)."""
    return (torch.arange(factor, dtype=rows.dtype, device=rows.device) + 0.5) / factor
