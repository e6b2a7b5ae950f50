"""The two branches: deep on the small image (Table 2), shallow on the large one (section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor, nn

from contextnet.models.blocks import Bottleneck, SeparableConv
from contextnet.models.conv_units import conv_unit, relu6
from contextnet.models.pyramid import PyramidPooling
from contextnet.models.resize import downscale
from contextnet.spec import BottleneckSpec, ContextBranchSpec, DetailBranchSpec, SeparableSpec

_BlockSpec = TypeVar("_BlockSpec", BottleneckSpec, SeparableSpec)


class ContextBranch(nn.Module):
    """Captures global context at low resolution: 38 layers of Table 2, optionally pyramid pooling."""

    def __init__(self, spec: ContextBranchSpec) -> None:
        super().__init__()
        self.scale = spec.scale
        self.stem = conv_unit(3, spec.stem, 3, stride=2, activation=relu6)
        self.blocks, width = _in_a_row(Bottleneck, spec.stem, spec.blocks)
        self.head = conv_unit(width, spec.head, activation=relu6)
        self.pyramid = PyramidPooling(spec.head, spec.pyramid_bins) if spec.pyramid_bins else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Map the full image (N, 3, H, W) to features (N, head, H / stride, W / stride)."""
        small = downscale(image, self.scale)
        features: Tensor = self.pyramid(self.head(self.blocks(self.stem(small))))
        return features


class DetailBranch(nn.Module):
    """Keeps boundaries and thin objects at high resolution: four layers, three of them separable."""

    def __init__(self, spec: DetailBranchSpec) -> None:
        super().__init__()
        self.scale = spec.scale
        self.stem = conv_unit(3, spec.stem, 3, stride=2, activation=relu6)
        self.blocks, _ = _in_a_row(SeparableConv, spec.stem, spec.blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Map the full image (N, 3, H, W) to features (N, width, H / stride, W / stride)."""
        features: Tensor = self.blocks(self.stem(downscale(image, self.scale)))
        return features


def _in_a_row(
    block: Callable[[int, _BlockSpec], nn.Module], width: int, specs: Sequence[_BlockSpec]
) -> tuple[nn.Sequential, int]:
    """Make blocks that each read what the one before them gives; also give the width after the last."""
    blocks = nn.Sequential()
    for spec in specs:
        blocks.append(block(width, spec))
        width = spec.width
    return blocks, width
