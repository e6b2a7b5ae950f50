"""From an image array to a label array, by a PyTorch network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import Network
from contextnet.models.score_field import UpsampledScores, label_image


class NetworkPredictor:
    """Labels images of any size with a network whose batch norm has been folded."""

    def __init__(self, network: Network, device: str | torch.device = "cpu") -> None:
        folded = fold_batch_norm(network).to(device)
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        self._device = torch.device(device)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._device

    def field(self, image_13HW: Tensor) -> UpsampledScores:
        """Score an image on the network's device, uint8 or float (1, 3, H, W) RGB of 0…255."""
        size_hw = (image_13HW.shape[-2], image_13HW.shape[-1])
        return UpsampledScores(self._network(image_13HW).scores, size_hw, self._network.spec.output_stride)

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        return label_image(self, image_HW3)
