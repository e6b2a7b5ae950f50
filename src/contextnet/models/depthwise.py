"""Depth-wise convolutions that a CPU trains well: two of oneDNN's gradients of them are slow, one of those also wrong.

Tensors are float (N, C, H, W). What is said of oneDNN was found in PyTorch 2.13.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_HALF_PRECISIONS = (torch.bfloat16, torch.float16)


class DepthwiseConv2d(nn.Conv2d):
    """A depth-wise convolution, strided or dilated, centred on its pixel; a CPU computes its gradients another way.

    What a dilated one gives where gradients are computed is stored with the channels innermost.

    With a stride, oneDNN's gradient of the input in half precision takes ten times as long as in float32: it is
    computed in float32. With a dilation, its gradient of the weights in bfloat16 reads memory that nothing wrote, so
    that it is now and then 1e30, and in float32 takes ten times as long as without one: there the rows and columns that
    the dilation brings together are convolved as images of their own, without dilation.
    """

    def __init__(self, width: int, kernel_hw: tuple[int, int], stride: int, dilation_hw: tuple[int, int]) -> None:
        assert stride == 1 or dilation_hw == (1, 1), "strided or dilated"
        assert all(side % 2 == 1 for side in kernel_hw) or dilation_hw == (1, 1), "a dilated kernel has a centre"
        self._centre_hw = ((kernel_hw[0] - 1) // 2, (kernel_hw[1] - 1) // 2)
        padding_hw = (dilation_hw[0] * self._centre_hw[0], dilation_hw[1] * self._centre_hw[1])
        super().__init__(width, width, kernel_hw, stride, padding_hw, dilation_hw, groups=width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H', W'), as ``nn.Conv2d`` does."""
        is_folded = self.bias is not None
        if is_folded or features.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(features)
        if max(self.dilation) > 1:
            return self._forward_undilated(features)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else features.dtype
        if max(self.stride) > 1 and dtype in _HALF_PRECISIONS:
            strided = _StridedDepthwise.apply(features.to(dtype), self.weight.to(dtype), self.stride, self.padding)  # type: ignore[no-untyped-call]
            return cast(Tensor, strided)
        return super().forward(features)

    def _forward_undilated(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        below, right = -height % self.dilation[0], -width % self.dilation[1]
        padded = F.pad(features, (0, right, 0, below)) if below or right else features
        images = _split(padded, *self.dilation)
        result = F.conv2d(images, self.weight, padding=self._centre_hw, groups=self.groups)
        return _merge(result, *self.dilation)[..., :height, :width]


class _StridedDepthwise(torch.autograd.Function):
    """A strided depth-wise convolution in half precision, the gradient of whose input is computed in float32."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(features, weight, None, stride, padding, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            unread = torch.empty_like(features, dtype=torch.float32)
            exact = _gradients(ctx, gradient.float(), unread, weight.float(), of_features=True)[0]
            of_features = exact.to(features.dtype)
        if ctx.needs_input_grad[1]:
            of_weight = _gradients(ctx, gradient, features, weight, of_features=False)[1]
        return of_features, of_weight, None, None


def _gradients(
    ctx: Any, gradient: Tensor, features: Tensor, weight: Tensor, *, of_features: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Ask PyTorch for the gradient of the features or of the weights; the values of the other are not read."""
    mask = [of_features, not of_features, False]
    gradients = torch.ops.aten.convolution_backward(
        gradient, features, weight, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), weight.shape[0], mask
    )
    return cast(tuple[Tensor, Tensor, Tensor], gradients)


def _split(features: Tensor, rows: int, columns: int) -> Tensor:
    """Take apart what lies ``rows`` and ``columns`` apart: (N, C, H, W) to (N·rows·columns, C, H/rows, W/columns)."""
    count, channels, height, width = features.shape
    cells = features.permute(0, 2, 3, 1).reshape(count, height // rows, rows, width // columns, columns, channels)
    apart = cells.permute(0, 2, 4, 1, 3, 5).reshape(-1, height // rows, width // columns, channels)
    return apart.permute(0, 3, 1, 2)


def _merge(images: Tensor, rows: int, columns: int) -> Tensor:
    """Undo ``_split``."""
    _, channels, height, width = images.shape
    apart = images.permute(0, 2, 3, 1).reshape(-1, rows, columns, height, width, channels)
    cells = apart.permute(0, 3, 1, 4, 2, 5).reshape(-1, height * rows, width * columns, channels)
    return cells.permute(0, 3, 1, 2)
