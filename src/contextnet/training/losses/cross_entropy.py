"""Cross-entropy over labelled pixels: weighted by class, with smoothed labels, or over the hard pixels alone.

Scores are float (N, classes, H, W) before the soft-max, labels int64 (N, H, W) train ids with 255 for void.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from contextnet.labels import IGNORE_INDEX

SMALLEST_WEIGHT = 1e-6


def pixel_weights(labels_NHW: Tensor, class_weights: Tensor | None) -> Tensor:
    """Give each pixel the weight of its class, (N, H, W): zero at void, one (as a boolean) without class weights."""
    labelled = labels_NHW != IGNORE_INDEX
    if class_weights is None:
        return labelled
    return class_weights[labels_NHW.masked_fill(~labelled, 0)].mul(labelled)


def cross_entropy(
    scores_NCHW: Tensor,
    labels_NHW: Tensor,
    class_weights: Tensor | None,
    *,
    label_smoothing: float = 0.0,
    total_weight: Tensor | None = None,
) -> Tensor:
    """Average the cross-entropy over labelled pixels, weighted by class; exactly zero where every pixel is void.

    ``label_smoothing`` moves that share of the truth evenly to all classes, void not among them; a smoothed pixel still
    weighs what its own class does. ``total_weight`` is what the sum over pixels is divided by, where that is not the
    weight of these pixels. Source of smoothing: Szegedy et al., "Rethinking the Inception Architecture", section 7.
    """
    if label_smoothing == 0:
        losses = F.cross_entropy(scores_NCHW, labels_NHW, class_weights, ignore_index=IGNORE_INDEX, reduction="sum")
    else:
        # F.cross_entropy's own class weights would also weight the smoothed share, most of all with absent classes.
        smoothed = _pixel_losses(scores_NCHW, labels_NHW, label_smoothing)
        losses = smoothed.mul(pixel_weights(labels_NHW, class_weights)).sum()
    total = pixel_weights(labels_NHW, class_weights).sum() if total_weight is None else total_weight
    return losses / total.clamp(min=SMALLEST_WEIGHT)


def hard_cross_entropy(
    scores_NCHW: Tensor,
    labels_NHW: Tensor,
    class_weights: Tensor | None,
    *,
    threshold: float,
    min_kept: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Average the cross-entropy over hard pixels: those whose true class has a probability below ``threshold``.

    Where they are fewer than ``min_kept`` (a share of the labelled pixels, rounded up), that many of the least probable
    are kept. A score that is not finite keeps its pixel, so that the fault shows in the loss. Zero where every pixel is
    void. Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", in the
    form for pixels that BiSeNet (Yu et al.) trains with.
    """
    labelled = labels_NHW != IGNORE_INDEX
    losses = _pixel_losses(scores_NCHW, labels_NHW, 0.0)
    hard = labelled.clone()
    hard[labelled] = _are_hard(losses.detach()[labelled], threshold, min_kept)
    if label_smoothing:
        losses = _pixel_losses(scores_NCHW, labels_NHW, label_smoothing)
    weights = pixel_weights(labels_NHW, class_weights).mul(hard)
    return losses.mul(weights).sum() / weights.sum().clamp(min=SMALLEST_WEIGHT)


def _pixel_losses(scores_NCHW: Tensor, labels_NHW: Tensor, label_smoothing: float) -> Tensor:
    """Give every pixel's cross-entropy, (N, H, W), zero at void."""
    return F.cross_entropy(
        scores_NCHW, labels_NHW, ignore_index=IGNORE_INDEX, reduction="none", label_smoothing=label_smoothing
    )


def _are_hard(losses_P: Tensor, threshold: float, min_kept: float) -> Tensor:
    """Tell which of the labelled pixels' losses, float (P,), are kept; more than asked for where losses are equal."""
    easy = losses_P <= -math.log(threshold)
    fewest = math.ceil(min_kept * len(losses_P))
    if fewest > 0:
        easy &= losses_P < torch.kthvalue(losses_P, len(losses_P) - fewest + 1).values
    return ~easy
