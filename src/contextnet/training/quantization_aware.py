"""Quantization-aware training: a forward pass that rounds as the exported INT8 network does, in an unchanged network.

What is rounded, and over which ranges, is what ``contextnet.compression.quantization`` makes of the exported graph:

* the image, also where it was made smaller: whole steps of its 256 values;
* weights: 127 steps to either side of zero for every output channel. Batch norm scales a channel and its steps alike,
  so that rounding a weight before it is folded is rounding it afterwards;
* what a convolution or a sum reads: 256 values, from the mean of the images' minima to that of their maxima, or, where
  a depth-wise convolution reads it, from the minimum to the maximum of each channel.

The auxiliary classifier, which is not exported, is not rounded, nor what pyramid pooling makes between its cells and
its last convolution. Ranges are those of the batch, or of the part of it that passes at a time, so that nothing has
to be kept. Gradients pass as if nothing were rounded, and not at all where a value lies outside its range.
Tensors are float (N, C, H, W). Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from contextnet.models.blocks import Bottleneck, SeparableConv
from contextnet.models.branches import ContextBranch, DetailBranch
from contextnet.models.contextnet import ContextNet
from contextnet.models.fusion import FusionUnit
from contextnet.models.network_output import NetworkOutput
from contextnet.models.pyramid import PyramidPooling
from contextnet.spec import INPUT_SCALE

WEIGHT_STEPS = 127
PIXEL_WEIGHT_STEPS = 63.5
"""Steps of the weights that read the image itself: NNCF halves them, lest sums overflow on processors without VNNI."""

ACTIVATION_STEPS = 255
SMALLEST_STEP = 1e-12
"""The step of a channel or a map that is zero everywhere."""


class QuantizationAwareForward:
    """Runs a network with its weights and activations rounded; the network, its hooks and its state stay as they are.

    In training mode batch norm takes its statistics from what is rounded, as the exported network will see it.
    """

    def __init__(self, network: ContextNet) -> None:
        self._network = network
        self._outputs = tuple(rounded_outputs(network))
        self._inputs = tuple(rounded_inputs(network))
        self._stems = tuple(branch.stem for branch in _branches(network))

    def __call__(self, image: Tensor) -> NetworkOutput:
        """Score images as ``ContextNet.forward`` does, under autocast too; the rounding itself is in float32."""
        with ExitStack() as hooks:
            for module, per_channel in self._outputs:
                hooks.callback(module.register_forward_hook(_round_output(per_channel)).remove)
            for module, per_channel in self._inputs:
                hooks.callback(module.register_forward_pre_hook(_round_input(per_channel)).remove)
            for stem in self._stems:
                hooks.callback(stem.register_forward_pre_hook(_round_pixels).remove)
            return cast(NetworkOutput, functional_call(self._network, rounded_weights(self._network), (image,)))


def rounded_weights(network: ContextNet) -> dict[str, Tensor]:
    """Round the weights of every convolution that is exported, by name as in the state dict; gradients pass to them."""
    read_the_image = {branch.stem.conv for branch in _branches(network) if branch.scale == 1}
    rounded = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module is not network.auxiliary:
            steps = PIXEL_WEIGHT_STEPS if module in read_the_image else WEIGHT_STEPS
            rounded[f"{name}.weight"] = round_weight(module.weight, steps)
    return rounded


def round_weight(weight: Tensor, steps: float) -> Tensor:
    """Round a weight (C, …) to multiples of each output channel's greatest magnitude / ``steps``."""
    greatest = weight.detach().abs().amax(tuple(range(1, weight.dim())), keepdim=True)
    step = (greatest / steps).clamp_min(SMALLEST_STEP)
    return cast(Tensor, _Round.apply(weight, step, None))  # type: ignore[no-untyped-call]


def round_activation(features_NCHW: Tensor, *, per_channel: bool) -> Tensor:
    """Round features to 256 values over their own range, widened to hold zero, which stays zero.

    The range is the mean over images of their minima and maxima, or with ``per_channel`` the whole range of a channel.
    """
    values = features_NCHW.detach()
    if per_channel:
        low, high = values.amin((0, 2, 3), keepdim=True), values.amax((0, 2, 3), keepdim=True)
    else:
        low, high = values.amin((1, 2, 3)).float().mean(), values.amax((1, 2, 3)).float().mean()
    low, high = low.float().clamp_max(0), high.float().clamp_min(0)
    step = ((high - low) / ACTIVATION_STEPS).clamp_min(SMALLEST_STEP)
    lowest = None if per_channel else (low / step).round()  # nothing lies outside the whole range
    return cast(Tensor, _Round.apply(features_NCHW, step, lowest))  # type: ignore[no-untyped-call]


class _Round(torch.autograd.Function):
    """Round to multiples of ``step``, where given to 256 of them from ``lowest`` up; straight through on the way back.

    PyTorch's own fake quantization does the same to finite values, in several times the time on a CPU, and turns NaN,
    which has to reach the loss, into zero.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, lowest: Tensor | None) -> Tensor:
        steps = (values.float() / step).round_()
        if lowest is not None:
            kept = steps.clamp(lowest, lowest + ACTIVATION_STEPS)
            ctx.save_for_backward(steps == kept)
            steps = kept
        return steps.mul_(step).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        for is_inside in ctx.saved_tensors:
            gradient = gradient * is_inside
        return gradient, None, None


def _branches(network: ContextNet) -> list[ContextBranch | DetailBranch]:
    return [m for m in network.modules() if isinstance(m, ContextBranch | DetailBranch)]


def rounded_outputs(network: ContextNet) -> Iterator[tuple[nn.Module, bool]]:
    """Give the modules whose outputs INT8 holds, and whether a depth-wise convolution reads them."""
    read_by_depthwise: set[nn.Module] = set()
    for module in network.modules():
        if isinstance(module, Bottleneck):
            read_by_depthwise.add(module.expand)
        elif isinstance(module, DetailBranch):
            pointwise = [cast(SeparableConv, block).pointwise for block in module.blocks]
            read_by_depthwise.update([module.stem, *pointwise][:-1])
    for module in network.modules():
        is_unit = isinstance(module, nn.Sequential) and hasattr(module, "conv")
        is_sum = isinstance(module, FusionUnit) or (isinstance(module, Bottleneck) and module.residual)
        if is_unit or is_sum:
            yield module, module in read_by_depthwise


def rounded_inputs(network: ContextNet) -> Iterator[tuple[nn.Module, bool]]:
    """Give the modules that read what a resize or a pooling made, and whether they are depth-wise."""
    for module in network.modules():
        if isinstance(module, FusionUnit):
            yield module.smooth, True
        elif isinstance(module, PyramidPooling):
            yield from ((reduce, False) for reduce in module.reduce)


def _round_output(per_channel: bool) -> Any:
    return lambda module, inputs, output: round_activation(output, per_channel=per_channel)


def _round_input(per_channel: bool) -> Any:
    return lambda module, inputs: (round_activation(inputs[0], per_channel=per_channel),)


def _round_pixels(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return ((inputs[0] / INPUT_SCALE).round() * INPUT_SCALE,)
