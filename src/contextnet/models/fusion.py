"""The feature fusion unit (Table 3)."""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.conv_units import conv_unit, relu6
from contextnet.models.resize import upscale


class FusionUnit(nn.Module):
    """Adds context to detail: upsampling, a dilated depth-wise 3×3 and a 1×1 on one side, a 1×1 on the other.

    Table 3 has upsampling by 4 with dilation 4. Here the dilation is the upsampling ``factor``, so that for every
    input scale the kernel's taps land on neighbouring cells of the context branch.
    """

    def __init__(self, context_width: int, detail_width: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.smooth = conv_unit(context_width, context_width, 3, dilation=factor, depthwise=True, activation=relu6)
        self.context = conv_unit(context_width, width, activation=None)
        self.detail = conv_unit(detail_width, width, activation=None)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, context: Tensor, detail: Tensor) -> Tensor:
        """Fuse (N, C1, H / factor, W / factor) and (N, C2, H, W) into (N, width, H, W)."""
        smoothed = self.smooth(upscale(context, self.factor))
        fused: Tensor = self.act(self.context(smoothed) + self.detail(detail))
        return fused
