"""The weights that a network starts with, and which of its layers score classes."""

from __future__ import annotations

from torch import nn


def initialize(network: nn.Module) -> None:
    """Give convolutions He initialization by fan-out, and layers that score classes small weights.

    Other transposed convolutions keep PyTorch's default. Biases become zero; batch norm stays the identity.
    """
    for path, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            continue
        if scores_classes(path):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def scores_classes(path: str) -> bool:
    """Tell by the dotted name of a network's layer whether its output channels are classes.

    Those of classifiers are, and of ContextNet's ``auxiliary``, which is a layer rather than a head.
    """
    return path == "auxiliary" or "classifier" in path.split(".")
