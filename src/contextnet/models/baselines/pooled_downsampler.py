"""The downsampling of ENet's first layer, which ERFNet and DABNet took over: a convolution beside a pooling."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from contextnet.models.conv_units import Activation, conv_unit, relu


class PooledDownsampler(nn.Module):
    """A 3×3 convolution of stride 2 beside a 2×2 max pooling, then batch norm and an activation over both.

    These treat every map by itself, so that each part has its share of them, and the convolution's can be folded.
    """

    def __init__(self, width_in: int, width: int, *, activation: Activation = relu, eps: float = 1e-5) -> None:
        super().__init__()
        self.learned = conv_unit(width_in, width - width_in, 3, stride=2, activation=activation, eps=eps)
        norm = nn.BatchNorm2d(width_in, eps)
        self.pooled = nn.Sequential(OrderedDict(pool=nn.MaxPool2d(2), norm=norm, act=activation(width_in)))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / 2, W / 2)."""
        return torch.cat([self.learned(features), self.pooled(features)], dim=1)
