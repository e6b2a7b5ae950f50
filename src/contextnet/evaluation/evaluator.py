"""Evaluation of a network on a split, one image at a time.

Memory does not grow with the images' size times their number: of each image only its counts and its mIoU stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.instances import InstanceStatistics
from contextnet.evaluation.iou import class_groups, iou, mean_of_defined
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.evaluation.scores import Scores, compute_scores
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
    if len(data) == 0:
        raise DataError(f"{data.name}: the split is empty; nothing can be evaluated, check its folder")
    tally = _Tally(data.labels)
    per_image = []
    for index in range(len(data)):
        sample = data[index]
        score = tally.add(sample, predict(predictor, sample, data.labels.num_classes))
        if score is not None:
            per_image.append(score)
        if progress:
            progress(index + 1, len(data))
    try:
        scores = tally.scores()
    except DataError as error:
        raise DataError(f"{data.name}: {error}") from None
    return Evaluation(scores, tuple(per_image))


class _Tally:
    """The running sums of an evaluation; the first sample decides whether objects are counted."""

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._confusion = ConfusionMatrix(labels.num_classes)
        self._instances = InstanceStatistics(labels)
        self._with_instances: bool | None = None

    def add(self, sample: Sample, predicted_HW: NDArray[np.uint8]) -> ImageScore | None:
        """Count one image; the answer is None where it has no labelled pixel."""
        if sample.label is None:
            raise DataError(
                f"{sample.image_path}: the image has no ground truth; evaluate a split with masks, such as 'val'"
            )
        if self._with_instances is None:
            self._with_instances = sample.instances is not None
        # Objects of some images against the false positives of all would make iIoU too low without a sign of it.
        if self._with_instances != (sample.instances is not None):
            found, before = ("no", "have one") if self._with_instances else ("an", "have none")
            raise DataError(
                f"{sample.image_path}: the image has {found} instance mask and the images before it {before}; "
                "give one to every image or to none"
            )
        image = ConfusionMatrix(self._labels.num_classes)
        try:
            image.update(sample.label, predicted_HW)
            if sample.instances is not None:
                self._instances.update(sample.instances, predicted_HW)
        except DataError as error:
            raise DataError(f"{sample.label_path or sample.image_path}: {error}") from None
        self._confusion.merge(image)
        if not image.counts.any():
            return None
        return ImageScore(sample.image_path, mean_of_defined(iou(image.counts, class_groups(self._labels))))

    def scores(self) -> Scores:
        """Score what was counted."""
        return compute_scores(self._confusion, self._labels, self._instances if self._with_instances else None)
