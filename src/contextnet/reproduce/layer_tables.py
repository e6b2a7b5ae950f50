"""Tables 1–3: the layers that this project's cn14 has, beside those that the paper prints."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from contextnet.models.blocks import Bottleneck
from contextnet.models.contextnet import ContextNet
from contextnet.models.fusion import FusionUnit
from contextnet.models.layer_table import LayerRow, layer_table
from contextnet.reproduce.paper import TABLE_1, TABLE_2, TABLE_3, BlockLayer, BranchLayer, FusionLayer, Size
from contextnet.reproduce.table import NOTHING, Column, Row, Table, Value
from contextnet.spec import BottleneckSpec, variant

PAPER_SIZE: Size = (1024, 2048)
"""The image that Table 2 is printed for."""

EQUAL = Column("equal", "as the paper")
_FUNCTION = "f is ReLU6, section 3.1."
_NO_KERNEL = "the paper gives no kernel here"
_LAST_KERNEL = f"{_NO_KERNEL}; 3×3 would make 0.98 M parameters, Table 4 has 0.85 M"


def layer_tables(size_hw: Size = PAPER_SIZE) -> tuple[Table, Table, Table]:
    """Make Tables 1, 2 and 3 from the modules of cn14, for an image of ``size_hw``.

    A row is as the paper's when all that the paper says of it agrees; a remark says what it leaves open, or why the
    rows differ.
    """
    spec = variant("cn14")
    with torch.device("meta"):  # no memory, no random numbers
        network = ContextNet(spec)
    layers = layer_table(spec, size_hw)
    facts = {"network": spec.name, "size_hw": list(size_hw)}
    return _block_table(network, facts), _branch_table(network, layers, facts), _fusion_table(network, layers, facts)


def _block_table(network: ContextNet, facts: dict[str, Any]) -> Table:
    block, width_in, spec = _example(network)
    ours = block_layers(block, width_in, spec)
    columns = (Column("input", "input"), Column("operator", "operator"), Column("output", "output"), EQUAL)
    rows: list[Row] = []
    for number, (own, paper) in enumerate(zip(ours, TABLE_1, strict=True), 1):
        rows += _pair(number, vars(own), vars(paper))
    example = f"cn14's block from {width_in} to {spec.width} feature maps: t = {spec.expansion}, s = {spec.stride}."
    notes = (
        f"Read from the layers of {example} {_FUNCTION}",
        "A convolution is written kernel/stride, nonlinearity.",
        "Where input and output have one shape, the block adds its input to its output, section 2.2.",
    )
    return Table("table1", "Table 1: bottleneck residual block", columns, tuple(rows), notes, facts)


def _example(network: ContextNet) -> tuple[Bottleneck, int, BottleneckSpec]:
    """Find a block in which every symbol of Table 1 stands for a number of its own; also give its width in."""
    assert network.context is not None
    assert network.spec.context is not None
    width_in = network.spec.context.stem
    for block, spec in zip(network.context.blocks, network.spec.context.blocks, strict=True):
        if spec.stride > 1 and len({width_in, spec.expansion * width_in, spec.width}) == 3:
            assert isinstance(block, Bottleneck)
            return block, width_in, spec
        width_in = spec.width
    raise AssertionError("cn14 has such a block")


def block_layers(block: Bottleneck, width_in: int, spec: BottleneckSpec) -> tuple[BlockLayer, ...]:
    """Read a block's layers in the symbols of Table 1; a number that none of them stands for stays a number."""
    widths = {width_in: "c", spec.expansion * width_in: "tc", spec.width: "c'"}
    strides = {1: "1", spec.stride: "s"}

    def shape(stride: int, width: int) -> str:
        by = "" if stride == 1 else f"/{strides.get(stride, stride)}"
        return f"h{by} × w{by} × {widths.get(width, width)}"

    rows, stride = [], 1
    for unit in block.children():
        conv = _convolution(unit)
        before, stride = shape(stride, conv.in_channels), stride * conv.stride[0]
        step = strides.get(conv.stride[0], str(conv.stride[0]))
        rows.append(BlockLayer(before, _operator(unit, step), shape(stride, conv.out_channels)))
    return tuple(rows)


