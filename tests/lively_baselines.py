"""Compared networks that say something: batch norm away from the identity, slopes that differ, scores of order 1."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import nn

from contextnet.models.baselines.baseline import Baseline
from contextnet.models.storage import Weights
from contextnet.network_spec import BaselineSpec
from lively_networks import CLASSES, patches, some_labels

SMALL = ("enet", "icnet", "erfnet", "fast-scnn", "dabnet")
"""Those that take a moment on a small image."""


@cache
def lively_baseline(name: str, num_classes: int = CLASSES) -> Baseline:
    """A network whose batch norm fits its activations on patches, and whose classes all lead somewhere; not to be
    changed, for all tests share it."""
    torch.manual_seed(1)
    network = Baseline(BaselineSpec(name, num_classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.5)
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.4)
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    images = torch.from_numpy(np.stack([patches((96, 128), seed) for seed in (0, 1)])).permute(0, 3, 1, 2)
    with torch.no_grad():
        network.train()(images)
        network.eval()
        for path, module in network.named_modules():
            if "classifier" in path.split(".") and isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.normal_(std=0.5)
        scale = network(images).scores.std()
        for path, parameter in network.named_parameters():
            if "classifier" in path.split("."):
                parameter.div_(scale)
    return network


def lively_baseline_weights(name: str, num_classes: int = CLASSES) -> Weights:
    """The same as the content of a weights file."""
    network = lively_baseline(name, num_classes)
    return Weights(network.spec, some_labels(num_classes), network.state_dict(), {"miou": 0.5}, "free")
