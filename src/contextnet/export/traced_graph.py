"""A baseline as ONNX nodes: its modules in the order in which a symbolic trace finds them, one after another.

Every kind of layer that a baseline is made of has its own entry in a table; a network with any other is refused rather
than written by guesswork. The graph holds for every image size.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx, nn

from contextnet.errors import ExportError
from contextnet.export.graph_writer import GraphWriter
from contextnet.export.layers import resize, upscale
from contextnet.export.pyramid_graph import average_over_grid
from contextnet.models.baselines.dabnet import AveragePool
from contextnet.models.baselines.enet import PadChannels
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import Downscale
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale
from contextnet.spec import INPUT_SCALE

Value: TypeAlias = str | tuple[str, ...]
"""What a traced layer gives: the name of a value in the graph, or several."""

_Write: TypeAlias = Callable[[GraphWriter, Any, Sequence[Any], str], Value]

_RELU6 = 6.0


def traced_scores(writer: GraphWriter, body: nn.Module, pixels: str, scores: str) -> None:
    """Add a baseline whose batch norm is folded: from ``pixels`` (N, H, W, 3) of 0…255 to its ``scores``.

    Raises ``ExportError`` naming a layer that there is no way to write.
    """
    trace = _Tracer().trace(body.eval())
    values: dict[fx.Node, Any] = {}
    for node in trace.nodes:
        if node.op == "placeholder":
            # Before the planes are parted: behind it, engines rearrange the whole image twice.
            scaled = writer.node("Mul", [pixels, writer.weights("input.scale", INPUT_SCALE)], "normalized")
            values[node] = writer.node("Transpose", [scaled], "normalized.planes", perm=[0, 3, 1, 2])
        elif node.op == "output":
            result = fx.node.map_arg(node.args[0], values.__getitem__)
            writer.node("Identity", [result[0]], scores)
        else:
            arguments = fx.node.map_arg(tuple(node.args), values.__getitem__)
            values[node] = _write(writer, body, node, arguments)


class _Tracer(fx.Tracer):
    """Looks into everything but single operations."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in _LAYERS or super().is_leaf_module(m, module_qualified_name)


def _write(writer: GraphWriter, body: nn.Module, node: fx.Node, arguments: Sequence[Any]) -> Value:
    if node.op == "call_module":
        assert isinstance(node.target, str), "a module's name"
        module = body.get_submodule(node.target)
        write = _LAYERS.get(type(module))
        if write is not None and not node.kwargs:
            return write(writer, module, arguments, _unique(node))
        raise ExportError(f"layer '{node.target}', a {type(module).__name__}, has no form in the model file")
    function = _FUNCTIONS.get(node.target) if node.op == "call_function" else None
    if function is None:
        name = getattr(node.target, "__name__", node.target)
        raise ExportError(f"operation '{name}' has no form in the model file")
    return function(writer, dict(node.kwargs), arguments, _unique(node))


def _unique(node: fx.Node) -> str:
    return f"traced.{node.name}"


