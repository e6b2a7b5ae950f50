"""The feature fusion unit (Table 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contextnet.models.blocks import conv_unit
from contextnet.models.resize import upscale


class FusionUnit(nn.Module):
    """Adds context to detail: upsampling, a dilated depth-wise 3×3 and a 1×1 on one side, a 1×1 on the other.

    Table 3 has upsampling by 4 with dilation 4. Here the dilation is the upsampling ``factor``, so that for every
    input scale the kernel's taps land on neighbouring cells of the context branch.
    """

    def __init__(self, context_width: int, detail_width: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.smooth = conv_unit(context_width, context_width, 3, dilation=factor, depthwise=True)
        self.context = conv_unit(context_width, width, activation=False)
        self.detail = conv_unit(detail_width, width, activation=False)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, context: Tensor, detail: Tensor) -> Tensor:
        """Fuse (N, C1, H / factor, W / factor) and (N, C2, H, W) into (N, width, H, W)."""
        raised = self._smooth(upscale(context, self.factor))
        fused: Tensor = self.act(self.context(raised) + self.detail(detail))
        return fused

    def _smooth(self, raised: Tensor) -> Tensor:
        """Run the dilated convolution, in float32 where its bfloat16 gradient cannot be trusted.

        On a CPU, oneDNN's weight gradient of a dilated depth-wise convolution in bfloat16 reads memory that nothing
        wrote (PyTorch 2.13): now and then a gradient of 1e30.
        """
        smoothed: Tensor
        if self.training and raised.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                smoothed = self.smooth(raised.float())
        else:
            smoothed = self.smooth(raised)
        return smoothed
