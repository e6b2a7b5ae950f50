"""A network with one of its branches silenced, which shows what the other contributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from contextnet.errors import ContextNetError
from contextnet.models.contextnet import ContextNet

Branch = Literal["context", "detail"]


@contextmanager
def muted(network: ContextNet, branch: Branch) -> Iterator[None]:
    """Give the network's own fusion zeros in place of what a branch puts out, of every detail branch for "detail".

    It lasts as long as the context, errors included. A copy that is made meanwhile, such as a predictor's with folded
    batch norm, stays muted. Raises ``ContextNetError`` for a network that has not both branches.

    Source: section 3, Context Branch Analysis.
    """
    if network.context is None or not network.details:
        found = "detail branch" if network.context is None else "context branch"
        raise ContextNetError(
            f"network '{network.spec.name}' has a {found} alone; zero a branch of a network that has both, such as cn14"
        )
    silenced = [network.context] if branch == "context" else list(network.details)
    handles = [module.register_forward_hook(_silence) for module in silenced]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _silence(_module: nn.Module, _inputs: tuple[Tensor, ...], features_NCHW: Tensor) -> Tensor:
    return torch.zeros_like(features_NCHW)
