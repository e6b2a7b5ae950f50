"""Pyramid pooling (Zhao et al., "Pyramid Scene Parsing Network"), optional behind the context branch (section 2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.conv_units import conv_unit, relu6


class PyramidPooling(nn.Module):
    """Average the features over grids of several sizes and mix the averages back in.

    Each grid gets ``width`` / number of grids feature maps; a 1×1 convolution brings the stack back to ``width``.
    """

    def __init__(self, width: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        self.bins = bins
        share = max(1, width // len(bins))
        self.reduce = nn.ModuleList(conv_unit(width, share, activation=relu6) for _ in bins)
        self.mix = conv_unit(width + share * len(bins), width, activation=relu6)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        size = features.shape[-2:]
        pooled = [
            F.interpolate(reduce(F.adaptive_avg_pool2d(features, grid)), size, mode="bilinear", align_corners=False)
            for grid, reduce in zip(self.bins, self.reduce, strict=True)
        ]
        mixed: Tensor = self.mix(torch.cat([features, *pooled], dim=1))
        return mixed