def _convolution(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise ExportError(f"{module}: only padding by a number of zeros has a form in the model file")
    is_transposed = isinstance(module, nn.ConvTranspose2d)
    inputs = [arguments[0], writer.weights(f"{name}.weight", module.weight.detach().numpy())]
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
    weight = writer.weights(f"{name}.weight", scale.numpy()[:, None, None, None])
    inputs = [arguments[0], weight, writer.weights(f"{name}.bias", shift.numpy())]
    return writer.node("Conv", inputs, name, kernel_shape=[1, 1], group=module.num_features)


def _average_pool(writer: GraphWriter, module: AveragePool, arguments: Sequence[Any], name: str) -> Value:
    """Write an average over windows, the zeros around the map counted, as a depth-wise convolution."""
    side = module.kernel
    weight = np.full((module.width, 1, side, side), 1 / side**2, np.float32)
    return writer.node(
        "Conv",
        [arguments[0], writer.weights(f"{name}.weight", weight)],
        name,
        kernel_shape=[side, side],
        strides=[module.stride, module.stride],
        pads=[side // 2] * 4,
        group=module.width,
    )


def _prelu(writer: GraphWriter, module: nn.PReLU, arguments: Sequence[Any], name: str) -> Value:
    slope = writer.weights(f"{name}.slope", module.weight.detach().numpy()[:, None, None])
    return writer.node("PRelu", [arguments[0], slope], name)


def _relu6(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    limits = [writer.weights("relu6.low", 0.0), writer.weights("relu6.high", _RELU6)]
    return writer.node("Clip", [arguments[0], *limits], name)


def _max_pool(writer: GraphWriter, module: nn.MaxPool2d, arguments: Sequence[Any], name: str) -> Value:
    usual: dict[str, Any] = {"ceil_mode": False, "dilation": 1, "return_indices": False}
    if any(getattr(module, option) != value for option, value in usual.items()):
        raise ExportError(f"{module}: only plain pooling has a form in the model file")
    kernel, strides, pads = (
        [value, value] if isinstance(value, int) else list(value)
        for value in (module.kernel_size, module.stride, module.padding)
    )
    return writer.node("MaxPool", [arguments[0]], name, kernel_shape=kernel, strides=strides, pads=[*pads, *pads])


def _choosing_pool(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    """Write the maxima of 2×2 windows and, as a mask, which pixel of each window is taken: the first among equals.

    The four pixels of a window are brought into four groups of maps, and the mask stays so.
    """
    packed = writer.node("SpaceToDepth", [arguments[0]], f"{name}.packed", blocksize=2)
    pixels = [f"{name}.pixel{index}" for index in range(4)]
    writer.split(packed, pixels, f"{name}.pixels", axis=1)
    largest = writer.node("Max", pixels, f"{name}.pooled")
    masks, earlier = [], ""
    for index, pixel in enumerate(pixels):
        is_largest = writer.node("Equal", [pixel, largest], f"{name}.largest{index}")
        if earlier:
            is_largest = writer.node(
                "And", [is_largest, writer.node("Not", [earlier], f"{earlier}.not")], f"{name}.taken{index}"
            )
            earlier = writer.node("Or", [earlier, is_largest], f"{name}.earlier{index}")
        else:
            earlier = is_largest
        masks.append(writer.node("Cast", [is_largest], f"{name}.mask{index}", to=writer.real_type))
    return largest, writer.node("Concat", masks, f"{name}.choice", axis=1)


def _unpool(writer: GraphWriter, module: Any, arguments: Sequence[Any], name: str) -> Value:
    features, choice = arguments
    four = writer.node("Concat", [features] * 4, f"{name}.four", axis=1)
    placed = writer.node("Mul", [four, choice], f"{name}.placed")
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
    share = 1 / module.factor
    return resize(writer, [arguments[0], "", writer.factors(f"{name}.factors", [1, 1, share, share])], name)


def _concatenation(writer: GraphWriter, options: Mapping[str, Any], arguments: Sequence[Any], name: str) -> Value:
    axis = options.get("dim", arguments[1] if len(arguments) > 1 else 0)
    return writer.node("Concat", list(arguments[0]), name, axis=axis)


def _sum(writer: GraphWriter, options: Mapping[str, Any], arguments: Sequence[Any], name: str) -> Value:
    if not all(isinstance(argument, str) for argument in arguments):
        raise ExportError("a sum of features and a number has no form in the model file")
    return writer.node("Add", list(arguments), name)


_LAYERS: dict[type[nn.Module], _Write] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: lambda writer, module, arguments, name: writer.node("Relu", [arguments[0]], name),
    nn.ReLU6: _relu6,
    nn.PReLU: _prelu,
    nn.MaxPool2d: _max_pool,
    AveragePool: _average_pool,
    nn.Dropout: lambda writer, module, arguments, name: str(arguments[0]),
    nn.Dropout2d: lambda writer, module, arguments, name: str(arguments[0]),
    nn.Identity: lambda writer, module, arguments, name: str(arguments[0]),
    Upscale: lambda writer, module, arguments, name: upscale(writer, arguments[0], module.factor, name),
    Downscale: _downscale,
    GridAverage: _grid_average,
    SpreadGrid: _spread_grid,
    PadChannels: _pad_channels,
    ChoosingPool: _choosing_pool,
    Unpool: _unpool,
}

_FUNCTIONS: dict[Any, _Write] = {
    torch.cat: _concatenation,
    operator.add: _sum,
    operator.iadd: _sum,
    operator.getitem: lambda writer, options, arguments, name: arguments[0][arguments[1]],
}
