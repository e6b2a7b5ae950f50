"""DABNet: depth-wise asymmetric bottlenecks, dilated step by step, with the image injected at every scale.

Li et al., "DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation" (2019), Table 1. For 19
classes it has 756,643 parameters; the paper has 0.76 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contextnet.models.baselines.layers import (
    AveragePool,
    PooledDownsampler,
    conv_unit,
    dilated_depthwise,
    norm_unit,
    prelu,
)

_EPS = 1e-3
_FIRST_DILATIONS = (2, 2, 2)
_SECOND_DILATIONS = (4, 4, 8, 8, 16, 16)
_IMAGE_WIDTH = 3


class AsymmetricBottleneck(nn.Module):
    """A 3×3 to half the width, two depth-wise 3×1 and 1×3 pairs, one dilated, summed; 1×1 back, and a residual.

    Batch norm and PReLU come before the first convolution and between all of them (section 3.1).
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        hidden = width // 2
        self.before = norm_unit(width, prelu, eps=_EPS)
        self.reduce = conv_unit(width, hidden, 3, activation=prelu, eps=_EPS)
        self.near = _pair(hidden, 1)
        self.far = _pair(hidden, dilation)
        self.between = norm_unit(hidden, prelu, eps=_EPS)
        self.expand = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        reduced = self.reduce(self.before(features))
        far = dilated_depthwise(self.far, reduced, training=self.training)
        out: Tensor = self.expand(self.between(self.near(reduced) + far))
        return out + features


class DABNet(nn.Module):
    """DABNet with three and six bottlenecks. It has neither an auxiliary head nor dropout."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_unit(3, 32, 3, stride=2, activation=prelu, eps=_EPS),
            conv_unit(32, 32, 3, activation=prelu, eps=_EPS),
            conv_unit(32, 32, 3, activation=prelu, eps=_EPS),
        )
        self.average = AveragePool(_IMAGE_WIDTH, 3, stride=2)
        self.stem_injection = norm_unit(32 + _IMAGE_WIDTH, prelu, eps=_EPS)
        self.downsample1 = PooledDownsampler(32 + _IMAGE_WIDTH, 64, activation=prelu, eps=_EPS)
        self.block1 = nn.Sequential(*(AsymmetricBottleneck(64, dilation) for dilation in _FIRST_DILATIONS))
        self.injection1 = norm_unit(2 * 64 + _IMAGE_WIDTH, prelu, eps=_EPS)
        # As wide as its input or narrower, so that no map is left for a pooling beside the convolution.
        self.downsample2 = conv_unit(2 * 64 + _IMAGE_WIDTH, 128, 3, stride=2, activation=prelu, eps=_EPS)
        self.block2 = nn.Sequential(*(AsymmetricBottleneck(128, dilation) for dilation in _SECOND_DILATIONS))
        self.injection2 = norm_unit(2 * 128 + _IMAGE_WIDTH, prelu, eps=_EPS)
        self.classifier = nn.Conv2d(2 * 128 + _IMAGE_WIDTH, num_classes, 1, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H / 8, W / 8)."""
        half = self.average(image)
        quarter = self.average(half)
        eighth = self.average(quarter)
        features = self.stem_injection(torch.cat([self.stem(image), half], dim=1))
        before = self.downsample1(features)
        features = self.injection1(torch.cat([self.block1(before), before, quarter], dim=1))
        before = self.downsample2(features)
        features = self.injection2(torch.cat([self.block2(before), before, eighth], dim=1))
        return self.classifier(features), None


def _pair(width: int, dilation: int) -> nn.Sequential:
    column = conv_unit(width, width, (3, 1), dilation=dilation, depthwise=True, activation=prelu, eps=_EPS)
    row = conv_unit(width, width, (1, 3), dilation=dilation, depthwise=True, activation=prelu, eps=_EPS)
    return nn.Sequential(column, row)
