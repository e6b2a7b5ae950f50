"""A baseline as ONNX nodes: its modules in the order in which a symbolic trace finds them, one after another.

Every kind of layer that a baseline is made of has its own entry in a table; a network with any other is refused rather
than written by guesswork. The graph holds for every image size.

Normalization is a factor, which goes into the weights of the first layers: pooling and shrinking before them leave it
to be done. Only where something else reads pixels are they multiplied, at the size that they then have.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx, nn

from contextnet.errors import ExportError
from contextnet.export.graph_writer import GraphWriter
from contextnet.export.layers import downscale, resize, upscale
from contextnet.export.pyramid_graph import average_over_grid
from contextnet.models.baselines.dabnet import AveragePool
from contextnet.models.baselines.enet import PadChannels
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import Downscale
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale
from contextnet.models.depthwise import DepthwiseConv2d
from contextnet.spec import INPUT_SCALE


@dataclass(frozen=True)
class Pixels:
    """The image, or what is pooled or shrunk from it: ``planes`` (N, 3, H, W), yet to be multiplied by ``scale`` > 0.

    ``image`` (N, H, W, 3) holds the same, where these are the image itself; None elsewhere.
    """

    planes: str
    scale: float
    image: str | None = None


Value: TypeAlias = str | Pixels | tuple[Any, ...]
"""What a traced layer gives: the name of a value in the graph, pixels that are not normalized, or several of these."""

_END = np.iinfo(np.int64).max
"""The end of an axis, however long it is."""

_Write: TypeAlias = Callable[[GraphWriter, Any, Sequence[Any], str], Value]


def traced_scores(writer: GraphWriter, body: nn.Module, pixels: str, scores: str) -> None:
    """Add a baseline whose batch norm is folded: from ``pixels`` (N, H, W, 3) of 0…255 to its ``scores``.

    Raises ``ExportError`` naming a layer that there is no way to write.
    """
    values: dict[fx.Node, Any] = {}

    @cache
    def normalized(node: fx.Node) -> Any:
        value = values[node]
        if not isinstance(value, Pixels):
            return value
        scale = writer.weights("input.scale", value.scale)
        return writer.node("Mul", [value.planes, scale], f"{_unique(node)}.normalized")

    for node in _Tracer().trace(body.eval()).nodes:
        if node.op == "placeholder":
            values[node] = Pixels(downscale(writer, pixels, 1), INPUT_SCALE, pixels)
        elif node.op == "output":
            result = fx.node.map_arg(node.args[0], normalized)
            writer.node("Identity", [result[0]], scores)
        else:
            write, what = _form(body, node)
            read = values.__getitem__ if type(what) in _READERS_OF_PIXELS else normalized
            values[node] = write(writer, what, fx.node.map_arg(tuple(node.args), read), _unique(node))


class _Tracer(fx.Tracer):
    """Looks into everything but single operations."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _LAYERS or super().is_leaf_module(m, module_qualified_name)


def _form(body: nn.Module, node: fx.Node) -> tuple[_Write, Any]:
    """Find what writes a node, and what it is written from: a module, or the keywords of a function's call."""
    if node.op == "call_module":
        assert isinstance(node.target, str), "a module's name"
        module = body.get_submodule(node.target)
        write = _LAYERS.get(type(module))
        if write is not None and not node.kwargs:
            return write, module
        raise ExportError(f"layer '{node.target}', a {type(module).__name__}, has no form in the model file")
    write = _FUNCTIONS.get(node.target) if node.op == "call_function" else None
    if write is None:
        name = getattr(node.target, "__name__", node.target)
        raise ExportError(f"operation '{name}' has no form in the model file")
    return write, dict(node.kwargs)


def _unique(node: fx.Node) -> str:
    return f"traced.{node.name}"


def _with_scale(features: str | Pixels) -> tuple[str, float]:
    """Name what a layer reads, and give what its weights are to be multiplied by for that."""
    return (features.planes, features.scale) if isinstance(features, Pixels) else (features, 1.0)


def _like(features: str | Pixels, value: str) -> str | Pixels:
    """Give a value that was made of ``features`` without regard to their scale, which is then its own."""
    return Pixels(value, features.scale) if isinstance(features, Pixels) else value


