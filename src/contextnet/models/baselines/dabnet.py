"""DABNet: depth-wise asymmetric bottlenecks, dilated step by step, with the image injected at every scale.

Li et al., "DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation" (2019), Table 1. For 19
classes it has 756,643 parameters; the paper has 0.76 M.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.baselines.pooled_downsampler import PooledDownsampler
from contextnet.models.conv_units import conv_unit, prelu

_EPS = 1e-3
_FIRST_DILATIONS = (2, 2, 2)
_SECOND_DILATIONS = (4, 4, 8, 8, 16, 16)
_IMAGE_WIDTH = 3


class AveragePool(nn.Module):
    """Averages ``width`` maps over square windows of an odd side; the zeros around the maps count.

    Tracing does not look into it.
    """

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        assert kernel % 2 == 1, "a window is centred on its pixel"
        self.width = width
        self.kernel = kernel
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, H / stride, W / stride)."""
        return F.avg_pool2d(features, self.kernel, self.stride, padding=self.kernel // 2)


class AsymmetricBottleneck(nn.Module):
    """A 3×3 to half the width, two depth-wise 3×1 and 1×3 pairs, one dilated, summed; 1×1 back, and a residual.

    Batch norm and PReLU come before the first convolution and between all of them (section 3.1).
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        hidden = width // 2
        self.before = _norm_unit(width)
        self.reduce = conv_unit(width, hidden, 3, activation=prelu, eps=_EPS)
        self.near = _pair(hidden, 1)
        self.far = _pair(hidden, dilation)
        self.between = _norm_unit(hidden)
        self.expand = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        reduced = self.reduce(self.before(features))
        out: Tensor = self.expand(self.between(self.near(reduced) + self.far(reduced)))
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
        self.stem_injection = _norm_unit(32 + _IMAGE_WIDTH)
        self.downsample1 = PooledDownsampler(32 + _IMAGE_WIDTH, 64, activation=prelu, eps=_EPS)
        self.block1 = nn.Sequential(*(AsymmetricBottleneck(64, dilation) for dilation in _FIRST_DILATIONS))
        self.injection1 = _norm_unit(2 * 64 + _IMAGE_WIDTH)
        # As wide as its input or narrower, so that no map is left for a pooling beside the convolution.
        self.downsample2 = conv_unit(2 * 64 + _IMAGE_WIDTH, 128, 3, stride=2, activation=prelu, eps=_EPS)
        self.block2 = nn.Sequential(*(AsymmetricBottleneck(128, dilation) for dilation in _SECOND_DILATIONS))
        self.injection2 = _norm_unit(2 * 128 + _IMAGE_WIDTH)
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


def _norm_unit(width: int) -> nn.Sequential:
    """Build a batch norm and its activation."""
    return nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(width, _EPS), act=prelu(width)))


def _pair(width: int, dilation: int) -> nn.Sequential:
    column = conv_unit(width, width, (3, 1), dilation=dilation, depthwise=True, activation=prelu, eps=_EPS)
    row = conv_unit(width, width, (1, 3), dilation=dilation, depthwise=True, activation=prelu, eps=_EPS)
    return nn.Sequential(column, row)
