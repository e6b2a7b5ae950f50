"""Depth-wise convolutions: the values and gradients of PyTorch's own, in float32 and in bfloat16 under autocast."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from baseline_bodies import he_initialized
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from contextnet.models.baselines.dabnet import AsymmetricBottleneck
from contextnet.models.baselines.fast_scnn import FeatureFusion
from contextnet.models.conv_units import conv_unit
from contextnet.models.depthwise import DepthwiseConv2d
from contextnet.models.folding import fold_batch_norm
from contextnet.models.fusion import FusionUnit

FINE, COARSE = (4, 16, 44, 60), (4, 16, 11, 15)
KINDS = {
    "plain": ((3, 3), 1, (1, 1)),
    "strided": ((3, 3), 2, (1, 1)),
    "of two pixels, strided": ((2, 2), 2, (1, 1)),
    "dilated": ((3, 3), 1, (4, 4)),
    "dilated row": ((1, 3), 1, (1, 2)),
    "dilated column": ((3, 1), 1, (4, 1)),
}
"""By name: kernel, stride and dilation."""


def both(kind: str) -> tuple[DepthwiseConv2d, nn.Conv2d]:
    """A depth-wise convolution of 16 maps, and PyTorch's own in float64 with the same weights."""
    torch.manual_seed(0)
    kernel_hw, stride, dilation_hw = KINDS[kind]
    ours = DepthwiseConv2d(16, kernel_hw, stride, dilation_hw)
    padding_hw = [step * ((side - 1) // 2) for side, step in zip(kernel_hw, dilation_hw, strict=True)]
    reference = nn.Conv2d(
        16, 16, kernel_hw, stride, padding_hw, dilation_hw, groups=16, bias=False, dtype=torch.float64
    )
    reference.load_state_dict(ours.state_dict())
    return ours, reference


def outcome(conv: nn.Module, features: Tensor, *, autocast: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The result, the gradient of the features and of the weights, for a loss that weighs all of the result."""
    read = features.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = conv(read)
    (result * torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)).sum().backward()
    return result.detach(), read.grad, conv.weight.grad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_hw", [(44, 60), (45, 58), (3, 5)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 2e-2)], ids=["float32", "bfloat16"])
def test_result_and_gradients_are_those_of_pytorchs_own_in_float64(
    kind: str, size_hw: tuple[int, int], layout: torch.memory_format, autocast: bool, tolerance: float
) -> None:
    ours, reference = both(kind)
    features = torch.randn(2, 16, *size_hw, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=layout)
    expected = outcome(reference, features.double())
    for _ in range(3):  # what reads memory that nothing wrote is right at times
        ours.zero_grad()
        for got, wanted in zip(outcome(ours, features, autocast=autocast), expected, strict=True):
            assert got.shape == wanted.shape
            assert (got - wanted).norm() <= tolerance * wanted.norm()


class _Gradients(TorchDispatchMode):
    """Notes what the gradients of convolutions are asked of: type, strides, dilation, and whether of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[torch.dtype, int, int, bool]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.convolution_backward.default:
            self.asked.append((args[1].dtype, max(args[4]), max(args[6]), args[10][0]))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_is_asked_of_onednn_that_it_computes_slowly_or_wrongly(kind: str) -> None:
    conv, _ = both(kind)
    with _Gradients() as gradients:
        outcome(conv, torch.randn(FINE), autocast=True)
    assert gradients.asked
    for dtype, stride, dilation, of_input in gradients.asked:
        assert dilation == 1
        assert stride == 1 or not of_input or dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_is_pytorchs_own_to_the_bit(kind: str) -> None:
    conv, reference = both(kind)
    features = torch.randn(FINE)
    with torch.no_grad():
        assert torch.equal(conv(features), reference.float()(features))


def test_folded_networks_keep_their_bias_where_gradients_are_on() -> None:
    unit = conv_unit(16, 16, 3, dilation=2, depthwise=True)
    unit.norm.running_mean.fill_(0.5)
    folded = fold_batch_norm(nn.Sequential(unit))
    features = torch.randn(FINE)
    assert torch.allclose(folded(features), nn.Sequential(unit).eval()(features), atol=1e-5)


def some_features(shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(shape).contiguous(memory_format=torch.channels_last) for shape in shapes]


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
