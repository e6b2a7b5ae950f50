"""Max pooling that remembers which pixels it took, and its reversal; tracing looks into neither.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChoosingPool(nn.Module):
    """2×2 max pooling that also tells which pixel of each window it took.

    The choice is a mask with the features' own shape and type: 1 at the pixel taken, the first in row-major order among
    equals, 0 elsewhere. Unlike indices it needs no operation beyond comparison and arithmetic to make and to apply.
    """

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W), both sides even, to the maxima (N, C, H / 2, W / 2) and the choice (N, C, H, W)."""
        pooled = F.max_pool2d(features, 2)
        with torch.no_grad():
            choice = torch.empty_like(features)
            is_first = features[..., 0::2, 0::2] == pooled
            is_second = (features[..., 0::2, 1::2] == pooled) & ~is_first
            is_below = ~(is_first | is_second)
            is_third = (features[..., 1::2, 0::2] == pooled) & is_below
            choice[..., 0::2, 0::2] = is_first
            choice[..., 0::2, 1::2] = is_second
            choice[..., 1::2, 0::2] = is_third
            choice[..., 1::2, 1::2] = is_below & ~is_third
        return pooled, choice


class Unpool(nn.Module):
    """Puts every feature back on the pixel that ``ChoosingPool`` took, among zeros: nearest upscaling times mask."""

    def forward(self, features: Tensor, choice: Tensor) -> Tensor:
        """Map (N, C, H, W) and the choice (N, C, 2 H, 2 W) to (N, C, 2 H, 2 W)."""
        count, width, rows, columns = features.shape
        # Broadcasting spares the enlarged copy of the features.
        windows = choice.view(count, width, rows, 2, columns, 2)
        return (windows * features[:, :, :, None, :, None]).reshape(choice.shape)
