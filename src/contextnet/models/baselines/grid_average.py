"""What pyramid pooling is made of: averages over a grid, and their way back; tracing looks into neither.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class GridAverage(nn.Module):
    """Averages the features over each cell of a ``grid`` × ``grid`` grid; cells overlap where sides do not divide."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, grid, grid)."""
        return F.adaptive_avg_pool2d(features, self.grid)


class SpreadGrid(nn.Module):
    """Spreads a grid of values over a feature map: bilinear, half-pixel centres."""

    def forward(self, grid_features: Tensor, like: Tensor) -> Tensor:
        """Map (N, C, grid, grid) to (N, C, H, W), where ``like`` is (N, any, H, W)."""
        return F.interpolate(grid_features, like.shape[-2:], mode="bilinear", align_corners=False)
