"""How much a labelled pixel of each class counts in the cross-entropy.

Pixel counts come per image, int64 (images, classes): how often a class fills a whole image differs from how often it
is seen at all, and one of the weightings needs both.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.errors import RecipeError
from contextnet.labels import LabelSet
from contextnet.training.recipe.loss import LossOptions

PixelCounts = NDArray[np.int64]


def class_weights_of(options: LossOptions, labels: LabelSet, count_pixels: Callable[[], PixelCounts]) -> Tensor | None:
    """Give the class weights that a recipe asks for, float32 (classes,), or None where every pixel counts alike.

    ``count_pixels`` gives the training split's labelled pixels, int64 (images, classes), and is called only where they
    are needed. Raises ``RecipeError`` for a class name that the label set does not have.
    """
    if options.class_weights is not None:
        return explicit_weights(options.class_weights, labels)
    if options.class_weighting == "bounded-log":
        return bounded_log_weights(count_pixels().sum(axis=0))
    if options.class_weighting == "median-frequency":
        return median_frequency_weights(count_pixels())
    return None


def bounded_log_weights(pixel_counts: PixelCounts) -> Tensor:
    """Weight each class by 1 / ln(1.02 + share), scaled to a mean of one over the pixels, float (classes,).

    ``pixel_counts`` is int64 (classes,), over all images. Source: Paszke et al., "ENet", section 5.1.
    """
    shares = pixel_counts / max(1, int(pixel_counts.sum()))
    weights = 1 / np.log(1.02 + shares)
    return torch.tensor(weights / float((weights * shares).sum() or 1.0), dtype=torch.float32)


def median_frequency_weights(pixel_counts: PixelCounts) -> Tensor:
    """Weight each class by the median frequency over its own, float (classes,); a class that never occurs gets one.

    ``pixel_counts`` is int64 (images, classes). A class's frequency is its share of the labelled pixels of those images
    in which it occurs; the median is taken over the classes that occur. Source: Eigen and Fergus, "Predicting Depth,
    Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional Architecture".
    """
    occurring = pixel_counts.any(axis=0)
    labelled_where_seen = ((pixel_counts > 0) * pixel_counts.sum(axis=1, keepdims=True)).sum(axis=0)
    frequencies = pixel_counts.sum(axis=0)[occurring] / labelled_where_seen[occurring]
    weights = np.ones(pixel_counts.shape[1])
    if frequencies.size:
        weights[occurring] = np.median(frequencies) / frequencies
    return torch.tensor(weights, dtype=torch.float32)


def explicit_weights(weight_by_name: Mapping[str, float], labels: LabelSet) -> Tensor:
    """Weight classes as they are named, the others by one, float (classes,).

    Raises ``RecipeError`` with the nearest known name where the label set has no such class.
    """
    for name in weight_by_name:
        if name not in labels.names:
            near = difflib.get_close_matches(name, labels.names, n=1, cutoff=0.0)[0]
            raise RecipeError(
                f"'loss.class_weights' names '{name}', which is no class of label set '{labels.name}'; "
                f"the nearest is '{near}'; known: {', '.join(labels.names)}"
            )
    return torch.tensor([weight_by_name.get(name, 1.0) for name in labels.names], dtype=torch.float32)
