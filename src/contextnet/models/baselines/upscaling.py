"""Enlargement as a layer, which tracing does not look into."""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.resize import upscale


class Upscale(nn.Module):
    """Enlarges height and width by ``factor``: bilinear, half-pixel centres."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H · factor, W · factor)."""
        return upscale(features, self.factor)
