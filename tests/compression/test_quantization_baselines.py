"""INT8 of compared networks: every convolution quantized, transposed ones too, and files that engines compute."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from contextnet.compression.quantization import Quantized, quantize
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import PIXELS, network_graph
from contextnet.runtime.engines.openvino import open_engine
from contextnet.runtime.onnx_file import read_onnx_file, write_onnx_file
from contextnet.runtime.onnx_vocabulary import OPERATORS
from lively_baselines import lively_baseline, lively_baseline_weights
from lively_networks import patches

CALIBRATION = [patches((96, 128), seed) for seed in range(10, 13)]


class Content:
    """A judge whom every network pleases."""

    measure = "figure"
    choosing, accepting = (0,), (0,)

    def __call__(self, network: onnx.ModelProto, images: Sequence[int]) -> tuple[float, list[float]]:
        return 1.0, [1.0] * len(images)


@cache
def quantized(name: str) -> Quantized:
    network = lively_baseline(name)
    return quantize(network_graph(network), CALIBRATION, network.spec.size_multiple, Content(), max_drop=0.01)


@pytest.mark.parametrize(("name", "correlation"), [("fast-scnn", 0.9), ("erfnet", 0.75), ("enet", 0.75)])
def test_an_int8_file_scores_like_its_source_in_every_engine(tmp_path: Path, name: str, correlation: float) -> None:
    """Untrained networks make roundings grow: what is compared is how scores go together, not their labels."""
    result, network = quantized(name), lively_baseline(name)
    assert result.kept_in_float == ()
    write_onnx_file(tmp_path / "m.onnx", model_of(lively_baseline_weights(name), result.network, "int8"))
    file = read_onnx_file(tmp_path / "m.onnx")
    assert {node.op_type for node in file.graph.graph.node} <= OPERATORS
    parameters = sum(p.numel() for p in network.parameters())
    assert (tmp_path / "m.onnx").stat().st_size < 2 * parameters, "in float32 it is four bytes each"
    image = CALIBRATION[0][None]
    with torch.inference_mode():
        expected = network(torch.from_numpy(image).permute(0, 3, 1, 2)).scores.numpy()
    session = onnxruntime.InferenceSession(file.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    opened = open_engine(file, precision="fp32")
    assert opened.info.precision == "int8+fp32"
    for scores in (session.run(["scores"], {"image": image})[0], opened.submit(image).scores()):
        assert scores.shape == expected.shape
        assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > correlation
    opened.close()


@pytest.mark.parametrize("name", ["fast-scnn", "erfnet", "enet", "icnet", "dabnet"])
def test_the_image_is_read_as_it_is(name: str) -> None:
    """Whatever reads it: convolutions of several kinds, a pooling, a resize."""
    graph = quantized(name).network.graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = [node for node in graph.node if PIXELS in node.input]
    assert {node.op_type for node in readers} == {"DequantizeLinear"}
    assert {(float(constants[node.input[1]]), int(constants[node.input[2]])) for node in readers} == {(1.0, 0)}


def masks(network: onnx.ModelProto, image: NDArray[np.generic]) -> list[NDArray[np.float32]]:
    """What each pooling that is undone chooses: (4, N, C, h, w), for every pixel of its windows whether it is taken."""
    shown = onnx.ModelProto()
    shown.CopyFrom(network)
    names = [node.output[0] for node in shown.graph.node if node.name[:-1].endswith(".mask")]
    shown.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(names, {PIXELS: image[None]})
    return [np.stack(found[start : start + 4]) for start in range(0, len(found), 4)]


def test_unpooling_puts_every_feature_where_pooling_took_one_in_int8_too() -> None:
    image = CALIBRATION[0]
    exact = masks(network_graph(lively_baseline("enet")), image.astype(np.float32))
    rounded = masks(quantized("enet").network, image)
    assert len(exact) == len(rounded) == 2
    for expected, found in zip(exact, rounded, strict=True):
        assert (found.sum(axis=0) == 1).all()
        # A fourth would be the same by chance.
        assert np.mean(found.argmax(axis=0) == expected.argmax(axis=0)) > 0.8


def test_transposed_convolutions_in_float_are_told() -> None:
    from contextnet.compression.quantization import _unquantized_layers

    layers = _unquantized_layers(network_graph(lively_baseline("erfnet")))
    assert {"traced.decoder_0_conv", "traced.decoder_3_conv", "traced.classifier"} < set(layers)
