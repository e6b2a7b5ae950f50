"""The networks against the paper: parameters, layers, shapes, and what stands between the layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contextnet.models.blocks import Bottleneck, SeparableConv
from contextnet.models.contextnet import ContextNet
from contextnet.models.fusion import FusionUnit
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.resize import downscale
from contextnet.spec import VARIANTS, BottleneckSpec, ContextNetSpec, SeparableSpec, variant


def _narrow(name: str, *, pyramid_pooling: bool = False, auxiliary: bool = False) -> ContextNetSpec:
    """A variant with an eighth of its widths: the same graph, quick to run."""
    return variant(name, 5, width=0.125, pyramid_pooling=pyramid_pooling, auxiliary=auxiliary)


def _network(spec: ContextNetSpec, seed: int = 0) -> ContextNet:
    torch.manual_seed(seed)
    return ContextNet(spec).eval()


def _lively(spec: ContextNetSpec, seed: int = 0) -> ContextNet:
    """A network whose batch norm fits its activations, so that the deep layers carry signal and scores are of order 1.

    As initialized, evaluation would shrink the context branch's signal to nothing, and tests would see none of it.
    """
    network = _network(spec, seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(_image((128, 128), seed=seed, batch=2))
        network.classifier.weight.normal_(std=0.5)
    return network.eval()


def _image(size_hw: tuple[int, int], seed: int = 0, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, *size_hw), dtype=torch.uint8, generator=generator)


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)]


# Parameters.


@pytest.mark.parametrize("name", ["cn14", "cn12", "cn18"])
def test_parameters_of_the_two_branch_networks(name: str) -> None:
    network = _network(variant(name))
    kernels = sum(c.weight.numel() for c in _convolutions(network))
    biases = sum(c.out_channels for c in _convolutions(network))
    assert _count(network) == 856_851
    assert kernels + biases == 846_179, "with batch norm folded every convolution has one bias a channel"
    assert round(846_179 / 1e6, 2) == 0.85


@pytest.mark.parametrize(
    ("name", "papers_count", "tolerance"),
    [("cn124", 0.93e6, 0.03), ("cn14-500", 490_459, 0.005), ("cn14-160", 159_387, 0.005)],
)
def test_parameters_beside_table_4(name: str, papers_count: float, tolerance: float) -> None:
    assert abs(_count(_network(variant(name))) / papers_count - 1) <= tolerance


def test_pyramid_pooling_makes_it_0_90_million() -> None:
    # Four reductions 128 → 32 and one mixing 256 → 128, each with batch norm.
    added = 4 * (128 * 32 + 2 * 32) + 256 * 128 + 2 * 128
    network = _network(variant("cn14", pyramid_pooling=True))
    folded = sum(c.weight.numel() + c.out_channels for c in _convolutions(network))
    assert _count(network) == 856_851 + added
    assert round(folded / 1e6, 2) == 0.90


def test_the_auxiliary_classifier_is_one_1x1_convolution() -> None:
    assert _count(_network(variant("cn14", auxiliary=True))) == 856_851 + 128 * 19 + 19


# Layers.


def test_the_context_branch_has_38_layers_and_the_detail_branch_four() -> None:
    network = _network(variant("cn14"))
    assert network.context is not None
    assert len(_convolutions(network.context)) == 38
    stem, *separable = network.details[0].stem, *network.details[0].blocks
    assert (stem.conv.kernel_size, stem.conv.stride, stem.conv.groups) == ((3, 3), (2, 2), 1)
    assert [type(block) for block in separable] == [SeparableConv] * 3


def test_every_convolution_but_the_classifier_is_followed_by_batch_norm() -> None:
    network = _network(variant("cn124", pyramid_pooling=True))
    convolutions = set(_convolutions(network))
    normalized = {m.conv for m in network.modules() if isinstance(m, nn.Sequential) and hasattr(m, "norm")}
    assert convolutions - normalized == {network.classifier}
    assert all(c.bias is None for c in normalized)


def test_a_convolution_three_wide_keeps_or_halves_the_size_with_its_kernel_centred() -> None:
    for conv in _convolutions(_network(variant("cn124"))):
        assert conv.kernel_size in {(1, 1), (3, 3)}
        assert conv.padding == tuple(d * (k // 2) for d, k in zip(conv.dilation, conv.kernel_size, strict=True))


@pytest.mark.parametrize(
    ("width_in", "width", "stride", "expected"),
    [(8, 8, 1, True), (8, 8, 2, False), (8, 16, 1, False), (8, 16, 2, False)],
)
def test_residual_where_shapes_allow_it(width_in: int, width: int, stride: int, expected: bool) -> None:
    torch.manual_seed(3)
    block = Bottleneck(width_in, BottleneckSpec(6, 6 * width_in, width, stride)).eval()
    features = torch.randn(1, width_in, 6, 6)
    through = block.project(block.depthwise(block.expand(features)))
    assert torch.equal(block(features), features + through if expected else through)


def test_a_bottleneck_is_linear_at_its_end_and_nowhere_else() -> None:
    torch.manual_seed(4)
    block = Bottleneck(4, BottleneckSpec(2, 8, 6, 2)).eval()
    features = 4 * torch.randn(1, 4, 8, 8)
    hidden = nn.functional.conv2d(features, block.expand.conv.weight) / (1 + 1e-5) ** 0.5
    hidden = hidden.clamp(0, 6)
    hidden = nn.functional.conv2d(hidden, block.depthwise.conv.weight, stride=2, padding=1, groups=8)
    hidden = (hidden / (1 + 1e-5) ** 0.5).clamp(0, 6)
    expected = nn.functional.conv2d(hidden, block.project.conv.weight) / (1 + 1e-5) ** 0.5
    assert float(expected.detach().min()) < 0
    torch.testing.assert_close(block(features), expected, rtol=0, atol=1e-5)


def test_no_nonlinearity_between_depthwise_and_pointwise_in_the_detail_branch() -> None:
    torch.manual_seed(5)
    layer = SeparableConv(4, SeparableSpec(6, 2)).eval()
    features = torch.randn(1, 4, 8, 8)
    between = layer.depthwise(features)
    assert float(between.detach().min()) < 0
    torch.testing.assert_close(layer.depthwise(-features), -between)
    after = nn.functional.conv2d(between, layer.pointwise.conv.weight) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(layer(features), after.clamp(0, 6), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "factors"), [("cn14", [4]), ("cn12", [2]), ("cn18", [8]), ("cn124", [2, 2])])
def test_dilation_is_the_enlargement(name: str, factors: list[int]) -> None:
    units = _network(_narrow(name)).fusions
    assert [unit.factor for unit in units] == factors
    assert [unit.smooth.conv.dilation for unit in units] == [(f, f) for f in factors]


def test_fusion_is_table_3() -> None:
    torch.manual_seed(6)
    unit = FusionUnit(3, 5, 4, 4).eval()
    with torch.no_grad():
        unit.context.norm.bias.fill_(-1.0)
    context, detail = torch.randn(1, 3, 2, 4), torch.randn(1, 5, 8, 16)
    norm = (1 + 1e-5) ** 0.5
    raised = nn.functional.interpolate(context, scale_factor=4, mode="bilinear")
    weight = unit.smooth.conv.weight
    smooth = nn.functional.conv2d(raised, weight, padding=4, dilation=4, groups=3).div(norm).clamp(0, 6)
    left = nn.functional.conv2d(smooth, unit.context.conv.weight) / norm - 1
    right = nn.functional.conv2d(detail, unit.detail.conv.weight) / norm
    torch.testing.assert_close(unit(context, detail), (left + right).clamp(0, 6), rtol=0, atol=1e-5)


# The whole network.


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(
    ("size_hw", "batch"), [((1, 1), 2), ((1, 5000), 1), ((97, 131), 2), ((32, 32), 1), ((64, 128), 1), ((7, 300), 1)]
)
def test_any_size_gives_scores_of_its_padded_cells_and_of_every_pixel(
    name: str, size_hw: tuple[int, int], batch: int
) -> None:
    network = _lively(_narrow(name, pyramid_pooling=name != "cn14-detail"))
    multiple = {"cn12": 16, "cn12-fine": 16, "cn18": 64, "cn14-detail": 8}.get(name, 32)
    height, width = (-(-side // multiple) * multiple for side in size_hw)
    image = _image(size_hw, batch=batch)
    with torch.no_grad():
        stride = 4 if name.endswith("-fine") else 8
        assert network(image).scores.shape == (batch, 5, height // stride, width // stride)
        assert network(image).auxiliary is None
        assert network.full_size_scores(image).shape == (batch, 5, *size_hw)


@pytest.mark.parametrize("name", VARIANTS)
def test_uint8_and_float_images_score_the_same(name: str) -> None:
    network = _lively(_narrow(name))
    image = _image((40, 72), seed=1)
    with torch.no_grad():
        assert torch.equal(network(image).scores, network(image.float()).scores)


def test_normalization_is_a_division_by_255_inside_the_network() -> None:
    network = _lively(_narrow("cn14-detail"))
    image = _image((16, 16), seed=2)
    with torch.no_grad():
        features = network.details[0](image.float() / 255)
        torch.testing.assert_close(network(image).scores, network.classifier(features), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_replicates_edges_and_is_cropped_away(name: str) -> None:
    network = _lively(_narrow(name, pyramid_pooling=name != "cn14-detail"))
    image = _image((97, 131), seed=3)
    multiple = network.spec.size_multiple
    below, right = -97 % multiple, -131 % multiple
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, below), (0, right)), mode="edge"))
    with torch.no_grad():
        expected = network.full_size_scores(padded)[..., :97, :131]
        assert torch.equal(network.full_size_scores(image), expected)


@pytest.mark.parametrize("name", [n for n in VARIANTS if n != "cn14-detail"])
def test_the_auxiliary_classifier_works_in_training_only(name: str) -> None:
    network = _network(_narrow(name, auxiliary=True))
    assert network.spec.context is not None
    image = _image((64, 128), batch=2)
    stride = network.spec.context.stride
    output = network.train()(image)
    assert output.auxiliary.shape == (2, 5, 64 // stride, 128 // stride)
    assert output.scores.shape == (2, 5, 64 // network.spec.output_stride, 128 // network.spec.output_stride)
    assert network.eval()(image).auxiliary is None
    assert _network(_narrow(name)).train()(image).auxiliary is None


def test_dropout_acts_before_the_classifier_in_training_only() -> None:
    network = _lively(replace(_narrow("cn14"), dropout=0.5))
    seen: list[Tensor] = []
    network.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = _image((64, 64), batch=2)
    for module in network.modules():
        module.training = isinstance(module, nn.Dropout)
    network(image)
    network.eval()(image)
    dropped, whole = seen
    survived = dropped != 0
    share = float((survived & (whole != 0)).sum() / (whole != 0).sum())
    assert 0.4 < share < 0.6
    torch.testing.assert_close(dropped[survived], 2 * whole[survived])
    assert [n for n, m in network.named_modules() if isinstance(m, nn.Dropout)] == ["dropout"]


def test_the_context_branch_sees_the_shrunken_image_and_the_detail_branch_the_full_one() -> None:
    network = _lively(_narrow("cn14"))
    assert network.context is not None
    image = torch.rand(1, 3, 64, 64)
    small = downscale(image, 4)
    with torch.no_grad():
        direct = network.context.head(network.context.blocks(network.context.stem(small)))
        assert torch.equal(network.context(image), direct)
        assert torch.equal(network.details[0](image), network.details[0].blocks(network.details[0].stem(image)))


def test_both_branches_reach_the_scores() -> None:
    network = _lively(_narrow("cn124"))
    image = _image((64, 64), seed=4)
    with torch.no_grad():
        whole = network(image).scores
        for branch in (network.context, *network.details):
            assert branch is not None
            kernel = branch.stem.conv.weight
            kept = kernel.clone()
            kernel.zero_()
            assert not torch.allclose(network(image).scores, whole, atol=0.01)
            kernel.copy_(kept)
        assert torch.equal(network(image).scores, whole)


@pytest.mark.parametrize("size_hw", [(1, 1), (45, 70)])
def test_the_predictor_labels_every_pixel_with_the_best_score(size_hw: tuple[int, int]) -> None:
    network = _lively(_narrow("cn14"), seed=7)
    image = _image(size_hw, seed=5)
    labels = NetworkPredictor(network).labels(image[0].permute(1, 2, 0).numpy())
    with torch.no_grad():
        scores = network.full_size_scores(image)[0]
    best = scores.gather(0, torch.from_numpy(labels).long()[None])[0]
    assert labels.shape == size_hw
    assert labels.dtype == np.uint8
    assert float((scores.max(dim=0).values - best).max()) <= 1e-4
