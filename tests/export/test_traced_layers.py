"""Every layer of the compared networks on its own: a body of a few of them, and what engines make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from contextnet.export.graph_writer import GraphWriter
from contextnet.export.network_graph import as_model
from contextnet.export.traced_graph import traced_scores
from contextnet.models.baselines.dabnet import AveragePool
from contextnet.models.baselines.enet import PadChannels
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import Downscale
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale


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
        pytest.param([nn.BatchNorm2d(3), nn.PReLU(3), nn.BatchNorm2d(3), nn.PReLU()], id="PReLU"),
        pytest.param([nn.BatchNorm2d(3), nn.MaxPool2d(3, 2, padding=1)], id="max pooling"),
        pytest.param([nn.MaxPool2d(2)], id="max pooling without overlap"),
        pytest.param([nn.MaxPool2d((2, 3), (1, 2))], id="oblong pooling"),
        pytest.param([AveragePool(3, 3, stride=2), AveragePool(3, 5, stride=1)], id="average pooling, zeros counted"),
        pytest.param([nn.Dropout(), nn.Identity(), nn.Dropout2d(), nn.Conv2d(3, 2, 1)], id="what does nothing"),
        pytest.param([nn.MaxPool2d(2), nn.Identity(), nn.Conv2d(3, 4, 3, padding=1)], id="normalized behind pooling"),
        pytest.param([nn.MaxPool2d(2), nn.MaxPool2d(2), nn.BatchNorm2d(3)], id="normalized behind two poolings"),
        pytest.param([nn.MaxPool2d(2), nn.ReLU(inplace=True)], id="normalized for an activation"),
        pytest.param([PadChannels(2), nn.Conv2d(5, 4, 1)], id="zero maps"),
        pytest.param([Upscale(2), Upscale(4)], id="upscale"),
        pytest.param([Upscale(1), Downscale(1), nn.Identity(), nn.Conv2d(3, 2, 1)], id="resize by one"),
    ],
)
def test_a_layer_is_written_as_pytorch_computes_it(layers: list[nn.Module]) -> None:
    for prelu in (layer for layer in layers if isinstance(layer, nn.PReLU)):
        nn.init.uniform_(prelu.weight, 0.1, 0.9)
    assert_alike(Chain(*layers), (8, 12), (7, 9))


@pytest.mark.parametrize("before", [[], [nn.Identity()], [nn.MaxPool2d(3, 1, padding=1)], [nn.Conv2d(3, 4, 1)]])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downscale(factor: int, before: list[nn.Module]) -> None:
    assert_alike(Chain(*before, Downscale(factor)), (12, 24), (24, 12))


def read_by(body: nn.Module, operator: str) -> list[str]:
    """What the nodes of one kind read first."""
    return [node.input[0] for node in written(body).graph.node if node.op_type == operator]


@pytest.mark.parametrize(
    ("layers", "multiplied"),
    [
        ([nn.Conv2d(3, 4, 3)], []),
        ([nn.ConvTranspose2d(3, 4, 2, 2)], []),
        ([nn.BatchNorm2d(3), nn.ReLU()], []),
        ([AveragePool(3, 3, 2), nn.ReLU()], []),
        ([nn.Identity(), nn.MaxPool2d(2), Downscale(2), nn.Dropout(), nn.Dropout2d(), nn.Conv2d(3, 4, 1)], []),
        ([nn.MaxPool2d(2), nn.ReLU()], ["traced.layers_0"]),
        ([Downscale(2), nn.PReLU()], ["pixels.by2"]),
        ([Downscale(4), nn.Dropout(), PadChannels(1)], ["pixels.by4"]),
        ([Downscale(3), Upscale(3)], ["traced.layers_0"]),
        ([nn.MaxPool2d(2)], ["traced.layers_0"]),
        ([GridAverage(1)], ["pixels.by1.planes"]),
    ],
)
def test_normalization_is_in_weights_or_comes_once_the_image_is_small(
    layers: list[nn.Module], multiplied: list[str]
) -> None:
    nodes = written(Chain(*layers)).graph.node
    assert [node.input[0] for node in nodes if "input.scale" in node.input] == multiplied


def test_pixels_that_several_read_are_multiplied_once() -> None:
    nodes = written(Grids(1, 2)).graph.node
    assert sum("input.scale" in node.input for node in nodes) == 1


@pytest.mark.parametrize(
    ("layers", "is_packed"),
    [
        ([Downscale(2)], True),
        ([nn.Identity(), Downscale(4)], True),
        ([Downscale(3)], False),
        ([nn.MaxPool2d(2), Downscale(2)], False),
        ([Downscale(2), Downscale(2)], False),
        ([nn.Conv2d(3, 4, 1), Downscale(2)], False),
    ],
)
def test_the_image_alone_is_shrunk_by_reading_several_columns_as_one(layers: list[nn.Module], is_packed: bool) -> None:
    assert ("Resize" not in {node.op_type for node in written(Chain(*layers)).graph.node}) == is_packed


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

    def __init__(self, *grids: int) -> None:
        super().__init__()
        self.levels, self.spread = nn.ModuleList(GridAverage(grid) for grid in grids), SpreadGrid()

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return torch.cat([self.spread(level(image), image) for level in self.levels], dim=1), None


# Of 5, 7 and 13 rows no grid but that of one cell divides any; a grid of 6 on 5 rows or on 1 has rows in several cells.
def test_grids_whose_cells_overlap() -> None:
    assert_alike(Grids(1, 2, 3, 6), (5, 7), (13, 6), (1, 2), (12, 18))


def test_a_grid_is_averaged_without_being_spread() -> None:
    assert_alike(Chain(GridAverage(4)), (5, 7), (8, 4))


class Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        total = self.one(image) + self.other(image)
        return torch.cat([total + self.one(image), image], dim=-3), None


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
        (Doing(lambda _, image: torch.cat([image, image], 1)), "a concatenation other than cat.* has no form in the"),
        (Doing(lambda _, image: torch.cat([image, image])), "a concatenation other than cat.* has no form in the"),
        (Doing(lambda _, image: torch.cat(tensors=[image], dim=1)), "a concatenation other than cat.* has no form in"),
        (Doing(lambda _, image: torch.cat([image], dim=1, out=None)), "a concatenation other than cat.* has no form"),
        (Doing(lambda _, image: image[:, :2]), "a part of features has no form in the model file"),
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
