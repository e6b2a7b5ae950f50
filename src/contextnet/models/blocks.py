"""The building blocks: the bottleneck of Table 1, the separable convolution of section 2.2.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.conv_units import Activation, conv_unit, relu6
from contextnet.spec import BottleneckSpec, SeparableSpec


class Bottleneck(nn.Module):
    """The bottleneck residual block: 1×1 expansion, depth-wise 3×3, linear 1×1; a residual where shapes allow it.

    Source: Table 1, and section 2.2 for the residual. Its nonlinearity is ReLU6; Fast-SCNN has the block with another.
    """

    def __init__(self, width_in: int, spec: BottleneckSpec, activation: Activation = relu6) -> None:
        super().__init__()
        hidden, stride = spec.hidden, spec.stride
        self.expand = conv_unit(width_in, hidden, activation=activation)
        self.depthwise = conv_unit(hidden, hidden, 3, stride=stride, depthwise=True, activation=activation)
        self.project = conv_unit(hidden, spec.width, activation=None)
        self.residual = spec.adds_input(width_in)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        out: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + out if self.residual else out


class SeparableConv(nn.Module):
    """The detail branch's layer: depth-wise 3×3, then 1×1, with no nonlinearity between them (section 2.2)."""

    def __init__(self, width_in: int, spec: SeparableSpec) -> None:
        super().__init__()
        self.depthwise = conv_unit(width_in, width_in, 3, stride=spec.stride, depthwise=True, activation=None)
        self.pointwise = conv_unit(width_in, spec.width, activation=relu6)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        out: Tensor = self.pointwise(self.depthwise(features))
        return out