def _convolution(unit: nn.Module) -> nn.Conv2d:
    convolutions = [layer for layer in unit.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 1, "one convolution, its norm and its nonlinearity"
    return convolutions[0]


def _operator(unit: nn.Module, stride: str) -> str:
    """Write a convolution as the paper does: name, dilation if any, kernel/stride, nonlinearity."""
    conv = _convolution(unit)
    name = "DWConv" if conv.groups == conv.in_channels == conv.out_channels else "Conv2d"
    dilation = f" (dilation {conv.dilation[0]})" if conv.dilation[0] > 1 else ""
    return f"{name}{dilation} {conv.kernel_size[0]}/{stride}, {_nonlinearity(unit)}"


def _nonlinearity(unit: nn.Module) -> str:
    return "f" if any(isinstance(layer, nn.ReLU6) for layer in unit.modules()) else NOTHING


def _branch_table(network: ContextNet, layers: tuple[LayerRow, ...], facts: dict[str, Any]) -> Table:
    assert network.context is not None
    own = [layer for layer in layers if layer.part.startswith("context")]
    columns = (
        Column("input", "input"),
        Column("operator", "operator"),
        Column("expansion", "expansion factor"),
        Column("channels", "output channels"),
        Column("repeats", "repeats"),
        Column("stride", "stride"),
        EQUAL,
    )
    remarks = {1: _NO_KERNEL, len(own): _LAST_KERNEL}
    rows: list[Row] = []
    for number, (layer, paper) in enumerate(zip(own, TABLE_2, strict=True), 1):
        here, printed = _branch_values(layer), _branch_values(paper)
        equal = {**here, "operator": layer.operator.split()[0]} == printed
        other_size = "the paper's image is 1024×2048" if here["input"] != printed["input"] else ""
        remark = "; ".join(filter(None, [other_size, remarks.get(number)]))
        rows += _pair(number, here, printed, equal, remark)
    depth = sum(isinstance(layer, nn.Conv2d) for layer in network.context.modules())
    notes = (
        "Only the first of the repeats has the stride.",
        f"The first bottleneck keeps its 1×1 expansion: so the branch has {depth} convolutions; section 2.2 counts 38.",
    )
    title = f"Table 2: context branch at 1/{network.context.scale}, image {facts['size_hw'][0]}×{facts['size_hw'][1]}"
    return Table("table2", title, columns, tuple(rows), notes, facts)


def _branch_values(layer: LayerRow | BranchLayer) -> dict[str, Value]:
    return {
        "input": " × ".join(map(str, layer.input_hwc)),
        "operator": layer.operator,
        "expansion": layer.expansion,
        "channels": layer.output_channels,
        "repeats": layer.repeats,
        "stride": layer.stride,
    }


def _fusion_table(network: ContextNet, layers: tuple[LayerRow, ...], facts: dict[str, Any]) -> Table:
    unit = network.fusions[0]
    assert isinstance(unit, FusionUnit)
    own = [layer for layer in layers if layer.part.startswith("fusion")]
    columns = (Column("branch_1", "Branch-1"), Column("branch_4", "Branch-4"), Column("output", "output"), EQUAL)
    height, width, _ = own[-1].input_hwc
    # Upsampling, depth-wise, 1×1 of the context, 1×1 of the detail, sum: the two 1×1 share a row of the paper's.
    channels = [own[index].output_channels for index in (0, 1, 3, 4)]
    rows: list[Row] = []
    for number, (layer, paper, maps) in enumerate(zip(fusion_layers(unit), TABLE_3, channels, strict=True), 1):
        output = f"{height} × {width} × {maps}"
        pair = _pair(number, vars(layer), vars(paper))
        pair[0] = Row(pair[0].network, "here", {**pair[0].values, "output": output}, pair[0].remark)
        rows += pair
    notes = (f"Branch-1 is the detail branch, Branch-4 the context branch; the paper gives no output. {_FUNCTION}",)
    return Table("table3", "Table 3: feature fusion unit", columns, tuple(rows), notes, facts)


def fusion_layers(unit: FusionUnit) -> tuple[FusionLayer, ...]:
    """Read a fusion unit's layers, written as in Table 3."""
    smooth, context, detail = (
        _operator(part, str(_convolution(part).stride[0])) for part in (unit.smooth, unit.context, unit.detail)
    )
    total = f"add, {_nonlinearity(unit.act)}"
    return (
        FusionLayer(None, f"Upsample × {unit.factor}"),
        FusionLayer(None, smooth),
        FusionLayer(detail, context),
        FusionLayer(total, total),
    )


def _pair(
    number: int, here: dict[str, Value], paper: dict[str, Value], equal: bool | None = None, remark: str = ""
) -> list[Row]:
    """Make this project's row of a layer and the paper's; without ``equal``, all values are compared."""
    same = here == paper if equal is None else equal
    label = str(number)
    return [Row(label, "here", {**here, "equal": "yes" if same else "no"}, remark), Row(label, "paper", paper)]
