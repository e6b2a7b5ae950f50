"""From an image array to a label array, by a PyTorch network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.resize import upscale
from contextnet.spec import OUTPUT_STRIDE

BAND_VALUES = 1 << 24


class NetworkPredictor:
    """Labels images of any size with a network whose batch norm has been folded."""

    def __init__(self, network: ContextNet, device: str | torch.device = "cpu") -> None:
        folded = fold_batch_norm(network).to(device)
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        self._device = torch.device(device)

    @torch.inference_mode()
    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        # The interleaved array, seen as (1, 3, H, W), already is in channels-last layout.
        image = torch.from_numpy(np.ascontiguousarray(image_HW3)).to(self._device).permute(2, 0, 1).unsqueeze(0)
        scores = self._network(image).scores
        height, width = image_HW3.shape[:2]
        labels: NDArray[np.uint8] = labels_from_scores(scores)[0, :height, :width].cpu().numpy()
        return labels


def labels_from_scores(scores_NCHW: Tensor, band_values: int = BAND_VALUES) -> Tensor:
    """Upsample scores by 8 and give each pixel's best class, uint8 (N, 8·H, 8·W).

    Works in bands of rows, each with one row of neighbours above and below, so that a large image's full-size scores
    never exist at once; the result is that of upsampling them whole.
    """
    rows = scores_NCHW.shape[2]
    values_per_row = scores_NCHW[:, :, 0].numel() * OUTPUT_STRIDE**2
    band = max(1, band_values // values_per_row)
    bands = []
    for first in range(0, rows, band):
        last = min(first + band, rows)
        above, below = min(1, first), min(1, rows - last)
        raised = upscale(scores_NCHW[:, :, first - above : last + below].contiguous(), OUTPUT_STRIDE)
        kept = raised[:, :, above * OUTPUT_STRIDE : raised.shape[2] - below * OUTPUT_STRIDE]
        bands.append(kept.argmax(dim=1).to(torch.uint8))
    return torch.cat(bands, dim=1)
