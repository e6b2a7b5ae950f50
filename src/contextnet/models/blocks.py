"""The building blocks: convolution with batch norm, the bottleneck of Table 1, the separable convolution of 2.2.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from contextnet.spec import BottleneckSpec, SeparableSpec


def conv_unit(
    width_in: int,
    width_out: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    depthwise: bool = False,
    activation: bool = True,
) -> nn.Sequential:
    """Build a convolution, its batch norm and, unless linear, a ReLU6, as one sequence.

    Padding keeps the size at stride 1 and halves an even size at stride 2, with the kernel centred on its pixel.
    """
    groups = width_in if depthwise else 1
    padding = dilation * (kernel // 2)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(width_in, width_out, kernel, stride, padding, dilation, groups, bias=False),
        norm=nn.BatchNorm2d(width_out),
    )
    if activation:
        layers["act"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)


class Bottleneck(nn.Module):
    """The bottleneck residual block: 1×1 expansion, depth-wise 3×3, linear 1×1; a residual where shapes allow it.

    Source: Table 1, and section 2.2 for the residual.
    """

    def __init__(self, width_in: int, spec: BottleneckSpec) -> None:
        super().__init__()
        self.expand = conv_unit(width_in, spec.hidden)
        self.depthwise = conv_unit(spec.hidden, spec.hidden, 3, stride=spec.stride, depthwise=True)
        self.project = conv_unit(spec.hidden, spec.width, activation=False)
        self.residual = spec.adds_input(width_in)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        out: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + out if self.residual else out


class SeparableConv(nn.Module):
    """The detail branch's layer: depth-wise 3×3, then 1×1, with no nonlinearity between them (section 2.2)."""

    def __init__(self, width_in: int, spec: SeparableSpec) -> None:
        super().__init__()
        self.depthwise = conv_unit(width_in, width_in, 3, stride=spec.stride, depthwise=True, activation=False)
        self.pointwise = conv_unit(width_in, spec.width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        out: Tensor = self.pointwise(self.depthwise(features))
        return out
