"""Dilated depth-wise convolutions under autocast: on a CPU they train in float32, with the gradients of float32."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from baseline_bodies import convolutions_of, he_initialized
from torch import Tensor, nn

from contextnet.models.baselines.dabnet import AsymmetricBottleneck
from contextnet.models.baselines.fast_scnn import FeatureFusion
from contextnet.models.fusion import FusionUnit

FINE, COARSE, HALF = (4, 16, 44, 60), (4, 16, 11, 15), (4, 16, 22, 30)
BLOCKS = {
    "fusion by 2": (lambda: FusionUnit(16, 16, 32, 2), "smooth", (HALF, FINE)),
    "fusion by 4": (lambda: FusionUnit(16, 16, 32, 4), "smooth", (COARSE, FINE)),
    "fast-scnn": (lambda: FeatureFusion(16, 16, 16), "smooth", (FINE, COARSE)),
    "dabnet": (lambda: AsymmetricBottleneck(16, 4), "far", (FINE,)),
}
"""By name: a block, the name in it of the unit of dilated depth-wise convolutions, the shapes of what it reads."""


def some_features(shapes: Sequence[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last) for shape in shapes]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(
    ("training", "autocast", "given", "expected"),
    [
        (True, True, torch.bfloat16, torch.float32),
        (True, True, torch.float32, torch.float32),
        (False, True, torch.bfloat16, torch.bfloat16),
        (True, False, torch.float64, torch.float64),
    ],
    ids=["training", "training, given float32", "evaluating", "without autocast"],
)
def test_the_unit_computes_in_float32_exactly_where_it_trains_under_autocast(
    name: str, training: bool, autocast: bool, given: torch.dtype, expected: torch.dtype
) -> None:
    make, path, shapes = BLOCKS[name]
    block = make().train(training)
    if not autocast:
        block = block.to(given)
    seen: list[tuple[torch.dtype, torch.dtype]] = []
    for conv in convolutions_of(block.get_submodule(path)):
        assert conv.groups == conv.in_channels, "depth-wise"
        assert max(conv.dilation) > 1, "dilated"
        conv.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        block(*some_features(shapes, given))
    assert [made for _, made in seen] == [expected] * len(seen)
    assert len(seen) == (2 if name == "dabnet" else 1)
    if training:
        assert [read for read, _ in seen] == [expected] * len(seen)


def gradients(block: nn.Module, features: Sequence[Tensor], *, autocast: bool) -> dict[str, Tensor]:
    """Those of every parameter of a copy of a block, in training mode, for a loss that weighs all of its output."""
    unit = copy.deepcopy(block).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = unit(*features)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
    (result.float() * weights).sum().backward()
    found = {name: parameter.grad for name, parameter in unit.named_parameters()}
    assert all(gradient is not None for gradient in found.values())
    return found


@pytest.mark.parametrize(
    ("block", "shapes"),
    [
        (FeatureFusion(16, 16, 16), (FINE, COARSE)),
        (AsymmetricBottleneck(32, 4), ((4, 32, 44, 60),)),
    ],
    ids=["fast-scnn", "dabnet"],
)
def test_bfloat16_training_of_a_baselines_block_has_the_gradients_of_float32(
    block: nn.Module, shapes: Sequence[tuple[int, ...]]
) -> None:
    torch.manual_seed(0)
    he_initialized(block).to(memory_format=torch.channels_last)
    features = some_features(shapes)
    exact, mixed = (gradients(block, features, autocast=autocast) for autocast in (False, True))
    for name, gradient in exact.items():
        # bfloat16 keeps eight bits; where batch norm takes a scale away again, the gradient is rounding alone.
        error = (mixed[name] - gradient).norm() / gradient.norm().clamp(min=50.0)
        assert error < 0.2, name


@pytest.mark.parametrize("factor", [2, 4])
def test_bfloat16_training_of_a_fusion_unit_has_the_gradients_of_float32(factor: int) -> None:
    torch.manual_seed(0)
    block = FusionUnit(32, 32, 32, factor).to(memory_format=torch.channels_last)
    features = some_features(((4, 32, 44 // factor, 60 // factor), (4, 32, 44, 60)))
    exact, mixed = (gradients(block, features, autocast=autocast) for autocast in (False, True))
    for name, gradient in exact.items():
        error = (mixed[name] - gradient).abs().max() / gradient.abs().max().clamp(min=1e-6)
        # bfloat16 keeps eight bits; sums that cancel keep fewer.
        assert error < 0.2 or gradient.abs().max() < 1e-2, name
