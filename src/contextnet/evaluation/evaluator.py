"""Evaluation of a network on a split, one image at a time, by one process or by several.

Sample i belongs to rank i modulo the number of ranks. Each rank counts its own samples and the shares are merged;
one process is the case of one rank, so the scores are the same to the last bit however the split is divided.
The next samples are read while one is predicted. Memory does not grow with the images' size times their number: a few
are read ahead, and of each image only its counts and its mIoU stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.reading import read_ahead
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.instances import ClassObjects, InstanceStatistics
from contextnet.evaluation.iou import class_groups, iou, mean_of_defined
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.evaluation.scores import Scores, compute_scores
from contextnet.evaluation.share import ImageTally, Share
from contextnet.labels import LabelSet

Progress = Callable[[int, int], None]
"""Called after each image with the number of images done and the number of all."""


@dataclass(frozen=True)
class ImageScore:
    """How well one image was segmented: mIoU over the classes that its truth or its prediction holds."""

    path: Path
    miou: float


@dataclass(frozen=True)
class Evaluation:
    """The scores of a split, and of each image that has a labelled pixel, in the order of the split."""

    scores: Scores
    per_image: tuple[ImageScore, ...]


def evaluate(predictor: Predictor, data: SegmentationData, progress: Progress | None = None) -> Evaluation:
    """Predict every image of ``data`` and score the predictions at the full size of the ground truth.

    iIoU is scored when the samples carry instances. Raises ``DataError`` naming the file when a sample cannot be
    read or has no ground truth, or only some have instances; naming the split when it is empty or wholly void.
    """
    return merge_shares([evaluate_share(predictor, data, 0, 1, progress)], data.labels)


def evaluate_share(
    predictor: Predictor, data: SegmentationData, rank: int, world_size: int, progress: Progress | None = None
) -> Share:
    """Predict and count the samples of ``data`` that belong to ``rank``; there may be none.

    Raises ``DataError`` as ``evaluate`` does, but for a wholly void split, which only all shares together show.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size}; ranks are 0 to {world_size - 1}")
    if len(data) == 0:
        raise DataError(f"{data.name}: the split is empty; nothing can be evaluated, check its folder")
    indices = range(rank, len(data), world_size)
    confusion = ConfusionMatrix(data.labels.num_classes)
    images: list[ImageTally] = []
    for index, outcome in zip(indices, read_ahead(data, indices=indices), strict=True):
        if isinstance(outcome, DataError):
            raise outcome
        # Objects of some images against the false positives of all would make iIoU too low without a sign of it.
        if images:
            _require_alike(outcome.image_path, outcome.instances is not None, images[0].objects is not None)
        images.append(_count(index, outcome, predictor, data.labels, confusion))
        if progress:
            progress(len(images), len(indices))
    counts = tuple(tuple(row) for row in confusion.counts.tolist())
    return Share(rank, world_size, data.name, len(data), data.labels.names, counts, tuple(images))


def merge_shares(shares: Sequence[Share], labels: LabelSet) -> Evaluation:
    """Score a split from the shares of all its ranks, given in any order.

    The result is that of one process, to the last bit. Raises ``DataError`` when the ranks saw other splits or
    classes, when only some images have instances, or when the split is wholly void; ``ValueError`` when the shares
    are not one of each rank.
    """
    _require_whole(shares, labels)
    images = sorted((image for share in shares for image in share.images), key=lambda image: image.index)
    confusion = ConfusionMatrix(labels.num_classes)
    for share in shares:
        confusion.counts += np.array(share.confusion, np.int64)
    instances = InstanceStatistics(labels)
    for image in images:
        _require_alike(image.path, image.objects is not None, images[0].objects is not None)
        instances.add(image.objects or ())
    try:
        scores = compute_scores(confusion, labels, instances if images[0].objects is not None else None)
    except DataError as error:
        raise DataError(f"{shares[0].data_name}: {error}") from None
    return Evaluation(scores, tuple(ImageScore(i.path, i.miou) for i in images if i.miou is not None))


def _count(
    index: int, sample: Sample, predictor: Predictor, labels: LabelSet, confusion: ConfusionMatrix
) -> ImageTally:
    """Predict one image, add its pixels to ``confusion`` and give the rest."""
    if sample.label is None:
        raise DataError(
            f"{sample.image_path}: the image has no ground truth; evaluate a split with masks, such as 'val'"
        )
    predicted_HW = predict(predictor, sample, labels.num_classes)
    image = ConfusionMatrix(labels.num_classes)
    try:
        image.update(sample.label, predicted_HW)
        objects = None if sample.instances is None else _objects(sample.instances, predicted_HW, labels)
    except DataError as error:
        raise DataError(f"{sample.label_path or sample.image_path}: {error}") from None
    confusion.merge(image)
    miou = mean_of_defined(iou(image.counts, class_groups(labels))) if image.counts.any() else None
    return ImageTally(index, sample.image_path, miou, objects)


def _objects(
    instances_HW: NDArray[np.int32], predicted_HW: NDArray[np.uint8], labels: LabelSet
) -> tuple[ClassObjects, ...]:
    statistics = InstanceStatistics(labels)
    statistics.update(instances_HW, predicted_HW)
    return statistics.by_class()


def _require_alike(path: Path, has_instances: bool, before: bool) -> None:
    if has_instances != before:
        found, others = ("an", "have none") if has_instances else ("no", "have one")
        raise DataError(
            f"{path}: the image has {found} instance mask and the images before it {others}; "
            "give one to every image or to none"
        )


def _require_whole(shares: Sequence[Share], labels: LabelSet) -> None:
    """Hold the shares to be one of each rank, of one split and of the classes of ``labels``."""
    ranks = sorted(share.rank for share in shares)
    if not shares or any(share.world_size != len(shares) for share in shares) or ranks != list(range(len(shares))):
        worlds = sorted({share.world_size for share in shares})
        raise ValueError(f"shares of the ranks {ranks} of {worlds}; one share of every rank makes a split")
    first = shares[0]
    for share in shares:
        if share.class_names != labels.names:
            raise DataError(
                f"{share.data_name}: rank {share.rank} counted the classes {', '.join(share.class_names)}; expected "
                f"those of '{labels.name}': give every machine the same label set"
            )
        if (share.data_name, share.split_size) != (first.data_name, first.split_size):
            raise DataError(
                f"{share.data_name}: rank {share.rank} found {share.split_size} images there and rank {first.rank} "
                f"{first.split_size} in {first.data_name}; give every machine the same files"
            )
        expected = range(share.rank, share.split_size, share.world_size)
        if [image.index for image in share.images] != list(expected):
            raise ValueError(f"the share of rank {share.rank} does not hold its images {expected}")
