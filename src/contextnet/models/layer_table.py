"""A network's layers as rows that can be laid beside Tables 1–3 of the paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from contextnet.spec import BottleneckSpec, ContextBranchSpec, ContextNetSpec, DetailBranchSpec


@dataclass(frozen=True)
class LayerRow:
    """One row: what goes in (height, width, feature maps), the operator, and its numbers as the paper lists them.

    ``repeats`` equal layers stand in one row; only the first has ``stride``. ``expansion`` is None outside bottlenecks.
    """

    part: str
    input_hwc: tuple[int, int, int]
    operator: str
    expansion: int | None
    output_channels: int
    repeats: int
    stride: int


def layer_table(spec: ContextNetSpec, size_hw: tuple[int, int]) -> tuple[LayerRow, ...]:
    """List the layers for an image of ``size_hw``, padded as the network pads it."""
    multiple = spec.size_multiple
    height, width = (-(-side // multiple) * multiple for side in size_hw)
    rows: list[LayerRow] = []
    if spec.context:
        rows += _context_rows(spec.context, height, width)
    for detail in spec.details:
        rows += _detail_rows(detail, height, width)
    rows += _fusion_rows(spec, height, width)
    channels = spec.fusion_widths[-1] if spec.fusion_widths else _lone_width(spec)
    stride = spec.context.stride if spec.context and not spec.details else spec.output_stride
    shape = (height // stride, width // stride, channels)
    rows.append(LayerRow("classifier", shape, "Conv2d 1×1", None, spec.num_classes, 1, 1))
    return tuple(rows)


def _lone_width(spec: ContextNetSpec) -> int:
    return spec.context.head if spec.context else spec.details[0].width


def _context_rows(branch: ContextBranchSpec, height: int, width: int) -> Iterator[LayerRow]:
    part = f"context 1/{branch.scale}"
    h, w = height // branch.scale, width // branch.scale
    yield LayerRow(part, (h, w, 3), "Conv2d 3×3", None, branch.stem, 1, 2)
    h, w, channels = h // 2, w // 2, branch.stem
    for group in _runs(branch.blocks):
        first = group[0]
        yield LayerRow(part, (h, w, channels), "bottleneck", first.expansion, first.width, len(group), first.stride)
        h, w, channels = h // first.stride, w // first.stride, first.width
    yield LayerRow(part, (h, w, channels), "Conv2d 1×1", None, branch.head, 1, 1)
    if branch.pyramid_bins:
        bins = ", ".join(str(b) for b in branch.pyramid_bins)
        yield LayerRow(part, (h, w, branch.head), f"pyramid pooling {bins}", None, branch.head, 1, 1)


def _runs(blocks: tuple[BottleneckSpec, ...]) -> Iterator[list[BottleneckSpec]]:
    """Cut the blocks into rows as Table 2 does: equal expansion and width, a stride only in front."""
    for _, same in groupby(blocks, key=lambda block: (block.expansion, block.width)):
        run: list[BottleneckSpec] = []
        for block in same:
            if run and block.stride != 1:
                yield run
                run = []
            run.append(block)
        yield run


def _detail_rows(branch: DetailBranchSpec, height: int, width: int) -> Iterator[LayerRow]:
    part = f"detail 1/{branch.scale}"
    h, w, channels = height // branch.scale, width // branch.scale, 3
    yield LayerRow(part, (h, w, channels), "Conv2d 3×3", None, branch.stem, 1, 2)
    h, w, channels = h // 2, w // 2, branch.stem
    for block in branch.blocks:
        yield LayerRow(part, (h, w, channels), "DSConv 3×3", None, block.width, 1, block.stride)
        h, w, channels = h // block.stride, w // block.stride, block.width


def _fusion_rows(spec: ContextNetSpec, height: int, width: int) -> Iterator[LayerRow]:
    if spec.context is None:
        return
    channels, stride = spec.context.head, spec.context.stride
    for detail, fused in zip(spec.details, spec.fusion_widths, strict=True):
        part, factor = f"fusion 1/{detail.stride}", stride // detail.stride
        coarse = (height // stride, width // stride, channels)
        fine = (height // detail.stride, width // detail.stride)
        yield LayerRow(part, coarse, f"upsample ×{factor}", None, channels, 1, 1)
        yield LayerRow(part, (*fine, channels), f"DWConv 3×3, dilation {factor}", None, channels, 1, 1)
        yield LayerRow(part, (*fine, channels), "Conv2d 1×1 (context)", None, fused, 1, 1)
        yield LayerRow(part, (*fine, detail.width), "Conv2d 1×1 (detail)", None, fused, 1, 1)
        yield LayerRow(part, (*fine, fused), "add", None, fused, 1, 1)
        channels, stride = fused, detail.stride
