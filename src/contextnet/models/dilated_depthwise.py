"""Dilated depth-wise convolutions, which a CPU cannot train in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def dilated_depthwise(unit: nn.Module, features: Tensor) -> Tensor:
    """Run a unit of dilated depth-wise convolutions, in float32 where its bfloat16 gradient cannot be trusted.

    On a CPU, oneDNN's weight gradient of such a convolution in bfloat16 reads memory that nothing wrote (PyTorch 2.13):
    now and then a gradient of 1e30. So a unit in training mode under autocast gives float32 there.
    """
    result: Tensor
    if unit.training and features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            result = unit(features.float())
    else:
        result = unit(features)
    return result
