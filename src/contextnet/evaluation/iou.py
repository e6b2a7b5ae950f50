"""Intersection over union, from the counts of a confusion matrix.

Source: ``getIouScoreForLabel``, ``getIouScoreForCategory``, their instance forms and ``getScoreAverage`` in
``evalPixelLevelSemanticLabeling`` of ``cityscapesscripts``. A group is the list of train ids that count as one:
a single class, or the classes of a category.

Shapes: C is the number of classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contextnet.evaluation.instances import WeightedHits
from contextnet.labels import LabelSet

Groups = Sequence[Sequence[int]]


def class_groups(labels: LabelSet) -> list[list[int]]:
    """Each class on its own, in train-id order."""
    return [[train_id] for train_id in range(labels.num_classes)]


def category_groups(labels: LabelSet) -> list[list[int]]:
    """The train ids of each category, in the order of ``labels.categories``."""
    return [[i for i, c in enumerate(labels.classes) if c.category == category] for category in labels.categories]


def iou(counts: NDArray[np.int64], groups: Groups) -> tuple[float, ...]:
    """IoU of each group from ``ConfusionMatrix.counts`` (C, C + 1); NaN where truth and prediction lack it."""
    scores = []
    for group in groups:
        true_positives = int(counts[np.ix_(group, group)].sum())
        false_negatives = int(counts[group].sum()) - true_positives
        scores.append(_ratio(true_positives, true_positives + false_negatives + _false_positives(counts, group)))
    return tuple(scores)


def weighted_iou(counts: NDArray[np.int64], groups: Groups, hits: WeightedHits) -> tuple[float, ...]:
    """iIoU of each group: hits and misses weighted by object size, false positives as in IoU.

    NaN where ``hits`` is, and where a group has neither an object nor a false positive.
    """
    scores = []
    for group, hit_px, miss_px in zip(groups, hits.true_positives_px, hits.false_negatives_px, strict=True):
        scores.append(_ratio(float(hit_px), float(hit_px + miss_px) + _false_positives(counts, group)))
    return tuple(scores)


def mean_of_defined(scores: Iterable[float]) -> float:
    """Mean of the scores that are not NaN; NaN where there is none."""
    defined = [score for score in scores if not math.isnan(score)]
    return _ratio(sum(defined), len(defined))


def _false_positives(counts: NDArray[np.int64], group: Sequence[int]) -> int:
    return int(counts[:, group].sum()) - int(counts[np.ix_(group, group)].sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
