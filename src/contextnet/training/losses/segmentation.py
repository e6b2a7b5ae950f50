"""The loss: cross-entropy over labelled pixels, plus the context branch's own, weighted (section 2.2), and what a
recipe adds to it.

Over several ranks, as over the parts of an accumulated batch, gradients are averaged with equal weight. That is the
gradient of the whole batch for cross-entropy given the average ``label_weights``, and for Lovász-softmax per image
where the ranks hold equally many images. Hard pixels, Lovász-softmax of the batch and Dice are not sums over pixels:
they see the pixels of their own rank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from contextnet.labels import LabelSet
from contextnet.models.network_output import NetworkOutput
from contextnet.training.losses.class_weights import PixelCounts, class_weights_of
from contextnet.training.losses.cross_entropy import cross_entropy, hard_cross_entropy, pixel_weights
from contextnet.training.losses.enlarging import enlarge
from contextnet.training.losses.regions import Extent, lovasz_softmax, soft_dice
from contextnet.training.recipe.loss import LossOptions, OhemOptions


@dataclass(frozen=True)
class SegmentationLoss:
    """Main loss at full label resolution; auxiliary loss and losses of regions at the centres of the scores' cells.

    ``stride`` is how many pixels a cell spans each way. The auxiliary scores are raised to the cells and compared with
    the labels at their centres: at the context branch's stride of 32 a full-resolution comparison would cost more than
    the branch itself. Lovász-softmax and Dice compare the main scores there, before they are raised: Lovász-softmax
    sorts, and sorting every pixel, as it does at stride 1, takes more than ten times as long as the rest of the loss.

    With a ``pixel_stride`` of 2 or 4 the main cross-entropy sees every second or fourth row and column, and the steps
    take turns at which is the first: neighbouring pixels say nearly the same, and fewer scores have to be raised.

    Class weights make a network label rare classes too often. ``weight_correction`` times the logarithm of its weight
    is added to a class's score for the cross-entropy alone: at 1 the scores themselves decide as without weights.
    Source: Menon et al., "Long-tail learning via logit adjustment" (2021), with weights in the place of priors.
    """

    auxiliary_weight: float = 0.4
    class_weights: Tensor | None = None
    weight_correction: float = 0.0
    label_smoothing: float = 0.0
    ohem: OhemOptions | None = None
    lovasz_weight: float = 0.0
    lovasz_extent: Extent = "image"
    dice_weight: float = 0.0
    pixel_stride: int = 1
    _: KW_ONLY
    stride: int

    def __call__(
        self, output: NetworkOutput, labels_NHW: Tensor, label_weights: Tensor | None = None, step: int = 0
    ) -> Tensor:
        """Give the scalar loss of a batch in a step; labels are int64 (N, H, W) with 255 for void.

        ``label_weights`` is the average of ``self.label_weights`` over all ranks, or parts of an accumulated batch;
        None stands for the batch's own.
        """
        weights = self.label_weights(labels_NHW) if label_weights is None else label_weights
        y, x = divmod(step % self.pixel_stride**2, self.pixel_stride)
        seen = labels_NHW[:, y :: self.pixel_stride, x :: self.pixel_stride]
        raised = enlarge(self._corrected(output.scores.float()), self.stride, self.pixel_stride, (y, x))
        raised = raised[..., : seen.shape[-2], : seen.shape[-1]]
        loss = self._cross_entropy(raised, seen, weights[0] / self.pixel_stride**2)
        centres = self._at_centres(labels_NHW)
        cells_hw = centres.shape[-2:]
        if output.auxiliary is not None and self.auxiliary_weight > 0:
            factor = output.scores.shape[-1] // output.auxiliary.shape[-1]
            raised = enlarge(self._corrected(output.auxiliary.float()), factor)[..., : cells_hw[0], : cells_hw[1]]
            loss = loss + self.auxiliary_weight * self._cross_entropy(raised, centres, weights[1])
        cells = output.scores.float()[..., : cells_hw[0], : cells_hw[1]]
        if self.lovasz_weight > 0:
            loss = loss + self.lovasz_weight * lovasz_softmax(cells, centres, self.lovasz_extent)
        if self.dice_weight > 0:
            loss = loss + self.dice_weight * soft_dice(cells, centres)
        return loss

    def label_weights(self, labels_NHW: Tensor) -> Tensor:
        """Weigh a batch's labelled pixels, float32 (2,): what main and auxiliary cross-entropy divide their sums by."""
        parts = (labels_NHW, self._at_centres(labels_NHW))
        return torch.stack([pixel_weights(part, self.class_weights).sum().float() for part in parts])

    def _at_centres(self, labels_NHW: Tensor) -> Tensor:
        """Pick the labels at the centres of the scores' cells, every eighth pixel both ways where the stride is 8."""
        return labels_NHW[:, self.stride // 2 :: self.stride, self.stride // 2 :: self.stride]

    def _corrected(self, scores_NCHW: Tensor) -> Tensor:
        """Raise the scores of the classes that weigh more, by what the cross-entropy then trains them to be lower."""
        if self.class_weights is None or self.weight_correction == 0:
            return scores_NCHW
        return scores_NCHW + self.weight_correction * self.class_weights.log()[:, None, None]

    def _cross_entropy(self, scores_NCHW: Tensor, labels_NHW: Tensor, total_weight: Tensor) -> Tensor:
        if self.ohem is None:
            return cross_entropy(
                scores_NCHW,
                labels_NHW,
                self.class_weights,
                label_smoothing=self.label_smoothing,
                total_weight=total_weight,
            )
        return hard_cross_entropy(
            scores_NCHW,
            labels_NHW,
            self.class_weights,
            threshold=self.ohem.threshold,
            min_kept=self.ohem.min_kept,
            label_smoothing=self.label_smoothing,
        )


def build_loss(
    options: LossOptions,
    labels: LabelSet,
    count_pixels: Callable[[], PixelCounts],
    device: torch.device,
    stride: int,
) -> SegmentationLoss:
    """Build the loss that a recipe describes, of a network with this output stride.

    ``count_pixels`` gives the training split's labelled pixels, int64 (images, classes), and is called only where a
    weighting needs them. Raises ``RecipeError`` for a weight of a class that the label set does not have.
    """
    class_weights = class_weights_of(options, labels, count_pixels)
    return SegmentationLoss(
        auxiliary_weight=options.auxiliary_weight,
        class_weights=None if class_weights is None else class_weights.to(device),
        weight_correction=options.weight_correction,
        label_smoothing=options.label_smoothing,
        ohem=options.ohem,
        lovasz_weight=options.lovasz_weight,
        lovasz_extent=options.lovasz_extent,
        dice_weight=options.dice_weight,
        pixel_stride=options.pixel_stride,
        stride=stride,
    )