def _convolution(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise ExportError(f"{module}: only padding by a number of zeros has a form in the model file")
    is_transposed = isinstance(module, nn.ConvTranspose2d)
    features, scale = _with_scale(arguments[0])
    inputs = [features, writer.weights(f"{name}.weight", module.weight.detach().numpy() * np.float32(scale))]
    if module.bias is not None:
        inputs.append(writer.weights(f"{name}.bias", module.bias.detach().numpy()))
    attributes: dict[str, Any] = {"output_padding": list(module.output_padding)} if is_transposed else {}
    return writer.node(
        "ConvTranspose" if is_transposed else "Conv",
        inputs,
        name,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        dilations=list(module.dilation),
        pads=[*module.padding, *module.padding],
        group=module.groups,
        **attributes,
    )


def _batch_norm(writer: GraphWriter, module: nn.BatchNorm2d, arguments: Sequence[Any], name: str) -> Value:
    """Write a batch norm that no convolution stands before as a depth-wise one of 1×1, which engines join to others."""
    assert module.running_mean is not None, "statistics are kept"
    assert module.running_var is not None, "statistics are kept"
    scale = module.weight.detach() / torch.sqrt(module.running_var + module.eps)
    shift = module.bias.detach() - module.running_mean * scale
    features, input_scale = _with_scale(arguments[0])
    weight = writer.weights(f"{name}.weight", scale.numpy()[:, None, None, None] * np.float32(input_scale))
    inputs = [features, weight, writer.weights(f"{name}.bias", shift.numpy())]
    return writer.node("Conv", inputs, name, kernel_shape=[1, 1], group=module.num_features)


def _average_pool(writer: GraphWriter, module: AveragePool, arguments: Sequence[Any], name: str) -> Value:
    """Write an average over windows, the zeros around the map counted, as a depth-wise convolution."""
    side = module.kernel
    features, scale = _with_scale(arguments[0])
    weight = np.full((module.width, 1, side, side), scale / side**2, np.float32)
    return writer.node(
        "Conv",
        [features, writer.weights(f"{name}.weight", weight)],
        name,
        kernel_shape=[side, side],
        strides=[module.stride, module.stride],
        pads=[side // 2] * 4,
        group=module.width,
    )


def _prelu(writer: GraphWriter, module: nn.PReLU, arguments: Sequence[Any], name: str) -> Value:
    slope = writer.weights(f"{name}.slope", module.weight.detach().numpy()[:, None, None])
    return writer.node("PRelu", [arguments[0], slope], name)


def _max_pool(writer: GraphWriter, module: nn.MaxPool2d, arguments: Sequence[Any], name: str) -> Value:
    usual: dict[str, Any] = {"ceil_mode": False, "dilation": 1, "return_indices": False}
    if any(getattr(module, option) != value for option, value in usual.items()):
        raise ExportError(f"{module}: only plain pooling has a form in the model file")
    kernel, strides, pads = (
        [value, value] if isinstance(value, int) else list(value)
        for value in (module.kernel_size, module.stride, module.padding)
    )
    features, _ = _with_scale(arguments[0])
    pooled = writer.node("MaxPool", [features], name, kernel_shape=kernel, strides=strides, pads=[*pads, *pads])
    return _like(arguments[0], pooled)


def _choosing_pool(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    """Write the maxima of 2×2 windows and four masks, one for each pixel of a window: 1 where it is the one taken.

    That is the first among equals, and the fourth where it is none of the others: one of them, however engines round.
    """
    features = arguments[0]
    pooled = writer.node("MaxPool", [features], f"{name}.pooled", kernel_shape=[2, 2], strides=[2, 2])
    first, second, third = (
        writer.node("Equal", [_every_second(writer, features, row, column, name), pooled], f"{name}.equal{row}{column}")
        for row, column in ((0, 0), (0, 1), (1, 0))
    )
    upper = writer.node("Or", [first, second], f"{name}.upper")
    not_first, lower = (writer.node("Not", [value], f"{value}.not") for value in (first, upper))
    taken = (
        first,
        writer.node("And", [second, not_first], f"{name}.second"),
        writer.node("And", [third, lower], f"{name}.third"),
        writer.node("Not", [writer.node("Or", [upper, third], f"{name}.others")], f"{name}.fourth"),
    )
    masks = (writer.node("Cast", [t], f"{name}.mask{i}", to=writer.real_type) for i, t in enumerate(taken))
    return pooled, tuple(masks)


def _every_second(writer: GraphWriter, features: str, row: int, column: int, name: str) -> str:
    """Take one pixel of each 2×2 window."""
    starts, ends = writer.integers(f"from{row}{column}", [row, column]), writer.integers("to_end", [_END, _END])
    axes, steps = writer.integers("rows_columns", [2, 3]), writer.integers("by_two", [2, 2])
    return writer.node("Slice", [features, starts, ends, axes, steps], f"{name}.pixel{row}{column}")


def _unpool(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    """Write features times each mask, brought back to where the masks' pixels lay."""
    features, masks = arguments
    products = [writer.node("Mul", [features, mask], f"{name}.on{index}") for index, mask in enumerate(masks)]
    placed = writer.node("Concat", products, f"{name}.placed", axis=1)
    return writer.node("DepthToSpace", [placed], name, blocksize=2, mode="DCR")


def _pad_channels(writer: GraphWriter, module: PadChannels, arguments: Sequence[Any], name: str) -> Value:
    return writer.node(
        "Pad", [arguments[0], writer.integers(f"{name}.pads", [0, 0, 0, 0, 0, module.extra, 0, 0])], name
    )


def _spread_grid(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    grid, like = arguments
    size = writer.node("Shape", [like], f"{name}.like", start=2, end=4)
    batch = writer.node("Shape", [grid], f"{name}.batch", start=0, end=2)
    return resize(writer, [grid, "", "", writer.node("Concat", [batch, size], f"{name}.size", axis=0)], name)


def _grid_average(writer: GraphWriter, module: GridAverage, arguments: Sequence[Any], name: str) -> Value:
    size = writer.node("Shape", [arguments[0]], f"{name}.size", start=2, end=4)
    return average_over_grid(writer, arguments[0], size, module.grid, name)


def _downscale(writer: GraphWriter, module: Downscale, arguments: Sequence[Any], name: str) -> Value:
    read, factor = arguments[0], module.factor
    if isinstance(read, Pixels) and read.image is not None and factor % 2 == 0:
        return Pixels(downscale(writer, read.image, factor), read.scale)
    features, _ = _with_scale(read)
    factors = writer.factors(f"{name}.factors", [1, 1, 1 / factor, 1 / factor])
    return _like(read, resize(writer, [features, "", factors], name))


def _concatenation(writer: GraphWriter, options: Mapping[str, Any], arguments: Sequence[Any], name: str) -> Value:
    if len(arguments) != 1 or set(options) != {"dim"}:
        raise ExportError("a concatenation other than cat([...], dim=...) has no form in the model file")
    return writer.node("Concat", list(arguments[0]), name, axis=options["dim"])


def _sum(writer: GraphWriter, options: Mapping[str, Any], arguments: Sequence[Any], name: str) -> Value:
    if not all(isinstance(argument, str) for argument in arguments):
        raise ExportError("a sum of features and a number has no form in the model file")
    return writer.node("Add", list(arguments), name)


def _item(writer: GraphWriter, options: Mapping[str, Any], arguments: Sequence[Any], name: str) -> Value:
    """Give one of several values that a layer gave."""
    several, index = arguments
    if not isinstance(several, tuple):
        raise ExportError("a part of features has no form in the model file")
    item: Value = several[index]
    return item


def _same(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    """Give what a layer reads that does nothing here."""
    same: Value = arguments[0]
    return same


_LAYERS: dict[type[nn.Module], _Write] = {
    nn.Conv2d: _convolution,
    DepthwiseConv2d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: lambda writer, module, arguments, name: writer.node("Relu", [arguments[0]], name),
    nn.PReLU: _prelu,
    nn.MaxPool2d: _max_pool,
    AveragePool: _average_pool,
    nn.Dropout: _same,
    nn.Dropout2d: _same,
    nn.Identity: _same,
    Upscale: lambda writer, module, arguments, name: upscale(writer, arguments[0], module.factor, name),
    Downscale: _downscale,
    GridAverage: _grid_average,
    SpreadGrid: _spread_grid,
    PadChannels: _pad_channels,
    ChoosingPool: _choosing_pool,
    Unpool: _unpool,
}

_READERS_OF_PIXELS = frozenset(
    {
        *(nn.Conv2d, DepthwiseConv2d, nn.ConvTranspose2d, nn.BatchNorm2d, AveragePool),
        *(nn.MaxPool2d, Downscale, nn.Dropout, nn.Dropout2d, nn.Identity),
    }
)
"""Layers that take the scale of pixels into their weights, and those that leave it to do, which commute with it."""

_FUNCTIONS: dict[Any, _Write] = {torch.cat: _concatenation, operator.add: _sum, operator.getitem: _item}
