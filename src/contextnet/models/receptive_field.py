"""How many image pixels, each way, one score can see: exact, by walking intervals back through the layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from contextnet.spec import ContextBranchSpec, ContextNetSpec, DetailBranchSpec

Interval = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """Pixels, each way, that reach one score through each branch; None for a branch that is not there.

    ``detail`` is of the finest detail branch. ``pooled`` tells that pyramid pooling makes every score see the whole
    image, whatever the figures say.
    """

    context: int | None
    detail: int | None
    pooled: bool


def receptive_field(spec: ContextNetSpec) -> ReceptiveField:
    """Give the receptive field of one score cell; where it varies with the cell's place, the largest."""
    period = spec.size_multiple
    context = detail = None
    if spec.context:
        context = max(_width(_through_context(spec, spec.context, cell)) for cell in range(period))
    if spec.details:
        finest = spec.details[-1]
        detail = max(_width(_through_detail(finest, (cell, cell))) for cell in range(period))
    return ReceptiveField(context, detail, bool(spec.context and spec.context.pyramid_bins))


def _width(interval: Interval) -> int:
    return interval[1] - interval[0] + 1


def _through_context(spec: ContextNetSpec, branch: ContextBranchSpec, cell: int) -> Interval:
    interval = (cell, cell)
    strides = [branch.stride, *(detail.stride for detail in spec.details)]
    for coarse, fine in reversed(list(pairwise(strides))):
        factor = coarse // fine
        interval = _conv(interval, stride=1, dilation=factor)
        interval = _upscale(interval, factor)
    if not spec.details:
        interval = _upscale(interval, branch.stride // spec.output_stride)
    for block in reversed(branch.blocks):
        interval = _conv(interval, stride=block.stride)
    return _downscale(_conv(interval, stride=2), branch.scale)


def _through_detail(branch: DetailBranchSpec, interval: Interval) -> Interval:
    for block in reversed(branch.blocks):
        interval = _conv(interval, stride=block.stride)
    return _downscale(_conv(interval, stride=2), branch.scale)


def _conv(interval: Interval, *, stride: int, dilation: int = 1) -> Interval:
    """Which inputs a 3×3 convolution with centred padding reads for an interval of outputs."""
    return interval[0] * stride - dilation, interval[1] * stride + dilation


def _upscale(interval: Interval, factor: int) -> Interval:
    """Which inputs bilinear enlargement reads: those on both sides of the half-pixel position."""
    if factor == 1:
        return interval
    first = (interval[0] + 0.5) / factor - 0.5
    last = (interval[1] + 0.5) / factor - 0.5
    return math.floor(first), math.ceil(last)


def _downscale(interval: Interval, factor: int) -> Interval:
    """Which pixels shrinking reads: the middle two of every block, each way."""
    if factor == 1:
        return interval
    return interval[0] * factor + factor // 2 - 1, interval[1] * factor + factor // 2
