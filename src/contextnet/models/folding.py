"""Batch-norm folding: the scale and shift of every batch norm go into the convolution before it (section 3.1)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_Network = TypeVar("_Network", bound=nn.Module)


def fold_batch_norm(network: _Network) -> _Network:
    """Return an evaluation copy whose convolutions carry their batch norm; the source is left as it is.

    The copy's scores differ from the source's by rounding alone (at most 1e-4). The copy cannot be trained.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    with torch.no_grad():
        for unit in [m for m in folded.modules() if isinstance(m, nn.Sequential)]:
            _fold_unit(unit)
    return folded


def _fold_unit(unit: nn.Sequential) -> None:
    conv, norm = getattr(unit, "conv", None), getattr(unit, "norm", None)
    if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
        unit.conv = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))
        unit.norm = nn.Identity()
