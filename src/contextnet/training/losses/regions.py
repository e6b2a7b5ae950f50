"""Losses of whole regions: how well the pixels predicted as a class overlap those that belong to it.

Scores are float (N, classes, H, W) before the soft-max, labels int64 (N, H, W) train ids with 255 for void. Void pixels
belong to no region and neither loss nor gradient sees them. G is the number of groups of pixels (an image each, or the
batch), C of classes, P of pixels in a group.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from contextnet.labels import IGNORE_INDEX

Extent = Literal["image", "batch"]


def lovasz_softmax(scores_NCHW: Tensor, labels_NHW: Tensor, extent: Extent = "image") -> Tensor:
    """Give the Lovász extension of 1 - IoU, averaged over the classes present; zero where every pixel is void.

    The IoU is that of each image, the loss their mean (an image without labels counts as zero), or that of the whole
    batch. Source: Berman et al., "The Lovász-Softmax loss", algorithm 1.
    """
    probabilities_GCP, truth_GCP = _regions(scores_NCHW, labels_NHW, extent)
    errors, order = torch.sort((truth_GCP - probabilities_GCP).abs(), dim=2, descending=True)
    losses_GC = (errors * _jaccard_steps(truth_GCP.gather(2, order))).sum(2)
    return _mean_over_present(losses_GC, truth_GCP).mean()


def soft_dice(scores_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Give 1 - soft Dice of the batch, averaged over the classes present; zero where every pixel is void.

    Dice of a class is 2 Σ p·t / (Σ p² + Σ t²) with probability p and truth t. Source: Milletari et al., "V-Net",
    section 3.
    """
    probabilities_GCP, truth_GCP = _regions(scores_NCHW, labels_NHW, "batch")
    overlap_GC = (probabilities_GCP * truth_GCP).sum(2)
    # Truth is 0 or 1, so its squares are itself; the floor only serves classes that are nowhere.
    extent_GC = (probabilities_GCP.square() + truth_GCP).sum(2).clamp(min=1e-6)
    return _mean_over_present(1 - 2 * overlap_GC / extent_GC, truth_GCP).mean()


def _regions(scores_NCHW: Tensor, labels_NHW: Tensor, extent: Extent) -> tuple[Tensor, Tensor]:
    """Give probability and truth of every pixel and class, two float (G, C, P), at least float32; zero at void."""
    precision = torch.promote_types(scores_NCHW.dtype, torch.float32)
    labelled_N1HW = (labels_NHW != IGNORE_INDEX)[:, None]
    classes = torch.arange(scores_NCHW.shape[1], device=labels_NHW.device).view(1, -1, 1, 1)
    truth_NCP = (labels_NHW[:, None] == classes).to(precision).flatten(2)
    probabilities_NCP = F.softmax(scores_NCHW, dim=1, dtype=precision).mul(labelled_N1HW).flatten(2)
    if extent == "image":
        return probabilities_NCP, truth_NCP
    return _as_one_group(probabilities_NCP), _as_one_group(truth_NCP)


def _as_one_group(values_NCP: Tensor) -> Tensor:
    return values_NCP.transpose(0, 1).flatten(1)[None]


def _jaccard_steps(truth_GCP: Tensor) -> Tensor:
    """Give by how much 1 - IoU grows with every further pixel taken as wrong, (G, C, P); truth is ordered by error."""
    total = truth_GCP.sum(2, keepdim=True)
    intersection = total - truth_GCP.cumsum(2)
    union = total + (1 - truth_GCP).cumsum(2)
    distance = 1 - intersection / union
    return torch.cat([distance[..., :1], distance.diff(dim=2)], dim=2)


def _mean_over_present(losses_GC: Tensor, truth_GCP: Tensor) -> Tensor:
    present_GC = truth_GCP.any(2)
    return losses_GC.mul(present_GC).sum(1) / present_GC.sum(1).clamp(min=1)
