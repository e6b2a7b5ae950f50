"""Fast-SCNN: shared first layers, a deep branch at low resolution, and a skip connection at an eighth of the size.

Poudel et al., "Fast-SCNN: Fast Semantic Segmentation Network" (2019), Table 1.

For 19 classes it has 1,137,795 parameters without the auxiliary head, 1,125,955 with batch norm folded, and 1,114,115
without batch norm's scale and shift, which is the paper's 1.11 M.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from contextnet.models.baselines.pyramid_pooling import StackedPyramid
from contextnet.models.baselines.upscaling import Upscale
from contextnet.models.blocks import Bottleneck
from contextnet.models.conv_units import conv_unit, relu
from contextnet.spec import BottleneckSpec

_EXPANSION = 6
# (feature maps, stride of the first block) of the three groups of three bottlenecks.
_GROUPS = ((64, 2), (96, 2), (128, 1))
_BLOCKS_PER_GROUP = 3


class FeatureFusion(nn.Module):
    """Adds the deep features, enlarged by 4 and smoothed by a dilated depth-wise 3×3, to the shallow ones (Table 3)."""

    def __init__(self, shallow_width: int, deep_width: int, width: int) -> None:
        super().__init__()
        self.enlarge = Upscale(4)
        self.smooth = conv_unit(deep_width, deep_width, 3, dilation=4, depthwise=True)
        self.deep = conv_unit(deep_width, width, activation=None)
        self.shallow = conv_unit(shallow_width, width, activation=None)
        self.act = nn.ReLU(inplace=True)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """Fuse (N, C1, H, W) and (N, C2, H / 4, W / 4) into (N, width, H, W)."""
        smoothed = self.smooth(self.enlarge(deep))
        fused: Tensor = self.act(self.deep(smoothed) + self.shallow(shallow))
        return fused


class FastSCNN(nn.Module):
    """Fast-SCNN as in Table 1.

    Of the two auxiliary heads of section 4.1 the one on the global features is kept, as ContextNet has it.
    """

    def __init__(self, num_classes: int, *, dropout: float, auxiliary: bool) -> None:
        super().__init__()
        self.downsample = nn.Sequential(
            conv_unit(3, 32, 3, stride=2), *_separable(32, 48, stride=2), *_separable(48, 64, stride=2)
        )
        self.context = nn.Sequential(*_bottlenecks(64), StackedPyramid(128), conv_unit(256, 128))
        self.fusion = FeatureFusion(64, 128, 128)
        self.head = nn.Sequential(*_separable(128, 128), *_separable(128, 128))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(128, num_classes, 1)
        self.auxiliary = _auxiliary_head(num_classes) if auxiliary else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H / 8, W / 8) and auxiliary scores at H / 32, W / 32."""
        shallow = self.downsample(image)
        deep = self.context(shallow)
        scores = self.classifier(self.dropout(self.head(self.fusion(shallow, deep))))
        auxiliary = self.auxiliary(deep) if self.auxiliary is not None and self.training else None
        return scores, auxiliary


def _separable(width_in: int, width: int, *, stride: int = 1) -> tuple[nn.Sequential, nn.Sequential]:
    """Build a depth-wise 3×3 and a 1×1 convolution, with no nonlinearity between them (section 3.2.1)."""
    depthwise = conv_unit(width_in, width_in, 3, stride=stride, depthwise=True, activation=None)
    return depthwise, conv_unit(width_in, width)


def _bottlenecks(width: int) -> list[Bottleneck]:
    """Build the three groups; each block is ContextNet's with ReLU (Table 2)."""
    blocks = []
    for group_width, group_stride in _GROUPS:
        for index in range(_BLOCKS_PER_GROUP):
            stride = group_stride if index == 0 else 1
            spec = BottleneckSpec(_EXPANSION, _EXPANSION * width, group_width, stride)
            blocks.append(Bottleneck(width, spec, relu))
            width = group_width
    return blocks


def _auxiliary_head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(classifier=nn.Conv2d(128, num_classes, 1)))
