"""The pyramid pooling module of PSPNet, which Fast-SCNN has as well (Zhao et al., section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.conv_units import conv_unit

BINS = (1, 2, 3, 6)


class StackedPyramid(nn.Module):
    """Averages the features over four grids, brings each to a quarter of the width and stacks all on the features."""

    def __init__(self, width: int) -> None:
        super().__init__()
        share = width // len(BINS)
        self.levels = nn.ModuleList(nn.Sequential(GridAverage(grid), conv_unit(width, share)) for grid in BINS)
        self.spread = SpreadGrid()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, 2 · width, H, W)."""
        spread = [self.spread(level(features), features) for level in self.levels]
        return torch.cat([features, *spread], dim=1)
