"""INT8 by post-training quantization: ranges from calibration images, layers that cost too much kept in float.

NNCF measures the ranges, quantizes weights per output channel and corrects biases; where the result is not good enough,
it finds the layers that cost most and puts them back. The image needs no measured range: its 256 values are the 256
levels, so that every network, whose normalization is in its first layers' weights, reads uint8 pixels as they are.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from contextnet.errors import ExportError, MissingDependencyError
from contextnet.export.layers import RESIZE_WEIGHT, RGB
from contextnet.export.network_graph import PIXELS
from contextnet.runtime.onnx_graph import drop_unread_constants, replace_field

_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_FLOAT_PIXELS = f"{PIXELS}.float"

INT8_STEPS = 127
"""To either side of zero."""

_INT8_OFFSET = 128
"""From the least of int8 to zero, where uint8 begins."""

CHOOSING_SHARE = 0.8
"""The share of the drop that choosing layers may use up; weights that are packed as INT8 in the end differ a little."""


class CalibrationImages(Protocol):
    """Images, uint8 (H, W, 3) RGB of any sizes, that are gone through more than once, one at a time."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


class Judge(Protocol):
    """Says how good a network is, by images of its own, which have numbers."""

    @property
    def measure(self) -> str:
        """What the figure is, in words."""
        ...

    @property
    def choosing(self) -> Sequence[int]:
        """The images by which layers go back to float."""
        ...

    @property
    def accepting(self) -> Sequence[int]:
        """The images by which the result is accepted; ``measure`` is told of them."""
        ...

    def __call__(self, network: onnx.ModelProto, images: Sequence[int]) -> tuple[float, list[float]]:
        """Judge a network's graph by some of the images: a figure for all, 0..1, and one for each."""
        ...


@dataclass(frozen=True, eq=False)
class Quantized:
    """A network's graph that reads uint8 pixels, the layers of it that stayed in float, and how it was judged.

    ``quality_before`` and ``quality`` are the figures, 0..1, of ``measure`` for the float and the quantized network, by
    the images that accept it.
    """

    network: onnx.ModelProto
    kept_in_float: tuple[str, ...]
    measure: str
    quality_before: float
    quality: float

    def to_json(self) -> dict[str, Any]:
        """Tell how it was judged as plain JSON values."""
        figures = {"before": self.quality_before, "after": self.quality}
        return {"measure": self.measure, **figures, "kept_in_float": list(self.kept_in_float)}


def quantize(
    network: onnx.ModelProto, images: CalibrationImages, multiple: int, judge: Judge, max_drop: float
) -> Quantized:
    """Quantize a float32 network's graph by the ranges that ``images`` make in it.

    Images are padded to ``multiple`` by replicating their edges. Where ``judge``, by its choosing images, finds the
    quantized network, as it will read pixels, more than ``max_drop`` below the float one, the layers that cost most go
    back to float until it does not; the result is accepted by its accepting images. Raises ``MissingDependencyError``
    when NNCF is not installed, ``ExportError`` when the result stays more than ``max_drop`` below.
    """
    nncf = _load_nncf()
    with redirect_stdout(sys.stderr):  # where its progress bars belong
        quantized = nncf.quantize_with_accuracy_control(
            network,
            nncf.Dataset(images, lambda image: {PIXELS: _padded(image, multiple)}),
            nncf.Dataset(judge.choosing),
            lambda model, indices: judge(_reading_uint8(model), list(indices)),
            max_drop=CHOOSING_SHARE * max_drop,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
        )
    result = _reading_uint8(quantized)
    before, after = judge(network, judge.accepting)[0], judge(result, judge.accepting)[0]
    if before - after > max_drop:
        raise ExportError(
            f"INT8 costs too much: {judge.measure} {100 * before:.2f} % became {100 * after:.2f} %, and at most "
            f"{100 * max_drop:.2f} points may be lost; give more calibration images like those that it will see"
        )
    return Quantized(result, _unquantized_layers(result), judge.measure, before, after)


def _load_nncf() -> Any:
    """Import NNCF with its telemetry off, which a variable decides while it is imported, and its log to warnings."""
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"quantization needs {error.name}, which is not installed; pip install 'contextnet[export]'"
        ) from None
    nncf.set_log_level(logging.WARNING)
    return nncf


