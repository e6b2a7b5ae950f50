"""Scores raised to the size of the labels, in a fraction of the time that PyTorch takes for it on a CPU."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from contextnet.models.resize import upscale


def enlarge(scores_NCHW: Tensor, factor: int, stride: int = 1, start_yx: tuple[int, int] = (0, 0)) -> Tensor:
    """Enlarge float32 scores by ``factor`` as ``models.resize.upscale`` does, and keep some rows and columns.

    Every ``stride``-th is kept, from those of ``start_yx``, below ``stride``, on. On a CPU, where ``factor`` is a
    multiple of twice the ``stride``, width and height are enlarged one after the other, and what is not kept is not
    computed: even with all of it the way there and back takes a third of the time, which otherwise is a quarter of a
    training step. Elsewhere all is computed, and some of it kept.
    """
    y, x = start_yx
    if scores_NCHW.device.type != "cpu" or factor % (2 * stride) != 0:
        return upscale(scores_NCHW, factor)[..., y::stride, x::stride]
    shares_y, shares_x = (torch.arange(start, factor, stride, dtype=scores_NCHW.dtype) + 0.5 for start in start_yx)
    wide = _enlarge_rows(scores_NCHW.mT.contiguous(), shares_x / factor).mT
    return _enlarge_rows(wide.contiguous(), shares_y / factor)


def _enlarge_rows(rows: Tensor, shares: Tensor) -> Tensor:
    return cast(Tensor, _EnlargedRows.apply(rows, shares))  # type: ignore[no-untyped-call]


class _EnlargedRows(torch.autograd.Function):
    """The rows of (N, C, H, W) enlarged by an even factor, bilinear with half-pixel centres, the edges replicated.

    The centres of two neighbouring rows have as many new rows between them, a block, as there are ``shares``: how much
    of each is the latter of the two. Half a block lies before the first centre, and half of one after the last.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, shares: Tensor) -> Tensor:
        ctx.save_for_backward(shares)
        factor, half = len(shares), len(shares) // 2
        count, channels, height, width = rows.shape
        result = rows.new_empty(count, channels, height * factor, width)
        blocks = _blocks(result, factor)
        weights = shares[:, None].expand_as(blocks)
        torch.lerp(rows[:, :, :-1, None].expand_as(blocks), rows[:, :, 1:, None].expand_as(blocks), weights, out=blocks)
        result[:, :, :half] = rows[:, :, :1]
        result[:, :, -half:] = rows[:, :, -1:]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (shares,) = ctx.saved_tensors
        factor, half = len(shares), len(shares) // 2
        count, channels, height, width = gradient.shape
        of_both = torch.matmul(torch.stack([1 - shares, shares]), _blocks(gradient, factor))
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
