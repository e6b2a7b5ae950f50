"""The network that a student learns from beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from contextnet.errors import RecipeError
from contextnet.labels import LabelSet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import Network
from contextnet.models.resize import downscale, upscale
from contextnet.models.storage import read_weights
from contextnet.training.losses.distillation import distillation
from contextnet.training.recipe.loss import DistillationOptions
from contextnet.weights.catalogue import find_weights


class Teacher:
    """A trained network, fixed, and how much its opinion counts."""

    def __init__(self, network: Network, temperature: float, weight: float, device: torch.device) -> None:
        self._network = fold_batch_norm(network).to(device)
        self._temperature = temperature
        self._weight = weight

    def loss(self, images: Tensor, student_scores: Tensor, student_stride: int) -> Tensor:
        """Give the weighted distillation loss of a batch: float images (N, 3, H, W), scores (N, classes, H/S, W/S).

        S is the student's output stride, ``student_stride``; a teacher of another one is brought to its cells.
        """
        with torch.no_grad():
            scores = self._network(images).scores
            stride = self._network.spec.output_stride
            if stride > student_stride:
                scores = upscale(scores, stride // student_stride)
            elif stride < student_stride:
                scores = downscale(scores, student_stride // stride)
        height, width = student_scores.shape[-2:]
        if scores.shape[-2:] != student_scores.shape[-2:]:
            # Networks of other strides pad the crop further; what both have in common is scored by both.
            height, width = (min(a, b) for a, b in zip(scores.shape[-2:], student_scores.shape[-2:], strict=True))
        return self._weight * distillation(
            student_scores[..., :height, :width], scores[..., :height, :width], self._temperature
        )


def load_teacher(options: DistillationOptions | None, labels: LabelSet, device: torch.device) -> Teacher | None:
    """Load the teacher that a recipe names, or None without one.

    Raises ``WeightsError`` for weights that cannot be used, ``RecipeError`` where they score other classes.
    """
    if options is None:
        return None
    weights = read_weights(find_weights(options.weights))
    if weights.labels.names != labels.names:
        raise RecipeError(
            f"'loss.distillation.weights' is '{options.weights}', which scores the classes of "
            f"'{weights.labels.name}'; the data has those of '{labels.name}'"
        )
    return Teacher(weights.build(), options.temperature, options.weight, device)
