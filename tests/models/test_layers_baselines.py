"""The layers that compared networks share, and blocks of one kind that several of them have."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from contextnet.models.baselines.dabnet import AsymmetricBottleneck
from contextnet.models.baselines.deeplab_v2 import AtrousPyramid
from contextnet.models.baselines.enet import Bottleneck as ENetBottleneck
from contextnet.models.baselines.erfnet import NonBottleneck1D
from contextnet.models.baselines.fast_scnn import FeatureFusion
from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.icnet import CascadeFusion, Downscale
from contextnet.models.baselines.pooled_downsampler import PooledDownsampler
from contextnet.models.baselines.residual import ResidualBottleneck
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.baselines.upscaling import Upscale
from contextnet.models.blocks import Bottleneck
from contextnet.models.conv_units import prelu, relu
from contextnet.spec import BottleneckSpec

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pooling_with_choice_is_torchs_pooling_with_indices(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
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


def test_resizing_has_half_pixel_centres() -> None:
    row = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert Upscale(2)(row)[0, 0].tolist() == [[0, 1, 3, 4]] * 2
    assert SpreadGrid()(row, torch.empty(1, 5, 1, 4))[0, 0].tolist() == [[0, 1, 3, 4]]
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert Downscale(2)(image)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert Downscale(4)(image).item() == 7.5
    assert GridAverage(2)(image)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("block", [PooledDownsampler(3, 16), PooledDownsampler(3, 16, activation=prelu)])
def test_parallel_downsampling_stacks_convolution_and_pooling(block: nn.Module) -> None:
    nn.init.zeros_(block.get_submodule("learned.conv").weight)
    block.get_submodule("pooled.norm").eps = 0.0
    out = block.eval()(torch.arange(12.0).view(1, 3, 2, 2))
    assert out.flatten().tolist() == [0] * 13 + [3, 7, 11]


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
