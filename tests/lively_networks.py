"""Networks of any spec that say something: batch norm away from the identity, scores of order 1."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from contextnet.labels import LabelClass, LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights
from contextnet.spec import ContextNetSpec

CLASSES = 5


def lively_network(spec: ContextNetSpec, seed: int = 0) -> ContextNet:
    """A network whose batch norm fits its activations on patches, and whose classes all lead somewhere."""
    torch.manual_seed(seed)
    network = ContextNet(spec)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.5)
    images = np.stack([patches((256, 256), seed), patches((256, 256), seed + 1)])
    with torch.no_grad():
        network.train()(torch.from_numpy(images).permute(0, 3, 1, 2))
        network.classifier.weight.normal_(std=0.5)
    return network.eval()


def lively_weights(spec: ContextNetSpec, seed: int = 0) -> Weights:
    """The same as the content of a weights file."""
    return Weights(spec, some_labels(spec.num_classes), lively_network(spec, seed).state_dict(), {"miou": 0.5}, "free")


def some_labels(num_classes: int) -> LabelSet:
    """Classes called a, b, c, … with ids 0, 1, 2, …"""
    classes = [LabelClass(chr(97 + i), (i, 2 * i, 3 * i), "all", (i,)) for i in range(num_classes)]
    return LabelSet("letters", tuple(classes))


def patches(size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """An image of coloured patches, 24 pixels wide, with grain: a network sees more than one class in it."""
    generator = np.random.default_rng(seed)
    height, width = size_hw
    coarse = generator.integers(0, 192, (height // 24 + 1, width // 24 + 1, 3), np.uint8)
    enlarged = coarse.repeat(24, axis=0).repeat(24, axis=1)[:height, :width]
    return enlarged + generator.integers(0, 64, (height, width, 3), np.uint8)
