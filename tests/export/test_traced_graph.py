"""Compared networks as model files against PyTorch, and every layer of theirs on its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.errors import ExportError
from contextnet.export.deployable import fix_size
from contextnet.export.deployment import Target, deploy, model_of
from contextnet.export.graph_writer import GraphWriter
from contextnet.export.network_graph import as_model, network_graph
from contextnet.export.traced_graph import traced_scores
from contextnet.models.baselines.dabnet import AveragePool
from contextnet.models.baselines.enet import PadChannels
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import Downscale
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale
from contextnet.runtime.engines import onnx_runtime, openvino
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file, write_onnx_file
from contextnet.runtime.onnx_vocabulary import OPERATORS
from lively_baselines import SMALL, lively_baseline, lively_baseline_weights
from lively_networks import CLASSES, patches

ENGINES: dict[str, Callable[..., Any]] = {"openvino": openvino.open_engine, "onnxruntime": onnx_runtime.open_engine}
SIZES_HW = [(37, 53), (64, 96), (1, 1)]


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


def test_every_operator_of_the_vocabulary_that_is_for_baselines_is_written_by_one() -> None:
    written = {node.op_type for name in SMALL for node in model(name).graph.graph.node}
    baselines = {"ConvTranspose", "Relu", "PRelu", "MaxPool", "Identity"}
    choosing = {"SpaceToDepth", "Split", "Max", "Equal", "Not", "Or", "DepthToSpace"}
    assert baselines | choosing <= written & OPERATORS


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


# Layers on their own: a body of a few of them, and what engines make of it.


class Chain(nn.Module):
    """Layers one after the other."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return self.layers(image), None


def written(body: nn.Module) -> onnx.ModelProto:
    """A body as a model; its scores may have any number of maps."""
    writer = GraphWriter(np.float32)
    traced_scores(writer, body, "pixels", "scores")
    values = helper.make_tensor_value_info
    inputs = [values("pixels", onnx.TensorProto.FLOAT, ["N", "H", "W", 3])]
    outputs = [values("scores", onnx.TensorProto.FLOAT, ["N", "C", "rows", "columns"])]
    return as_model(writer.graph(inputs, outputs))


def computed(graph: onnx.ModelProto, pixels: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    yield np.asarray(session.run(None, {"pixels": pixels})[0])
    core = ov.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    yield core.compile_model(core.read_model(graph.SerializeToString()), "CPU", exact)([pixels])[0]


def assert_alike(body: nn.Module, *sizes_hw: tuple[int, int], levels: int = 256) -> None:
    """Compare one graph at several sizes; of few ``levels`` a pixel's neighbours are often equal."""
    torch.manual_seed(5)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, -1.5, 1.5), (module.bias, -1.0, 1.0)):
                nn.init.uniform_(tensor, low, high)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.3, 2.0)
    graph, generator = written(body), np.random.default_rng(6)
    for size_hw in sizes_hw:
        steps = generator.integers(0, levels, (2, *size_hw, 3))
        pixels = (steps * (255 // max(1, levels - 1))).astype(np.float32)
        with torch.no_grad():
            expected = body.eval()(torch.from_numpy(pixels).permute(0, 3, 1, 2) * (1 / 255))[0].numpy()
        for found in computed(graph, pixels):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([nn.Conv2d(3, 4, 3, padding=1)], id="bias"),
        pytest.param([nn.Conv2d(3, 6, (3, 1), padding=(4, 0), dilation=(4, 1), groups=3, bias=False)], id="column"),
        pytest.param([nn.Conv2d(3, 4, (5, 2), stride=(2, 1), padding=(2, 1), bias=False)], id="oblong"),
        pytest.param([nn.ConvTranspose2d(3, 5, 3, 2, padding=1, output_padding=1, bias=False)], id="doubling"),
        pytest.param([nn.ConvTranspose2d(3, 5, 2, 2)], id="classifier"),
        pytest.param([nn.ConvTranspose2d(3, 6, (3, 2), (2, 1), padding=(1, 0), groups=3)], id="transposed in groups"),
        pytest.param([nn.BatchNorm2d(3, 1e-1)], id="batch norm alone"),
        pytest.param([nn.BatchNorm2d(3), nn.ReLU(inplace=True)], id="ReLU"),
        pytest.param([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU6()], id="ReLU6"),
        pytest.param([nn.BatchNorm2d(3), nn.PReLU(3), nn.BatchNorm2d(3), nn.PReLU()], id="PReLU"),
        pytest.param([nn.BatchNorm2d(3), nn.MaxPool2d(3, 2, padding=1)], id="max pooling"),
        pytest.param([nn.MaxPool2d(2)], id="max pooling without overlap"),
        pytest.param([nn.MaxPool2d((2, 3), (1, 2))], id="oblong pooling"),
        pytest.param([AveragePool(3, 3, stride=2), AveragePool(3, 5, stride=1)], id="average pooling, zeros counted"),
        pytest.param([nn.Dropout(), nn.Identity(), nn.Dropout2d(), nn.Conv2d(3, 2, 1)], id="what does nothing"),
        pytest.param([PadChannels(2), nn.Conv2d(5, 4, 1)], id="zero maps"),
        pytest.param([Upscale(2), Upscale(4)], id="upscale"),
        pytest.param([Upscale(1), Downscale(1), nn.Identity(), nn.Conv2d(3, 2, 1)], id="resize by one"),
    ],
)
def test_a_layer_is_written_as_pytorch_computes_it(layers: list[nn.Module]) -> None:
    for prelu in (layer for layer in layers if isinstance(layer, nn.PReLU)):
        nn.init.uniform_(prelu.weight, 0.1, 0.9)
    assert_alike(Chain(*layers), (8, 12), (7, 9))


