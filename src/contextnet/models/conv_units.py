"""The units that ContextNet and the compared networks are built of: a convolution, its batch norm, an activation.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from contextnet.models.depthwise import DepthwiseConv2d

Activation: TypeAlias = Callable[[int], nn.Module]
"""Makes a nonlinearity for a number of feature maps."""


def relu(width: int) -> nn.Module:
    """Make a ReLU, which has no parameters, for any number of feature maps."""
    return nn.ReLU(inplace=True)


def relu6(width: int) -> nn.Module:
    """Make a ReLU6, which has no parameters, for any number of feature maps."""
    return nn.ReLU6(inplace=True)


def prelu(width: int) -> nn.Module:
    """Make a PReLU with one slope for each of ``width`` feature maps."""
    return nn.PReLU(width)


def conv_unit(
    width_in: int,
    width_out: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    depthwise: bool = False,
    activation: Activation | None = relu,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Build a convolution, its batch norm and, unless ``activation`` is None, an activation, as one sequence.

    An odd kernel, centred on its pixel, keeps the size at stride 1 and halves an even size at stride 2; a kernel of 2
    halves it at stride 2. Only the sides of the kernel that are longer than one pixel are dilated.
    """
    kernel_hw = (kernel, kernel) if isinstance(kernel, int) else kernel
    dilation_hw = (dilation if kernel_hw[0] > 1 else 1, dilation if kernel_hw[1] > 1 else 1)
    conv: nn.Module
    if depthwise:
        assert width_in == width_out, "each feature map has one kernel"
        conv = DepthwiseConv2d(width_in, kernel_hw, stride, dilation_hw)
    else:
        padding_hw = (dilation_hw[0] * ((kernel_hw[0] - 1) // 2), dilation_hw[1] * ((kernel_hw[1] - 1) // 2))
        conv = nn.Conv2d(width_in, width_out, kernel_hw, stride, padding_hw, dilation_hw, bias=False)
    return _with_norm(conv, width_out, activation, eps)


def doubling_unit(width_in: int, width_out: int, *, eps: float = 1e-5) -> nn.Sequential:
    """Build a transposed 3×3 convolution that doubles the size, its batch norm and a ReLU."""
    conv = nn.ConvTranspose2d(width_in, width_out, 3, 2, padding=1, output_padding=1, bias=False)
    return _with_norm(conv, width_out, relu, eps)


def _with_norm(conv: nn.Module, width: int, activation: Activation | None, eps: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=nn.BatchNorm2d(width, eps))
    if activation is not None:
        layers["act"] = activation(width)
    return nn.Sequential(layers)
