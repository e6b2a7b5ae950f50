"""An ensemble: several networks score the same image, and their class probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.errors import ContextNetError
from contextnet.models.multiscale import MeanScores
from contextnet.models.network import Network
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.score_field import label_image


class Ensemble:
    """Labels images of any size by the average of several networks' soft-max, taken pixel by pixel at full size.

    The networks run on ``device``. Every network's scores are enlarged to the size of the image before its soft-max.
    Raises ``ContextNetError`` for fewer than two networks, or networks of different numbers of classes.

    Source: section 3, ContextNet vs Ensemble Nets, where each branch has been trained as a network of its own.
    """

    def __init__(self, networks: Sequence[Network], device: str | torch.device = "cpu") -> None:
        if len(networks) < 2:
            raise ContextNetError(f"an ensemble of {len(networks)} networks; at least two are needed")
        first, *others = (network.spec for network in networks)
        for spec in others:
            if spec.num_classes != first.num_classes:
                raise ContextNetError(
                    f"'{first.name}' scores {first.num_classes} classes and '{spec.name}' {spec.num_classes}; "
                    "an ensemble's networks must score the same ones"
                )
        self._members = tuple(NetworkPredictor(network, device) for network in networks)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._members[0].device

    def field(self, image_13HW: Tensor) -> MeanScores:
        """Score an image by every network, uint8 or float (1, 3, H, W) RGB of 0…255."""
        return MeanScores(tuple(member.field(image_13HW) for member in self._members))

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        return label_image(self, image_HW3)
