"""Bodies of the compared networks: outlines without memory, and those whose signal reaches the last layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from contextnet.models.baselines.catalogue import BODIES
from contextnet.network_spec import BaselineSpec


def outline_of(name: str, num_classes: int = 19, *, auxiliary: bool = True, dropout: float = 0.1) -> nn.Module:
    """A network in training mode without memory: names and shapes alone."""
    with torch.device("meta"):
        return BODIES[name](BaselineSpec(name, num_classes, auxiliary, dropout))


def body_of(name: str, num_classes: int = 3, *, auxiliary: bool = False) -> nn.Module:
    """A network without dropout, as ``he_initialized`` leaves it."""
    torch.manual_seed(0)
    return he_initialized(BODIES[name](BaselineSpec(name, num_classes, auxiliary, dropout=0.0)))


def he_initialized(network: nn.Module) -> nn.Module:
    """He initialization, so that the signal reaches the last layer; the papers' own dropout off."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return network


def settled(network: nn.Module, image: Tensor) -> nn.Module:
    """An evaluating network whose batch norms fit their activations, with shifts and scales that are not trivial."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(image)
    return network.eval()


def random_image(height: int, width: int, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def meta_image(height: int, width: int) -> Tensor:
    return torch.empty((2, 3, height, width), device="meta")


def shape_of(scores: Tensor | None) -> tuple[int, ...] | None:
    return None if scores is None else tuple(scores.shape)


def convolutions_of(network: nn.Module) -> list[nn.Conv2d]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d)]


def modules_of(network: nn.Module, kind: type) -> Iterator[nn.Module]:
    return (m for m in network.modules() if isinstance(m, kind))


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
