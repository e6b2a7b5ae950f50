"""From an image array to a label array, by a PyTorch network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm


class NetworkPredictor:
    """Labels images of any size with a network whose batch norm has been folded."""

    def __init__(self, network: ContextNet, device: str | torch.device = "cpu") -> None:
        self._network = fold_batch_norm(network).to(device, memory_format=torch.channels_last)
        self._device = torch.device(device)

    @torch.inference_mode()
    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        # The interleaved array, seen as (1, 3, H, W), already is in channels-last layout.
        tensor = torch.from_numpy(np.ascontiguousarray(image_HW3)).to(self._device).permute(2, 0, 1).unsqueeze(0)
        scores = self._network.full_size_scores(tensor)
        labels: NDArray[np.uint8] = scores.argmax(dim=1).to(torch.uint8).squeeze(0).cpu().numpy()
        return labels
