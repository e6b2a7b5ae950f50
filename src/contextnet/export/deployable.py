"""The deployable graph: uint8 images in, ``labels`` and ``scores`` out, around the network's own graph.

In front stands the padding by edge replication, behind the upsampling, the argmax and the crop back. A graph computes
both sizes from the image that it is given; fixed to one size it holds the numbers instead, and where the size needs no
padding, no padding either.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contextnet.export.graph_writer import GraphWriter
from contextnet.export.layers import RGB, upscale
from contextnet.export.network_graph import NETWORK_SCORES, PIXELS, as_model
from contextnet.runtime.onnx_file import IMAGE, LABELS, SCORES
from contextnet.runtime.onnx_graph import drop_unread_constants, replace_field

_SIZE, _NEGATIVE, _BELOW_RIGHT, _PADDING = "image.size", "image.size.negative", "image.below_right", "image.padding"
_PADDED, _WHOLE = "image.padded", "image.whole"


def deployable(network: onnx.ModelProto, multiple: int, *, stride: int) -> onnx.ModelProto:
    """Put around a network's graph what lies between an image and its labels, for every image size.

    Input ``image`` uint8 (N, H, W, 3) RGB; outputs ``labels`` uint8 (N, H, W) train ids and ``scores`` float32
    (N, classes, H' / ``stride``, W' / ``stride``), H' and W' padded to ``multiple``. A network that reads uint8 gets
    the pixels as they are, for others they are converted.
    """
    pixels, scores = network.graph.input[0], network.graph.output[0]
    writer = GraphWriter(np.float32)
    _add_padding(writer, multiple)
    _add_conversion(writer, network.graph, pixels.type.tensor_type.elem_type)
    writer.append(network.graph)
    writer.node("Cast", [NETWORK_SCORES], SCORES, to=TensorProto.FLOAT)
    raised = SCORES if stride == 1 else upscale(writer, SCORES, stride, "scores.raised")
    starts, axes = writer.integers("crop.starts", [0, 0]), writer.integers("crop.axes", [2, 3])
    cropped = writer.node("Slice", [raised, starts, _SIZE, axes], "scores.full_size")
    best = writer.node("ArgMax", [cropped], "labels.wide", axis=1, keepdims=0)
    writer.node("Cast", [best], LABELS, to=TensorProto.UINT8)
    classes = scores.type.tensor_type.shape.dim[1].dim_value
    values = helper.make_tensor_value_info
    image = values(IMAGE, TensorProto.UINT8, ["N", "H", "W", RGB])
    labels = values(LABELS, TensorProto.UINT8, ["N", "H", "W"])
    outputs = [labels, values(SCORES, TensorProto.FLOAT, ["N", classes, "rows", "columns"])]
    return as_model(writer.graph([image], outputs))


def fix_size(model: onnx.ModelProto, size_hw: tuple[int, int], multiple: int, *, stride: int) -> onnx.ModelProto:
    """Give a copy of a deployable graph that reads images of one size alone, still any number at a time.

    ``multiple`` and ``stride`` are the network's, as they were when the graph was made.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    graph = fixed.graph
    below, right = (-side % multiple for side in size_hw)
    known = {_SIZE: np.array(size_hw, np.int64), _PADDING: np.array([0, 0, 0, 0, 0, below, right, 0], np.int64)}
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in known.items())
    replaced = {_SIZE, _NEGATIVE, _BELOW_RIGHT, _PADDING}
    if not (below or right):
        replaced.add(_PADDED)
        for node in graph.node:
            node.input[:] = [IMAGE if name == _PADDED else name for name in node.input]
    replace_field(graph.node, [node for node in graph.node if node.name not in replaced])
    drop_unread_constants(graph)
    _set_sizes(graph.input[0], 1, size_hw)
    rows_columns = ((size_hw[0] + below) // stride, (size_hw[1] + right) // stride)
    for output in graph.output:
        _set_sizes(output, *((1, size_hw) if output.name == LABELS else (2, rows_columns)))
    onnx.checker.check_model(fixed, full_check=True)
    return fixed


def _add_padding(writer: GraphWriter, multiple: int) -> None:
    """Add what replicates the bottom and right edges until height and width are divisible by ``multiple``."""
    writer.node("Shape", [IMAGE], _SIZE, start=1, end=3)
    writer.node("Neg", [_SIZE], _NEGATIVE)
    writer.node("Mod", [_NEGATIVE, writer.integers("image.multiple", multiple)], _BELOW_RIGHT)
    before, channels = writer.integers("image.padding.before", [0] * 5), writer.integers("image.padding.channels", [0])
    writer.node("Concat", [before, _BELOW_RIGHT, channels], _PADDING, axis=0)
    writer.node("Pad", [IMAGE, _PADDING], _PADDED, mode="edge")


def _add_conversion(writer: GraphWriter, network: onnx.GraphProto, to: int) -> None:
    """Add what converts the padded image to what the network reads.

    A conversion that a Transpose alone reads OpenVINO would put behind it, and then rearrange the image twice; one of
    two steps it leaves in front.
    """
    is_parted_at_once = [node.op_type for node in network.node if PIXELS in node.input] == ["Transpose"]
    whole = writer.node("Cast", [_PADDED], _WHOLE, to=TensorProto.INT32) if is_parted_at_once else _PADDED
    writer.node("Cast", [whole], PIXELS, to=to)


def _set_sizes(value: onnx.ValueInfoProto, first: int, sizes: tuple[int, int]) -> None:
    for offset, size in enumerate(sizes):
        value.type.tensor_type.shape.dim[first + offset].dim_value = size