def _padded(image_HW3: NDArray[np.uint8], multiple: int) -> NDArray[np.float32]:
    height, width, _ = image_HW3.shape
    padded = np.pad(image_HW3, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
    return padded[None].astype(np.float32)


def _reading_uint8(network: onnx.ModelProto) -> onnx.ModelProto:
    """Let a quantized network read uint8 pixels; what is resized from them is held in steps of 1 as well."""
    result = onnx.ModelProto()
    result.CopyFrom(network)
    graph = result.graph
    exact = [node for node in graph.node if node.op_type == _QUANTIZE and _is_pixels(node.input[0])]
    for node in exact:
        _set_constant(graph, node.input[1], np.ones((), np.float32))
        _set_constant(graph, node.input[2], np.zeros((), np.uint8))
    for node in graph.node:
        if node.op_type == "Conv" and _is_pixels(node.name):
            _make_exact(graph, node)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    quantized_pixels = {node.output[0] for node in exact if node.input[0] == PIXELS}
    nodes = [node for node in graph.node if node.output[0] not in quantized_pixels]
    if any(PIXELS in node.input for node in nodes):
        _rename_input(nodes, PIXELS, _FLOAT_PIXELS)
        cast = onnx.helper.make_node("Cast", [PIXELS], [_FLOAT_PIXELS], name=_FLOAT_PIXELS, to=TensorProto.FLOAT)
        nodes.insert(0, cast)
    for name in quantized_pixels:
        _rename_input(nodes, name, PIXELS)
    replace_field(graph.node, nodes)
    _count_concatenated_from_zero(graph)
    drop_unread_constants(graph)
    onnx.checker.check_model(result, full_check=True)
    return result


def _is_pixels(value: str) -> bool:
    """Tell the image, and what is resized from it, from features."""
    return value == PIXELS or re.fullmatch(rf"{PIXELS}\.by\d+", value) is not None


def _make_exact(graph: onnx.GraphProto, resize: onnx.NodeProto) -> None:
    """Let the weights of a resize be the quarters that they are, not the nearest of INT8's steps.

    Where they are INT8 already, their step changes to fit; where they are still rounded on the way, to INT8's least.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    source = producers.get(resize.input[1])
    if source is None or source.op_type != _DEQUANTIZE:
        return
    if source.input[0] in constants:
        steps = np.abs(constants[source.input[0]]).reshape(RGB, -1).max(axis=1)
        scale = np.reshape(RESIZE_WEIGHT / steps, constants[source.input[1]].shape)
        _set_constant(graph, source.input[1], scale.astype(np.float32))
    else:
        for node in (producers[source.input[0]], source):
            scale = np.full(constants[node.input[1]].shape, RESIZE_WEIGHT / INT8_STEPS, np.float32)
            _set_constant(graph, node.input[1], scale)


def _count_concatenated_from_zero(graph: onnx.GraphProto) -> None:
    """Let what is concatenated be uint8 where it is int8: the same steps, counted from another zero.

    OpenVINO (2026.4) rounds signed values that it concatenates before a convolution as if their step were 1.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    read = [producers.get(name) for node in graph.node if node.op_type == "Concat" for name in node.input]
    signed = {
        node.input[0]: node.input[2]
        for node in read
        if node is not None and node.op_type == _DEQUANTIZE and constants[node.input[2]].dtype == np.int8
    }
    for zero_point in signed.values():
        from_zero = constants[zero_point].astype(np.int16) + _INT8_OFFSET
        _set_constant(graph, zero_point, from_zero.astype(np.uint8))
    # The types that are stated are those of before; without them they are inferred.
    changed = {*signed, *signed.values()}
    replace_field(graph.value_info, [value for value in graph.value_info if value.name not in changed])


def _rename_input(nodes: Iterable[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]


def _set_constant(graph: onnx.GraphProto, name: str, values: NDArray[Any]) -> None:
    kept = [tensor for tensor in graph.initializer if tensor.name != name]
    replace_field(graph.initializer, [*kept, numpy_helper.from_array(values, name)])


def _unquantized_layers(network: onnx.ModelProto) -> tuple[str, ...]:
    """Name the convolutions whose weights are not INT8."""
    int8_weights = {node.output[0] for node in network.graph.node if node.op_type == _DEQUANTIZE}
    convolutions = [n for n in network.graph.node if n.op_type in {"Conv", "ConvTranspose"}]
    return tuple(n.name for n in convolutions if n.input[1] not in int8_weights)
