"""The dilated residual network of PSPNet, DeepLab-v2 and ICNet.

Where a stage halves the size, its first 1×1 convolution does, as in the networks' own Caffe models and in He et al.,
"Deep Residual Learning for Image Recognition". Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.conv_units import conv_unit

RESNET_101 = (3, 4, 23, 3)
_EXPANSION = 4


class ResidualBottleneck(nn.Module):
    """1×1 reduction, dilated 3×3, linear 1×1 to four times the width, added to the input or to a projection of it."""

    def __init__(self, width_in: int, hidden: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        width = hidden * _EXPANSION
        self.reduce = conv_unit(width_in, hidden, stride=stride)
        self.middle = conv_unit(hidden, hidden, 3, dilation=dilation)
        self.increase = conv_unit(hidden, width, activation=None)
        projects = stride > 1 or width_in != width
        self.shortcut = conv_unit(width_in, width, stride=stride, activation=None) if projects else nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, 4 · hidden, H / stride, W / stride)."""
        out: Tensor = self.act(self.increase(self.middle(self.reduce(features))) + self.shortcut(features))
        return out


def residual_stage(width_in: int, hidden: int, blocks: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Put ``blocks`` bottlenecks in a row, the first with the stride, all with the dilation."""
    first = ResidualBottleneck(width_in, hidden, stride=stride, dilation=dilation)
    others = (ResidualBottleneck(hidden * _EXPANSION, hidden, dilation=dilation) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


def deep_stem(widths: tuple[int, int, int]) -> nn.Sequential:
    """Build three 3×3 convolutions and a max pooling: (N, 3, H, W) to (N, widths[2], H / 4, W / 4)."""
    first, second, third = widths
    return nn.Sequential(
        conv_unit(3, first, 3, stride=2),
        conv_unit(first, second, 3),
        conv_unit(second, third, 3),
        nn.MaxPool2d(3, 2, padding=1),
    )


def plain_stem(width: int) -> nn.Sequential:
    """Build one 7×7 convolution and a max pooling: (N, 3, H, W) to (N, width, H / 4, W / 4)."""
    return nn.Sequential(conv_unit(3, width, 7, stride=2), nn.MaxPool2d(3, 2, padding=1))


class DilatedResNet(nn.Module):
    """A residual network of stride 8: the last two of its four stages dilate by 2 and 4 instead of halving."""

    def __init__(self, stem: nn.Sequential, stem_width: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stem = stem
        self.stage2 = residual_stage(stem_width, 64, blocks[0])
        self.stage3 = residual_stage(256, 128, blocks[1], stride=2)
        self.stage4 = residual_stage(512, 256, blocks[2], dilation=2)
        self.stage5 = residual_stage(1024, 512, blocks[3], dilation=4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) to the last two stages' features, (N, 1024, H / 8, W / 8) and (N, 2048, H / 8, W / 8)."""
        fourth = self.stage4(self.stage3(self.stage2(self.stem(image))))
        fifth = self.stage5(fourth)
        return fourth, fifth
