"""Exponential moving average of the weights, batch-norm statistics included."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def start_average(network: nn.Module) -> dict[str, Tensor]:
    """Copy the network's state as the average's first value."""
    return {n: t.detach().clone() for n, t in network.state_dict().items()}


@torch.no_grad()
def update_average(averaged: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network; in the first steps faster, so that the start is soon forgotten.

    The decay in force is min(``decay``, (1 + step) / (10 + step)). Integer buffers are copied.
    """
    current = network.state_dict()
    share = 1 - min(decay, (1 + step) / (10 + step))
    names = [n for n, t in averaged.items() if t.is_floating_point()]
    torch._foreach_lerp_([averaged[n] for n in names], [current[n] for n in names], share)
    for name in averaged.keys() - set(names):
        averaged[name].copy_(current[name])
