"""The loss: cross-entropy over labelled pixels, plus the context branch's own, weighted (section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from contextnet.labels import IGNORE_INDEX
from contextnet.models.contextnet import NetworkOutput
from contextnet.models.resize import upscale, upscale_to
from contextnet.spec import OUTPUT_STRIDE


def bounded_log_weights(pixel_counts: NDArray[np.int64]) -> Tensor:
    """Weight each class by 1 / ln(1.02 + share), scaled to a mean of one over the pixels, float (classes,).

    Source: Paszke et al., "ENet", section 5.1.
    """
    shares = pixel_counts / max(1, int(pixel_counts.sum()))
    weights = 1 / np.log(1.02 + shares)
    return torch.tensor(weights / float((weights * shares).sum() or 1.0), dtype=torch.float32)


def cross_entropy(scores_NCHW: Tensor, labels_NHW: Tensor, class_weights: Tensor | None) -> Tensor:
    """Average the cross-entropy over labelled pixels, weighted by class; exactly zero where every pixel is void."""
    losses = F.cross_entropy(scores_NCHW, labels_NHW, class_weights, ignore_index=IGNORE_INDEX, reduction="sum")
    labelled = labels_NHW != IGNORE_INDEX
    if class_weights is None:
        total = labelled.sum()
    else:
        total = class_weights[labels_NHW.masked_fill(~labelled, 0)].mul(labelled).sum()
    return losses / total.clamp(min=1e-6)


@dataclass(frozen=True)
class SegmentationLoss:
    """Main loss at full label resolution, auxiliary loss on every eighth pixel.

    The auxiliary scores are raised to 1/8 of the image and compared with the labels at the cells' centres: at the
    context branch's stride of 32 a full-resolution comparison would cost more than the branch itself.
    """

    auxiliary_weight: float = 0.4
    class_weights: Tensor | None = None

    def __call__(self, output: NetworkOutput, labels_NHW: Tensor) -> Tensor:
        """Give the scalar loss of a batch; labels are int64 (N, H, W) with 255 for void."""
        height, width = labels_NHW.shape[-2:]
        full = upscale_to(output.scores.float(), (height, width), OUTPUT_STRIDE)
        loss = cross_entropy(full, labels_NHW, self.class_weights)
        if output.auxiliary is None or self.auxiliary_weight == 0:
            return loss
        centres = labels_NHW[:, OUTPUT_STRIDE // 2 :: OUTPUT_STRIDE, OUTPUT_STRIDE // 2 :: OUTPUT_STRIDE]
        factor = output.scores.shape[-1] // output.auxiliary.shape[-1]
        raised = upscale(output.auxiliary.float(), factor)[..., : centres.shape[1], : centres.shape[2]]
        return loss + self.auxiliary_weight * cross_entropy(raised, centres, self.class_weights)
