"""Compared networks as model files against PyTorch; of the large ones too, what is written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from onnx import helper
from torch import Tensor, nn

from contextnet.errors import ExportError
from contextnet.export.deployable import fix_size
from contextnet.export.deployment import Target, deploy, model_of
from contextnet.export.graph_writer import GraphWriter
from contextnet.export.network_graph import as_model, network_graph
from contextnet.export.traced_graph import _FUNCTIONS, _LAYERS, _READERS_OF_PIXELS, _Tracer, traced_scores
from contextnet.models.baselines.catalogue import BODIES
from contextnet.models.folding import fold_batch_norm
from contextnet.network_spec import BASELINES, BaselineSpec
from contextnet.runtime.engines import onnx_runtime, openvino
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file, write_onnx_file
from contextnet.runtime.onnx_vocabulary import _BASELINES, _CHOOSING_POOL, OPERATORS
from lively_baselines import SMALL, lively_baseline, lively_baseline_weights
from lively_networks import CLASSES, patches

ENGINES: dict[str, Callable[..., Any]] = {"openvino": openvino.open_engine, "onnxruntime": onnx_runtime.open_engine}
SIZES_HW = [(37, 53), (64, 96), (1, 1)]
PLANES = ("pixels", "pixels.by1.planes", "pixels.by2.planes")
"""The image, parted by colour, and with two columns side by side."""


def planes(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def pair(size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.stack([patches(size_hw, seed) for seed in (3, 4)])


@cache
def model(name: str) -> OnnxFile:
    return model_of(lively_baseline_weights(name), network_graph(lively_baseline(name)), "fp32")


# Whole networks.


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SMALL)
def test_every_engine_computes_what_pytorch_does(name: str, engine: str) -> None:
    """Two images at once, of sizes that are padded and that are not, in a graph of any size and of that size alone."""
    network, spec = lively_baseline(name), lively_baseline(name).spec
    for size_hw in SIZES_HW:
        images = pair(size_hw)
        with torch.inference_mode():
            scores, full = network(planes(images)).scores.numpy(), network.full_size_scores(planes(images))
        expected = full.argmax(dim=1).numpy()
        graph = fix_size(model(name).graph, size_hw, spec.size_multiple, stride=spec.output_stride)
        fixed = OnnxFile(graph, model(name).metadata)
        for file in (model(name), fixed) if size_hw == (37, 53) else (model(name),):
            opened = ENGINES[engine](file, precision="fp32")
            call = opened.submit(images)
            np.testing.assert_allclose(call.scores(), scores, rtol=0, atol=1e-3 * max(1, np.abs(scores).max()))
            assert call.labels().shape == (2, *size_hw)
            assert np.mean(call.labels() == expected) >= 0.999
            opened.close()


@pytest.mark.parametrize("name", SMALL)
def test_the_graphs_own_labels_are_those_of_every_pixel(name: str) -> None:
    network, images = lively_baseline(name), pair((37, 53))
    with torch.inference_mode():
        expected = network.full_size_scores(planes(images)).argmax(dim=1).numpy()
    session = onnxruntime.InferenceSession(model(name).graph.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, scores = session.run(["labels", "scores"], {"image": images})
    assert (labels.dtype, labels.shape, scores.dtype) == (np.uint8, (2, 37, 53), np.float32)
    assert len(np.unique(labels)) > 1, "the comparison would not see a constant answer"
    assert np.mean(labels == expected) >= 0.999


@pytest.mark.parametrize(
    ("name", "scores_hw"), [("enet", (40, 56)), ("icnet", (16, 16)), ("fast-scnn", (8, 8)), ("dabnet", (5, 7))]
)
def test_a_fixed_size_states_the_size_of_the_scores(name: str, scores_hw: tuple[int, int]) -> None:
    spec = lively_baseline(name).spec
    fixed = fix_size(model(name).graph, (37, 53), spec.size_multiple, stride=spec.output_stride)
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*fixed.graph.input, *fixed.graph.output)
    }
    expected = {"image": ["N", 37, 53, 3], "labels": ["N", 37, 53], "scores": ["N", CLASSES, *scores_hw]}
    assert shapes == expected


@pytest.mark.parametrize("name", SMALL)
def test_a_file_is_read_back_and_holds_nothing_foreign(tmp_path: Path, name: str) -> None:
    write_onnx_file(tmp_path / "m.onnx", model(name))
    read = read_onnx_file(tmp_path / "m.onnx")
    assert read.metadata == model(name).metadata
    assert read.metadata.spec == lively_baseline(name).spec
    assert read.graph == model(name).graph
    assert {node.op_type for node in read.graph.graph.node} <= OPERATORS


@pytest.mark.parametrize("name", ["fast-scnn", "dabnet", "icnet"])
def test_openvino_parts_the_image_without_rearranging_it(name: str) -> None:
    """The first convolution reads the pixels as they lie in memory; nothing but their conversion goes over them."""
    core = ov.Core()
    graph = core.read_model(model(name).graph.SerializeToString())
    graph.reshape([1, 64, 96, 3])
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = [str(node.get_rt_info()["layerType"].value) for node in compiled.get_runtime_model().get_ordered_ops()]
    assert "Convolution" in layers
    assert "Transpose" not in layers[: layers.index("Convolution")]


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_is_stored_and_computed_in_half(name: str) -> None:
    graph = network_graph(lively_baseline(name), "fp16").graph
    kept = {"by2", "by4"}
    reals = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert {r for r in reals if not r.endswith(".factors")} <= kept, "factors of a resize alone are float32"
    file = model_of(lively_baseline_weights(name), network_graph(lively_baseline(name), "fp16"), "fp16")
    images = pair((64, 96))
    with torch.inference_mode():
        scores = lively_baseline(name)(planes(images)).scores.numpy()
    opened = ENGINES["onnxruntime"](file, precision="fp32")
    error = np.abs(opened.submit(images).scores() - scores)
    # 11 bits in up to a hundred layers; now and then another pixel of four is taken for the largest.
    assert error.mean() < 0.05 * scores.std()
    opened.close()


@pytest.mark.parametrize(("name", "format_", "size_hw"), [("icnet", "onnx", (150, 210)), ("enet", "openvino", None)])
def test_a_deployment_is_compared_and_kept(
    tmp_path: Path, name: str, format_: str, size_hw: tuple[int, int] | None
) -> None:
    target = Target(tmp_path / ("m.onnx" if format_ == "onnx" else "m.xml"), format_, size_hw)
    images = [patches((128, 192), seed) for seed in (5, 6, 7)]
    deployment = deploy(model(name), lively_baseline(name), target, images)
    exact = [parity for parity in deployment.parities if parity.precision == "fp32"]
    assert {parity.engine for parity in exact} >= {"openvino"}
    assert all(parity.equal_share >= 0.9999 for parity in exact)
    assert all(file.is_file() for file in deployment.files)


# All compared networks, the large ones too: what is written of them, without the weights.


class Outline(GraphWriter):
    """Keeps the shapes of weights alone, and leaves them to be given with the pixels."""

    def __init__(self) -> None:
        super().__init__(np.float32)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def weights(self, name: str, values: ArrayLike) -> str:
        self.shapes[name] = np.shape(values)
        return name


@cache
def weightless_body(name: str) -> nn.Module:
    """A folded body in evaluation mode whose tensors are all zeros and take no memory."""
    with torch.device("meta"):
        body = BODIES[name](BaselineSpec(name, CLASSES))
    body = fold_batch_norm(body)
    for module in body.modules():
        for key, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, key, nn.Parameter(torch.zeros(()).expand(parameter.shape), requires_grad=False))
        for key, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, key, torch.zeros(()).expand(buffer.shape))
    return body


@cache
def outline(name: str) -> onnx.GraphProto:
    """A network as it is exported, held to the ONNX standard, but for the weights."""
    writer = Outline()
    traced_scores(writer, weightless_body(name), "pixels", "scores")
    values = helper.make_tensor_value_info
    inputs = [values("pixels", onnx.TensorProto.FLOAT, ["N", "H", "W", 3])]
    inputs += [values(key, onnx.TensorProto.FLOAT, shape) for key, shape in writer.shapes.items()]
    outputs = [values("scores", onnx.TensorProto.FLOAT, ["N", CLASSES, "rows", "columns"])]
    return as_model(writer.graph(inputs, outputs)).graph


@pytest.mark.parametrize("name", BASELINES)
def test_every_network_is_written_with_all_its_weights(name: str) -> None:
    sizes = [int(np.prod([d.dim_value for d in value.type.tensor_type.shape.dim])) for value in outline(name).input[1:]]
    # DABNet's three averages of 3×3 over three planes, and what ICNet's image is halved by.
    added = {"dabnet": 3 * 3 * 9, "icnet": 3 * 6 * 2}.get(name, 0)
    assert sum(sizes) == sum(p.numel() for p in weightless_body(name).parameters()) + added


def test_every_form_of_the_tables_is_one_of_a_network() -> None:
    layers: set[type[nn.Module]] = set()
    functions: set[Any] = set()
    for name in BASELINES:
        body = weightless_body(name)
        for node in _Tracer().trace(body).nodes:
            if node.op == "call_module":
                layers.add(type(body.get_submodule(str(node.target))))
            elif node.op == "call_function":
                functions.add(node.target)
    assert layers == set(_LAYERS)
    assert functions == set(_FUNCTIONS)
    assert set(_LAYERS) >= _READERS_OF_PIXELS


def test_the_vocabulary_is_what_is_written() -> None:
    """Nothing else is, and whatever is in it for baselines alone is written of one."""
    written_operators = {node.op_type for name in BASELINES for node in outline(name).node}
    assert written_operators <= OPERATORS
    assert written_operators >= _BASELINES | _CHOOSING_POOL


@pytest.mark.parametrize("name", BASELINES)
def test_no_network_touches_the_whole_image_before_its_first_layers(name: str) -> None:
    """As ContextNet: it is parted by colour, and normalization is in the weights of what reads it then."""
    readers = {value: {n.op_type for n in outline(name).node if value in n.input} for value in PLANES}
    assert readers["pixels"] == {"Transpose"} | ({"Reshape"} if name == "icnet" else set())
    assert readers["pixels.by1.planes"] == {"Conv"} | ({"MaxPool"} if name in {"enet", "erfnet"} else set())
    assert readers["pixels.by2.planes"] == ({"Conv"} if name == "icnet" else set())
    assert "input.scale" not in {value.name for value in outline(name).input}


def test_a_network_with_an_unknown_layer_is_refused() -> None:
    network = copy.deepcopy(lively_baseline("dabnet"))
    network.body.injection2.act = nn.Sigmoid()
    with pytest.raises(ExportError, match=r"^layer 'injection2\.act', a Sigmoid, has no form in the model file$"):
        network_graph(network)


def test_the_network_is_left_as_it_is() -> None:
    network = copy.deepcopy(lively_baseline("enet")).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network_graph(network)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