@pytest.mark.parametrize("factor", [2, 4])
def test_downscale(factor: int) -> None:
    assert_alike(Chain(Downscale(factor)), (8, 12), (16, 4))


class Choosing(nn.Module):
    """Poolings in one another; what is put back is another than what was taken, and nowhere 0."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.unpool = ChoosingPool(), Unpool()
        self.outer, self.inner = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        half, outer_choice = self.pool(image)
        quarter, inner_choice = self.pool(half)
        raised = self.unpool(self.inner(quarter), inner_choice)
        return self.unpool(self.outer(half) + raised, outer_choice), None


# Of two levels all four pixels of a window are equal in every eighth; of one in all.
@pytest.mark.parametrize("levels", [1, 2, 3, 256])
def test_choosing_takes_the_same_pixel_as_pytorch_of_equal_ones_too(levels: int) -> None:
    assert_alike(Choosing(), (8, 12), (4, 4), (16, 20), levels=levels)


def test_of_equal_pixels_the_first_is_chosen() -> None:
    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.unpool = ChoosingPool(), Unpool()

        def forward(self, image: Tensor) -> tuple[Tensor, None]:
            pooled, choice = self.pool(image)
            return self.unpool(pooled, choice), None

    windows = [[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]]
    taken = [0, 1, 2, 1, 0, 3]
    pixels = np.zeros((1, 2, 12, 3), np.float32)
    expected = np.zeros((1, 3, 2, 12), np.float32)
    for index, (window, place) in enumerate(zip(windows, taken, strict=True)):
        pixels[0, :, 2 * index : 2 * index + 2] = 255 * np.reshape(window, (2, 2, 1))
        expected[0, :, place // 2, 2 * index + place % 2] = 1
    for found in computed(written(Placed()), pixels):
        np.testing.assert_allclose(found, expected, atol=1e-6)


class Grids(nn.Module):
    """Averages over grids of several sizes, spread again, side by side."""

    def __init__(self, grids: tuple[int, ...], dim_by_name: bool) -> None:
        super().__init__()
        self.levels, self.spread = nn.ModuleList(GridAverage(grid) for grid in grids), SpreadGrid()
        self.dim_by_name = dim_by_name

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        spread = [self.spread(level(image), image) for level in self.levels]
        return (torch.cat(spread, dim=1) if self.dim_by_name else torch.cat(spread, 1)), None


# Of 5, 7 and 13 rows no grid but that of one cell divides any; a grid of 6 on 5 rows or on 1 has rows in several cells.
@pytest.mark.parametrize("dim_by_name", [False, True])
def test_grids_whose_cells_overlap(dim_by_name: bool) -> None:
    assert_alike(Grids((1, 2, 3, 6), dim_by_name), (5, 7), (13, 6), (1, 2), (12, 18))


def test_a_grid_is_averaged_without_being_spread() -> None:
    assert_alike(Chain(GridAverage(4)), (5, 7), (8, 4))


class Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        total = self.one(image) + self.other(image)
        total += self.one(image)
        return torch.cat([total, image], dim=-3), None


def test_sums_and_stacks() -> None:
    assert_alike(Sums(), (4, 6))


# What there is no form for.


class Doing(nn.Module):
    """Does one thing in Python."""

    def __init__(self, what: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.what, self.shift, self.act = what, nn.Parameter(torch.zeros(3, 1, 1)), nn.ReLU()

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return self.what(self, image), None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (Chain(nn.Conv2d(3, 4, 1), nn.Sigmoid()), "layer 'layers.1', a Sigmoid, has no form in the model file"),
        (Chain(nn.GELU()), "layer 'layers.0', a GELU, has no form in the model file"),
        (Chain(nn.Conv1d(3, 4, 1)), "layer 'layers.0', a Conv1d, has no form in the model file"),
        (Doing(lambda _, image: F.relu(image)), "operation 'relu' has no form in the model file"),
        (Doing(lambda _, image: image * 2), "operation 'mul' has no form in the model file"),
        (Doing(lambda _, image: image.mean((2, 3), keepdim=True)), "operation 'mean' has no form in the model file"),
        (Doing(lambda own, image: image + own.shift), "operation 'shift' has no form in the model file"),
        (Doing(lambda own, image: own.act(input=image)), "layer 'act', a ReLU, has no form in the model file"),
        (Doing(lambda _, image: image + 1), "a sum of features and a number has no form in the model file"),
        (Chain(nn.MaxPool2d(2, ceil_mode=True)), "MaxPool2d(.*): only plain pooling has a form in the model file"),
        (Chain(nn.MaxPool2d(2, dilation=2)), "MaxPool2d(.*): only plain pooling has a form in the model file"),
        (Chain(nn.AvgPool2d(2)), "layer 'layers.0', a AvgPool2d, has no form in the model file"),
        (Chain(nn.Conv2d(3, 3, 3, padding="same")), "Conv2d(.*): only padding by a number of zeros has a form"),
        (
            Chain(nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate")),
            "Conv2d(.*): only padding by a number of zeros has a form in the model file",
        ),
    ],
)
def test_what_has_no_form_is_named(body: nn.Module, message: str) -> None:
    with pytest.raises(ExportError, match=f"^{message}"):
        written(body)


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
