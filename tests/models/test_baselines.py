"""The compared networks against their papers: parameters, shapes, layers, and what export and folding rely on."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from contextnet.models.baselines.catalogue import BODIES
from contextnet.models.baselines.dabnet import AsymmetricBottleneck, AveragePool, DABNet
from contextnet.models.baselines.deeplab_v2 import AtrousPyramid, DeepLabV2
from contextnet.models.baselines.enet import Bottleneck as ENetBottleneck
from contextnet.models.baselines.enet import DownBottleneck, ENet, PadChannels, UpBottleneck
from contextnet.models.baselines.erfnet import ERFNet, NonBottleneck1D
from contextnet.models.baselines.fast_scnn import FastSCNN, FeatureFusion
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import CascadeFusion, Downscale, ICNet, SummedPyramid
from contextnet.models.baselines.pooled_downsampler import PooledDownsampler
from contextnet.models.baselines.pspnet import PSPNet
from contextnet.models.baselines.pyramid_pooling import StackedPyramid
from contextnet.models.baselines.residual import ResidualBottleneck
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale
from contextnet.models.blocks import Bottleneck
from contextnet.models.conv_units import conv_unit, doubling_unit, prelu, relu
from contextnet.models.folding import fold_batch_norm
from contextnet.network_spec import BaselineSpec
from contextnet.spec import BottleneckSpec

NAMES = tuple(BODIES)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors are small here: threads that wait for each other cost more than they spare."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _outline(name: str, num_classes: int = 19, *, auxiliary: bool = True, dropout: float = 0.1) -> nn.Module:
    """A network in training mode without memory: names and shapes alone."""
    with torch.device("meta"):
        return BODIES[name](BaselineSpec(name, num_classes, auxiliary, dropout))


def _network(name: str, num_classes: int = 3, *, auxiliary: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return _spirited(BODIES[name](BaselineSpec(name, num_classes, auxiliary, dropout=0.0)))


def _spirited(network: nn.Module) -> nn.Module:
    """He initialization, so that the signal reaches the last layer; the papers' own dropout off."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return network


def _settled(network: nn.Module, image: Tensor) -> nn.Module:
    """An evaluating network whose batch norms fit their activations, with shifts and scales that are not trivial."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(image)
    return network.eval()


def _image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def _meta_image(height: int, width: int) -> Tensor:
    return torch.empty((2, 3, height, width), device="meta")


def _shape(scores: Tensor | None) -> tuple[int, ...] | None:
    return None if scores is None else tuple(scores.shape)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)]


def _of(network: nn.Module, kind: type) -> Iterator[nn.Module]:
    return (m for m in network.modules() if isinstance(m, kind))


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# Parameters.


@pytest.mark.parametrize(
    ("name", "count", "folded", "quoted"),
    [
        ("segnet", 29_446_035, 29_438_099, 29.46e6),
        ("enet", 363_618, 359_445, 0.37e6),
        ("icnet", 6_699_987, 6_685_715, 6.68e6),
        ("erfnet", 2_060_978, 2_057_765, 2.1e6),
        ("pspnet", 65_707_475, 65_652_051, 65.7e6),
        ("deeplab-v2", 43_901_068, 43_848_396, 44e6),
        ("fast-scnn", 1_137_795, 1_125_955, 1.11e6),
        ("dabnet", 756_643, 753_990, 0.76e6),
    ],
)
def test_parameters_beside_table_6_and_the_papers(name: str, count: int, folded: int, quoted: float) -> None:
    network = _outline(name, auxiliary=False)
    assert _count(network) == count
    assert _count(fold_batch_norm(network)) == folded
    # Fast-SCNN's 1.11 M leave out batch norm's scale and shift: see the test of its kernels.
    nearest = folded if name == "fast-scnn" else count
    assert abs(nearest / quoted - 1) < 0.02


def test_the_kernels_of_fast_scnn_are_the_papers_1_11_million() -> None:
    network = _outline("fast-scnn", auxiliary=False)
    kernels = sum(c.weight.numel() for c in _convolutions(network))
    assert kernels + 19 == 1_114_115, "nothing but the classifier has a bias"


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("segnet", 0),
        ("enet", 0),
        ("icnet", 128 * 19 + 19),
        ("erfnet", 0),
        ("pspnet", 1024 * 256 * 9 + 2 * 256 + 256 * 19 + 19),
        ("deeplab-v2", 0),
        ("fast-scnn", 128 * 19 + 19),
        ("dabnet", 0),
    ],
)
def test_the_auxiliary_head_is_all_that_auxiliary_adds(name: str, added: int) -> None:
    with_head, without = _outline(name), _outline(name, auxiliary=False)
    names = {n for n, _ in with_head.named_parameters()} - {n for n, _ in without.named_parameters()}
    assert _count(with_head) - _count(without) == added
    assert all(n.startswith("auxiliary.") for n in names)
    assert ("auxiliary.classifier.weight" in names) == bool(added) == BaselineSpec(name, 19, auxiliary=True).auxiliary


# Shapes.


@pytest.mark.parametrize(
    ("name", "auxiliary_stride"),
    [
        ("segnet", None),
        ("enet", None),
        ("icnet", 8),
        ("erfnet", None),
        ("pspnet", 8),
        ("deeplab-v2", None),
        ("fast-scnn", 32),
        ("dabnet", None),
    ],
)
def test_in_training_auxiliary_scores_lie_over_the_image_at_a_stride_of_their_own(
    name: str, auxiliary_stride: int | None
) -> None:
    spec = BaselineSpec(name, 5)
    network, stride = _outline(name, 5), spec.output_stride
    for rows, columns in ((1, 1), (3, 2)):
        height, width = rows * spec.size_multiple, columns * spec.size_multiple
        scores, auxiliary = network.train()(_meta_image(height, width))
        assert _shape(scores) == (2, 5, height // stride, width // stride)
        grid = None if auxiliary_stride is None else (2, 5, height // auxiliary_stride, width // auxiliary_stride)
        assert _shape(auxiliary) == grid
        assert network.eval()(_meta_image(height, width))[1] is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_classifier_yields_one_map_for_each_class(name: str) -> None:
    network = _outline(name, 7)
    found = 0
    for path, _ in network.named_parameters():
        if "classifier" in path.split("."):
            layer = network.get_submodule(path.rpartition(".")[0])
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            assert layer.out_channels == 7
            found += 1
    assert found > 0
    others = [m for p, m in network.named_modules() if "classifier" not in p.split(".")]
    assert not [m for m in others if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.out_channels == 7]


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("segnet", []),
        ("enet", []),
        ("icnet", []),
        ("erfnet", []),
        ("pspnet", [0.3, 0.1]),
        ("deeplab-v2", []),
        ("fast-scnn", [0.3]),
        ("dabnet", []),
    ],
)
def test_dropout_stands_before_the_classifier_where_the_paper_has_it(name: str, rates: list[float]) -> None:
    network = _outline(name, 2, dropout=0.3)
    assert (BaselineSpec(name, 2, dropout=0.3).dropout > 0) == bool(rates), "what lacks dropout states none"
    assert [m.p for m in _of(network, nn.Dropout)] == rates
    if rates:
        passed: list[Tensor] = []
        network.get_submodule("dropout").register_forward_hook(lambda module, inputs, output: passed.append(output))
        network.get_submodule("classifier").register_forward_hook(lambda module, inputs, output: passed.extend(inputs))
        network(_meta_image(32, 32))
        assert network.get_submodule("dropout").p == 0.3
        assert len(passed) == 2
        assert passed[0] is passed[1]


# Training, folding, tracing.


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_receives_a_gradient(name: str) -> None:
    network = _network(name, auxiliary=True).train()
    scores, auxiliary = network(_image(64, 64, batch=2))
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(2))
    loss = (scores * weights).sum()
    if auxiliary is not None:
        loss = loss + (auxiliary**2).sum()
    loss.backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path
        assert parameter.grad.any(), path


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("segnet", 0),
        ("enet", 1),
        ("icnet", 0),
        ("erfnet", 3),
        ("pspnet", 0),
        ("deeplab-v2", 0),
        ("fast-scnn", 0),
        ("dabnet", 2 * 9 + 3 + 1),
    ],
)
def test_folding_keeps_the_scores_and_leaves_only_norms_without_convolution(name: str, left: int) -> None:
    network = _settled(_network(name), _image(64, 96, batch=2))
    folded = fold_batch_norm(network)
    assert len(list(_of(folded, nn.BatchNorm2d))) == left
    with torch.no_grad():
        scores, folded_scores = network(_image(64, 96))[0], folded(_image(64, 96))[0]
    assert scores.std() > 0.1
    assert (folded_scores - scores).abs().max() < 1e-3 * scores.abs().max()


_LEAVES = (
    *(nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.PReLU, nn.MaxPool2d, AveragePool),
    *(nn.Dropout, nn.Dropout2d, nn.Identity),
    *(Upscale, Downscale, GridAverage, SpreadGrid, ChoosingPool, Unpool, PadChannels),
)
_FUNCTIONS = {operator.add, operator.getitem, torch.cat}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LEAVES)


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_holds_known_layers_alone_and_fits_every_size(name: str) -> None:
    network = _outline(name, 5).eval()
    graph = _Tracer().trace(network)
    calls = {type(network.get_submodule(n.target)) for n in graph.nodes if n.op == "call_module"}
    assert calls <= set(_LEAVES)
    assert {n.target for n in graph.nodes if n.op == "call_function"} <= _FUNCTIONS
    assert {n.op for n in graph.nodes} == {"placeholder", "call_module", "call_function", "output"}
    assert all(n.kwargs == {"dim": 1} for n in graph.nodes if n.target is torch.cat)
    traced = fx.GraphModule(network, graph)
    for height, width in ((32, 32), (96, 64)):
        assert _shape(traced(_meta_image(height, width))[0]) == _shape(network(_meta_image(height, width))[0])


@pytest.mark.parametrize("name", ["enet", "erfnet", "icnet", "fast-scnn", "dabnet"])
def test_a_trace_gives_the_networks_scores(name: str) -> None:
    network = _settled(_network(name), _image(64, 64, batch=2))
    traced = fx.GraphModule(network, _Tracer().trace(network))
    with torch.no_grad():
        assert torch.equal(traced(_image(96, 64))[0], network(_image(96, 64))[0])


# Layers that they share.


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pooling_with_choice_is_torchs_pooling_with_indices(memory_format: torch.memory_format) -> None:
    # Whole numbers of 0…2 as after a ReLU: most windows have ties, many are all zero.
    values = torch.randint(-2, 3, (2, 3, 8, 12), generator=torch.Generator().manual_seed(0)).clamp(min=0).float()
    features = values.contiguous(memory_format=memory_format).requires_grad_()
    below = torch.randn(2, 3, 4, 6).requires_grad_()
    weights = torch.randn(2, 3, 8, 12)
    pooled, choice = ChoosingPool()(features)
    unpooled = Unpool()(pooled * below, choice)
    gradients = torch.autograd.grad((unpooled * weights).sum() + (pooled**3).sum(), [features, below])
    expected, indices = F.max_pool2d(features, 2, return_indices=True)
    expected_unpooled = F.max_unpool2d(expected * below, indices, 2)
    expected_sum = (expected_unpooled * weights).sum() + (expected**3).sum()
    expected_gradients = torch.autograd.grad(expected_sum, [features, below])
    assert torch.equal(pooled, expected)
    assert torch.equal(unpooled, expected_unpooled)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient)
    assert not choice.requires_grad


@pytest.mark.parametrize(
    ("window", "mask"),
    [
        ([0.0, 0.0, 0.0, 0.0], [1, 0, 0, 0]),
        ([1.0, 2.0, 2.0, 2.0], [0, 1, 0, 0]),
        ([1.0, 0.0, 3.0, 3.0], [0, 0, 1, 0]),
        ([-4.0, -3.0, -2.0, -1.0], [0, 0, 0, 1]),
        ([2.0, 1.0, 2.0, 1.0], [1, 0, 0, 0]),
    ],
)
def test_the_choice_is_the_first_among_equals(window: list[float], mask: list[int]) -> None:
    pooled, choice = ChoosingPool()(torch.tensor(window).view(1, 1, 2, 2))
    assert choice.flatten().tolist() == mask
    assert pooled.item() == max(window)
    assert Unpool()(torch.full((1, 1, 1, 1), 7.0), choice).flatten().tolist() == [7.0 * m for m in mask]


def test_padding_appends_maps_of_zeros() -> None:
    features = torch.ones(1, 2, 1, 1)
    assert PadChannels(3)(features).flatten().tolist() == [1, 1, 0, 0, 0]


def test_resizing_has_half_pixel_centres() -> None:
    row = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert Upscale(2)(row)[0, 0].tolist() == [[0, 1, 3, 4]] * 2
    assert SpreadGrid()(row, torch.empty(1, 5, 1, 4))[0, 0].tolist() == [[0, 1, 3, 4]]
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert Downscale(2)(image)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert Downscale(4)(image).item() == 7.5
    assert GridAverage(2)(image)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding", "dilations", "size_hw"),
    [
        (1, 1, 1, (0, 0), (1, 1), (8, 12)),
        (3, 1, 4, (4, 4), (4, 4), (8, 12)),
        (7, 2, 1, (3, 3), (1, 1), (4, 6)),
        (2, 2, 1, (0, 0), (1, 1), (4, 6)),
        ((3, 1), 1, 8, (8, 0), (8, 1), (8, 12)),
        ((1, 5), 1, 1, (0, 2), (1, 1), (8, 12)),
    ],
)
def test_convolutions_keep_or_halve_the_size(
    kernel: int | tuple[int, int],
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    dilations: tuple[int, int],
    size_hw: tuple[int, int],
) -> None:
    unit = conv_unit(2, 4, kernel, stride=stride, dilation=dilation)
    assert (unit.conv.padding, unit.conv.dilation, unit.conv.bias) == (padding, dilations, None)
    assert [name for name, _ in unit.named_children()] == ["conv", "norm", "act"]
    assert tuple(unit(torch.zeros(1, 2, 8, 12)).shape) == (1, 4, *size_hw)


def test_units_without_activation_are_linear_and_depthwise_ones_grouped() -> None:
    assert [name for name, _ in conv_unit(2, 4, activation=None).named_children()] == ["conv", "norm"]
    assert conv_unit(4, 4, 3, depthwise=True).conv.groups == 4
    assert tuple(doubling_unit(2, 4)(torch.zeros(1, 2, 3, 5)).shape) == (1, 4, 6, 10)


def _cells_within_reach(block: nn.Module, width: int) -> set[tuple[int, int]]:
    """The offsets (down, right) at which one pixel of the input changes the output."""
    features = torch.zeros(1, width, 49, 49)
    touched = features.clone()
    touched[..., 24, 24] = 1.0
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0)
    with torch.no_grad():
        change = (block.eval()(touched) - block.eval()(features)).abs().sum(dim=(0, 1)) > 0
    return {(int(y) - 24, int(x) - 24) for y, x in change.nonzero()}


def _square(*offsets: int) -> set[tuple[int, int]]:
    return {(y, x) for y in offsets for x in offsets}


def test_dilation_widens_what_a_pixel_reaches() -> None:
    near = {-1, 0, 1}
    reach = {8 * a + b for a in near for b in near}
    assert _cells_within_reach(NonBottleneck1D(2, dilation=8), 2) == _square(*reach)
    # The 3×3 before both pairs reaches one pixel further than each of them.
    spread = _square(*range(-2, 3)) | _square(*reach)
    assert _cells_within_reach(AsymmetricBottleneck(4, 8), 4) == spread
    assert _cells_within_reach(ResidualBottleneck(4, 1, dilation=4), 4) == _square(-4, 0, 4)
    bottleneck = {"dropout": 0.1, "activation": prelu}
    assert _cells_within_reach(ENetBottleneck(4, 0, **bottleneck), 4) == _square(*range(-2, 3))
    assert _cells_within_reach(ENetBottleneck(4, 16, **bottleneck), 4) == _square(-16, 0, 16)
    assert _cells_within_reach(AtrousPyramid(1, 1), 1) == set.union(*(_square(-r, 0, r) for r in (6, 12, 18, 24)))


@pytest.mark.parametrize(
    ("block", "features", "run"),
    [
        (FeatureFusion(16, 16, 16), (4, 16, 11, 15), lambda b, x: b(Upscale(4)(x).sin(), x)),
        (AsymmetricBottleneck(32, 4), (4, 32, 44, 60), lambda b, x: b(x)),
    ],
    ids=["fast-scnn", "dabnet"],
)
def test_bfloat16_training_has_the_gradients_of_float32(
    block: nn.Module, features: tuple[int, ...], run: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    exact = _spirited(block).to(memory_format=torch.channels_last).train()
    mixed = copy.deepcopy(exact)
    values = torch.randn(features).contiguous(memory_format=torch.channels_last)
    gradients = []
    for unit, enabled in ((exact, False), (mixed, True)):
        # Freed memory full of large numbers shows any kernel that reads what it never wrote.
        junk = [torch.full((1 << 20,), 1e30) for _ in range(16)]
        del junk
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            result = run(unit, values)
        weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
        (result.float() * weights).sum().backward()
        gradients.append({name: p.grad for name, p in unit.named_parameters()})
    for name, gradient in gradients[0].items():
        # bfloat16 keeps eight bits; where batch norm takes a scale away again, the gradient is rounding alone.
        error = (gradients[1][name] - gradient).norm() / gradient.norm().clamp(min=50.0)
        assert error < 0.2, name


# Each network's layers.


@pytest.mark.parametrize(
    ("name", "relus", "prelus"),
    [
        ("segnet", 25, 0),
        ("enet", 5 * 3, 2 + 22 * 3),
        ("icnet", 3 + 16 * 3 + 1 + 3 + 2, 0),
        ("erfnet", 3 * 2 + 17 * 4 + 2, 0),
        ("pspnet", 3 + 33 * 3 + 4 + 1, 0),
        ("deeplab-v2", 1 + 33 * 3, 0),
        ("fast-scnn", 3 + 9 * 2 + 5 + 2 + 2, 0),
        ("dabnet", 0, 3 + 9 * 7 + 2 + 1 + 3),
    ],
)
def test_activations_stand_where_the_papers_have_them(name: str, relus: int, prelus: int) -> None:
    network = _outline(name, auxiliary=False)
    assert (len(list(_of(network, nn.ReLU))), len(list(_of(network, nn.PReLU)))) == (relus, prelus)


@pytest.mark.parametrize(
    ("block", "last", "below_zero"),
    [
        (NonBottleneck1D(4), "second_row.conv", 0.0),
        (ENetBottleneck(4, dropout=0.1, activation=prelu), "expand.conv", -0.25),
        (ENetBottleneck(4, dropout=0.0, activation=relu), "expand.conv", 0.0),
        (ResidualBottleneck(4, 1), "increase.conv", 0.0),
        (Bottleneck(4, BottleneckSpec(6, 24, 4, 1), relu), "project.conv", -1.0),
        (AsymmetricBottleneck(4, 2), "expand", -1.0),
    ],
)
def test_a_residual_block_adds_its_input(block: nn.Module, last: str, below_zero: float) -> None:
    nn.init.zeros_(block.get_submodule(last).weight)
    out = block.eval()(torch.tensor([1.0, -1.0, 2.0, 0.0]).view(1, 4, 1, 1))
    assert out.flatten().tolist() == [1, below_zero, 2, 0]


@pytest.mark.parametrize(
    ("fusion", "coarse", "fine"),
    [(CascadeFusion(3, 3), "coarse.conv", "fine"), (FeatureFusion(3, 3, 128), "deep.conv", "shallow")],
    ids=["icnet", "fast-scnn"],
)
def test_a_fusion_adds_a_projection_of_the_finer_features_before_the_relu(
    fusion: nn.Module, coarse: str, fine: str
) -> None:
    nn.init.zeros_(fusion.get_submodule(coarse).weight)
    nn.init.zeros_(fusion.get_submodule(f"{fine}.conv").weight)
    fusion.get_submodule(f"{fine}.conv").weight.data[:2, 0] = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    fusion.get_submodule(f"{fine}.norm").eps = 0.0
    is_cascade = isinstance(fusion, CascadeFusion)
    small, large = torch.ones(1, 3, 1, 1), torch.full((1, 3, 2, 2) if is_cascade else (1, 3, 4, 4), 5.0)
    out = fusion.eval()(*((small, large) if is_cascade else (large, small)))
    assert out[0, :3, 0, 0].tolist() == [5, 0, 0]


def test_segnet_mirrors_vgg16() -> None:
    network = _outline("segnet")
    convolutions = _convolutions(network)
    assert len(convolutions) == 26
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convolutions)
    encoder = [[u.conv.out_channels for u in level] for level in network.get_submodule("encoder")]
    assert encoder == [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
    decoder = [[u.conv.out_channels for u in level] for level in network.get_submodule("decoder")]
    assert decoder == [[64], [128, 64], [256, 256, 128], [512, 512, 256], [512] * 3]


def test_segnet_unpools_with_the_choice_of_its_own_level() -> None:
    network = _outline("segnet")
    seen: list[tuple[str, tuple[int, ...]]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        seen.append(("unpool", tuple(inputs[1].shape)))

    network.get_submodule("unpool").register_forward_pre_hook(note)
    network(_meta_image(64, 96))
    widths = (512, 512, 256, 128, 64)
    sizes = ((4, 6), (8, 12), (16, 24), (32, 48), (64, 96))
    assert seen == [("unpool", (2, w, *s)) for w, s in zip(widths, sizes, strict=True)]


def test_enet_has_the_bottlenecks_of_table_1() -> None:
    network = ENet(19)
    for stage in (network.stage2, network.stage3):
        assert [b.middle.conv.dilation[0] for b in stage] == [1, 2, 1, 4, 1, 8, 1, 16]
        assert [b.middle.conv.kernel_size for b in stage] == [(3, 3), (3, 3), (1, 5), (3, 3)] * 2
        assert [getattr(b.column, "kernel_size", None) for b in stage] == [None, None, (5, 1), None] * 2
    assert [len(s) for s in (network.stage1, network.stage2, network.stage3, network.stage4)] == [4, 8, 8, 2]
    assert (network.initial.learned.conv.out_channels, network.initial.learned.conv.stride) == (13, (2, 2))
    downs = [(b.reduce.conv.kernel_size, b.reduce.conv.stride, b.pad.extra) for b in _of(network, DownBottleneck)]
    assert downs == [((2, 2), (2, 2), 48), ((2, 2), (2, 2), 64)]
    ups = [(b.reduce.conv.in_channels, b.middle.conv.in_channels) for b in _of(network, UpBottleneck)]
    assert ups == [(128, 16), (64, 4)]
    assert isinstance(network.classifier, nn.ConvTranspose2d)


def test_enets_encoder_has_prelu_and_dropout_and_its_decoder_neither() -> None:
    network = ENet(19)
    encoder = nn.ModuleList([network.initial, network.down1, network.stage1, network.down2])
    encoder.extend([network.stage2, network.stage3])
    decoder = nn.ModuleList([network.up4, network.stage4, network.up5, network.stage5])
    assert [m.p for m in _of(network, nn.Dropout2d)] == [0.01] * 5 + [0.1] * 17
    assert not [*_of(encoder, nn.ReLU), *_of(decoder, nn.PReLU), *_of(decoder, nn.Dropout2d)]
    assert all(m.eps == 1e-3 for m in _of(network, nn.BatchNorm2d))


def test_a_downsampling_bottleneck_adds_the_pooled_input_to_its_first_maps() -> None:
    block = DownBottleneck(2, 4, dropout=0.1).eval()
    nn.init.zeros_(block.expand.conv.weight)
    features = torch.arange(8.0).view(1, 2, 2, 2)
    out, choice = block(features)
    assert out.flatten().tolist() == [3, 7, 0, 0]
    assert choice.flatten().tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_an_upsampling_bottleneck_unpools_the_projected_input() -> None:
    block = UpBottleneck(4, 4).eval()
    nn.init.zeros_(block.expand.conv.weight)
    nn.init.dirac_(block.project.conv.weight)
    block.project.norm.eps = 0.0
    choice = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 1, 2, 2).repeat(1, 4, 1, 1)
    out = block(torch.tensor([5.0, -5.0, 1.0, 0.0]).view(1, 4, 1, 1), choice)
    assert out.flatten(2)[0].tolist() == [[0, 0, 5, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("block", [PooledDownsampler(3, 16), PooledDownsampler(3, 16, activation=prelu)])
def test_parallel_downsampling_stacks_convolution_and_pooling(block: nn.Module) -> None:
    nn.init.zeros_(block.get_submodule("learned.conv").weight)
    block.get_submodule("pooled.norm").eps = 0.0
    out = block.eval()(torch.arange(12.0).view(1, 3, 2, 2))
    assert out.flatten().tolist() == [0] * 13 + [3, 7, 11]


def test_erfnet_has_the_blocks_of_table_i() -> None:
    network = ERFNet(19)
    blocks = list(_of(network.encoder, NonBottleneck1D))
    assert [b.second_row.conv.dilation for b in blocks] == [(1, 1)] * 5 + [(1, d) for d in (2, 4, 8, 16)] * 2
    assert [b.second_column.conv.dilation for b in blocks] == [(1, 1)] * 5 + [(d, 1) for d in (2, 4, 8, 16)] * 2
    assert [b.first_row.conv.dilation for b in blocks] == [(1, 1)] * 13
    assert [b.dropout.p for b in blocks] == [0.03] * 5 + [0.3] * 8
    assert [d.learned.conv.out_channels for d in _of(network.encoder, PooledDownsampler)] == [13, 48, 64]
    decoder = [(type(m), m.conv.out_channels if isinstance(m, nn.Sequential) else None) for m in network.decoder]
    block = (NonBottleneck1D, None)
    assert decoder == [(nn.Sequential, 64), block, block, (nn.Sequential, 16), block, block]
    assert not list(_of(network.decoder, nn.Dropout2d))
    assert all(m.eps == 1e-3 for m in _of(network, nn.BatchNorm2d))


@pytest.mark.parametrize(("name", "stem"), [("pspnet", [3, 3, 3]), ("deeplab-v2", [7])])
def test_the_backbone_is_a_dilated_resnet_101(name: str, stem: list[int]) -> None:
    network = _outline(name)
    assert isinstance(network, PSPNet | DeepLabV2)
    backbone = network.backbone
    assert [c.kernel_size[0] for c in _convolutions(backbone.stem)] == stem
    stages = (backbone.stage2, backbone.stage3, backbone.stage4, backbone.stage5)
    assert [len(s) for s in stages] == [3, 4, 23, 3]
    for stage, stride, dilation, width in zip(stages, (1, 2, 1, 1), (1, 1, 2, 4), (64, 128, 256, 512), strict=True):
        assert [b.reduce.conv.stride[0] for b in stage] == [stride] + [1] * (len(stage) - 1)
        assert {b.middle.conv.dilation[0] for b in stage} == {dilation}
        assert {b.middle.conv.out_channels for b in stage} == {width}
        assert [isinstance(b.shortcut, nn.Identity) for b in stage] == [False] + [True] * (len(stage) - 1)
        assert stage[0].shortcut.conv.stride[0] == stride


def test_deeplab_sums_four_dilated_convolutions() -> None:
    pyramid = AtrousPyramid(1, 1)
    rates = [(c.dilation, c.padding) for c in _convolutions(pyramid)]
    assert rates == [((r, r), (r, r)) for r in (6, 12, 18, 24)]
    for index, conv in enumerate(_convolutions(pyramid)):
        nn.init.constant_(conv.weight, 0.0)
        conv.weight.data[0, 0, 1, 1] = 10.0**index
        nn.init.constant_(conv.bias, 0.5)
    assert pyramid(torch.ones(1, 1, 1, 1)).item() == 1111 + 4 * 0.5


def test_pspnets_pyramid_stacks_averages_of_1_2_3_and_6_cells() -> None:
    pyramid = StackedPyramid(4).eval()
    assert [level[0].grid for level in pyramid.levels] == [1, 2, 3, 6]
    for level in pyramid.levels:
        nn.init.constant_(level[1].conv.weight, 0.25)
        level[1].norm.eps = 0.0
    features = torch.zeros(1, 4, 6, 6)
    features[..., 0, 0] = 36.0
    out = pyramid(features)[0]
    assert torch.equal(out[:4], features[0])
    # The corner's cell holds 36, 9, 4 and 1 pixels.
    assert out[4:, 0, 0].tolist() == [1, 4, 9, 36]
    assert out[4:, 5, 5].tolist() == [1, 0, 0, 0]


def test_icnets_pyramid_adds_its_averages() -> None:
    pyramid = SummedPyramid()
    assert [level.grid for level in pyramid.levels] == [1, 2, 3, 6]
    features = torch.zeros(1, 1, 6, 6)
    features[..., 0, 0] = 36.0
    out = pyramid(features)[0, 0]
    assert out[0, 0].item() == 36 + 1 + 4 + 9 + 36
    assert out[5, 5].item() == 1


def test_icnets_branches_read_three_sizes() -> None:
    network = _outline("icnet")
    assert isinstance(network, ICNet)
    read: dict[str, tuple[int, ...]] = {}
    for name in ("shared", "quarter", "whole", "coarse_fusion", "fine_fusion", "classifier"):

        def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            read[name] = tuple(inputs[0].shape[1:])

        network.get_submodule(name).register_forward_pre_hook(note)
    network(_meta_image(64, 128))
    assert read == {
        "shared": (3, 32, 64),
        "quarter": (256, 2, 4),
        "whole": (3, 64, 128),
        "coarse_fusion": (256, 2, 4),
        "fine_fusion": (128, 4, 8),
        "classifier": (128, 8, 16),
    }
    assert {f.coarse.conv.dilation for f in _of(network, CascadeFusion)} == {(2, 2)}


def test_icnet_is_half_of_pspnet50() -> None:
    network = _outline("icnet")
    assert isinstance(network, ICNet)
    blocks = list(_of(network, ResidualBottleneck))
    assert [b.middle.conv.out_channels for b in blocks] == [32] * 3 + [64] * 4 + [128] * 6 + [256] * 3
    assert [b.middle.conv.dilation[0] for b in blocks] == [1] * 7 + [2] * 6 + [4] * 3
    assert [u.conv.out_channels for u in network.whole] == [32, 32, 64]
    assert isinstance(network.quarter[3], SummedPyramid)


def test_icnets_scores_are_those_of_doubled_features() -> None:
    torch.manual_seed(0)
    classifier, double = nn.Conv2d(128, 3, 1), Upscale(2)
    features = torch.randn(1, 128, 4, 6)
    torch.testing.assert_close(double(classifier(features)), classifier(double(features)), rtol=0, atol=1e-5)


def test_fast_scnn_has_the_bottlenecks_of_table_1() -> None:
    network = FastSCNN(19, dropout=0.0, auxiliary=False)
    blocks = list(_of(network.context, Bottleneck))
    assert [b.project.conv.out_channels for b in blocks] == [64] * 3 + [96] * 3 + [128] * 3
    assert [b.depthwise.conv.stride[0] for b in blocks] == [2, 1, 1, 2, 1, 1, 1, 1, 1]
    assert [b.expand.conv.out_channels // b.expand.conv.in_channels for b in blocks] == [6] * 9
    assert [b.residual for b in blocks] == [False, True, True] * 3
    units = [(u.conv.out_channels, u.conv.stride[0], u.conv.groups, hasattr(u, "act")) for u in network.downsample]
    assert units == [(32, 2, 1, True), (32, 2, 32, False), (48, 1, 1, True), (48, 2, 48, False), (64, 1, 1, True)]
    assert [(u.conv.groups, hasattr(u, "act")) for u in network.head] == [(128, False), (1, True)] * 2
    smooth = network.fusion.smooth.conv
    assert (smooth.dilation, smooth.groups, network.fusion.enlarge.factor) == ((4, 4), 128, 4)


def test_dabnet_has_the_modules_of_table_1() -> None:
    network = DABNet(19)
    blocks = list(_of(network, AsymmetricBottleneck))
    assert [b.far[0].conv.dilation for b in blocks] == [(d, 1) for d in (2, 2, 2, 4, 4, 8, 8, 16, 16)]
    assert [b.far[1].conv.dilation for b in blocks] == [(1, d) for d in (2, 2, 2, 4, 4, 8, 8, 16, 16)]
    assert {b.near[0].conv.dilation for b in blocks} == {(1, 1)}
    assert [b.reduce.conv.out_channels for b in blocks] == [32] * 3 + [64] * 6
    assert all(p.conv.groups == p.conv.in_channels for b in blocks for p in (*b.near, *b.far))
    assert network.downsample1.learned.conv.out_channels == 64 - 35
    injected = [m.norm.num_features for m in (network.stem_injection, network.injection1, network.injection2)]
    assert injected == [35, 131, 259]
    assert not list(_of(network, nn.ReLU))


def test_dabnet_injects_the_averaged_image_last() -> None:
    network = DABNet(2).eval()
    read: dict[str, Tensor] = {}
    for name in ("stem_injection", "injection1", "injection2"):

        def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            read[name] = inputs[0]

        network.get_submodule(name).register_forward_pre_hook(note)
    image = _image(32, 48)
    with torch.no_grad():
        network(image)
    for name in ("stem_injection", "injection1", "injection2"):
        image = F.avg_pool2d(image, 3, 2, 1)
        assert torch.equal(read[name][:, -3:], image)
    assert read["injection2"].shape[1] == 128 + 128 + 3
    with torch.no_grad():
        before = read["injection2"][:, 128:256]
        assert torch.equal(network.block2(before), read["injection2"][:, :128])
