"""Figure 2: what the context branch and the detail branch contribute, each seen with the other's output zeroed.

A column is an image; the rows are the image, its ground truth, what the context branch makes of it alone, the detail
branch alone, and both. A branch alone is the same trained network with zeros in the other's place (section 3, Context
Branch Analysis), not a network that was trained alone.

Images are uint8 (H, W, 3) RGB, labels uint8 (H, W) train ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from contextnet.data.pairs import PairedFiles
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.evaluation.scores import compute_scores
from contextnet.images import read_image, write_png
from contextnet.labels import LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.models.muted import muted
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights
from contextnet.reproduce.figure2_sheet import SheetRow, captioned_rows, shrunk_image, shrunk_labels
from contextnet.runtime.drawing import Picture, with_legend

FIGURE2_IMAGES = 3
"""How many columns the paper's figure has."""

Way = Literal["context_only", "detail_only", "both"]
"""How an image is labelled: with the detail branches zeroed, with the context branch zeroed, or as the network is."""

CAPTIONS: dict[Way, str] = {
    "context_only": "context branch only",
    "detail_only": "detail branch only",
    "both": "both branches",
}
"""The rows of labels by the way they come about, from the top to the bottom."""


@dataclass(frozen=True)
class Figure2Score:
    """How well pixels were labelled, 0..1: mIoU over the classes that truth or prediction holds, and pixel accuracy."""

    miou: float
    pixel_accuracy: float


@dataclass(frozen=True)
class Figure2Column:
    """One image of the figure, and its score by way; None without ground truth, or when that is wholly void."""

    image_path: Path
    scores: Mapping[Way, Figure2Score] | None


@dataclass(frozen=True, eq=False)
class Figure2:
    """The sheet, uint8 (H, W, 3) RGB, and its figures.

    ``together`` scores the pixels of all images as one; None where no image has a labelled pixel.
    """

    network: str
    trained_on: str
    columns: tuple[Figure2Column, ...]
    together: Mapping[Way, Figure2Score] | None
    picture: Picture

    def to_json(self) -> dict[str, Any]:
        """Give the figures as plain JSON values; the sheet is no part of them."""
        return {
            "network": self.network,
            "trained_on": self.trained_on,
            "images": [{"image": str(c.image_path), "scores": _score_values(c.scores)} for c in self.columns],
            "together": _score_values(self.together),
        }

    def write(self, path: Path) -> None:
        """Write the sheet as PNG, atomically; raises ``ContextNetError`` naming the file when that cannot be done."""
        write_png(path, self.picture)


def draw_figure2(weights: Weights, samples: Sequence[Sample], device: str | torch.device = "cpu") -> Figure2:
    """Label every sample in the three ways on a device, score the labels where there is truth, and draw the sheet.

    The truth is of the network's own classes, as ``choose_samples`` makes sure; the row of the truth is left out where
    no sample has one. Labels are scored at full size, and shown at most 512 pixels wide. Raises ``ContextNetError``
    without samples, and for a network without both branches; ``DataError`` naming the file when image, truth and
    classes do not fit together.
    """
    if not samples:
        raise ContextNetError("Figure 2 has no image to show; give at least one")
    predictors = _predictors(weights, device)
    columns = [_label(sample, predictors, weights.labels) for sample in samples]
    together = {way: ConfusionMatrix(weights.labels.num_classes) for way in CAPTIONS}
    for column in columns:
        for way, confusion in (column.confusions or {}).items():
            together[way].merge(confusion)
    return Figure2(
        weights.spec.name,
        str(weights.training.get("trained_on", "")),
        tuple(Figure2Column(column.path, _scores(column.confusions, weights.labels)) for column in columns),
        _scores(together, weights.labels),
        _sheet(columns, weights.labels),
    )


def choose_samples(data: SegmentationData, labels: LabelSet, picks: Sequence[int | str] = ()) -> tuple[Sample, ...]:
    """Read the samples of a split that ``picks`` names, in that order; three spread evenly over it if that is empty.

    A pick is a 0-based index, or the name of an image file with or without its suffix. Raises ``DataError`` when the
    data has other classes than ``labels``, which are the network's; for an empty split, an index beyond it and an
    unknown name; and when a sample cannot be read.
    """
    if labels.names != data.labels.names:
        raise DataError(
            f"the network labels the {labels.num_classes} classes of '{labels.name}', but '{data.name}' has the "
            f"{data.labels.num_classes} of '{data.labels.name}'; choose data with the network's own classes"
        )
    if len(data) == 0:
        raise DataError(f"{data.name}: the split is empty; no image can be shown, check its folder")
    indices = [_index(data, pick) for pick in picks] or _spread(len(data), FIGURE2_IMAGES)
    return tuple(data[index] for index in indices)


def read_images(paths: Sequence[Path]) -> tuple[Sample, ...]:
    """Read image files as samples without ground truth. Raises ``ImageError`` naming a file that cannot be read."""
    return tuple(Sample(read_image(path), None, path) for path in paths)


def _spread(length: int, count: int) -> list[int]:
    """Give the index in the middle of each of ``count`` equal parts, or every one where there are fewer."""
    count = min(count, length)
    return [(2 * part + 1) * length // (2 * count) for part in range(count)]


def _index(data: SegmentationData, pick: int | str) -> int:
    if isinstance(pick, int):
        if not 0 <= pick < len(data):
            raise DataError(f"{data.name}: there is no image {pick}; its {len(data)} images are 0 to {len(data) - 1}")
        return pick
    if not isinstance(data, PairedFiles):
        raise DataError(f"{data.name}: its images have no file names; choose '{pick}' by its index, 0-based")
    for index, pair in enumerate(data.pairs):
        if pick in {pair.image_path.stem, pair.image_path.name}:
            return index
    raise DataError(f"{data.name}: no image is called '{pick}'; the first one is '{data.pairs[0].image_path.stem}'")


@dataclass(frozen=True, eq=False)
class _LabelledSample:
    """What is kept of a sample: pixels as small as they are shown, classes and counts of the full size."""

    path: Path
    image: Picture
    truth: NDArray[np.uint8] | None
    labels: Mapping[Way, NDArray[np.uint8]]
    classes: NDArray[np.uint8]
    confusions: Mapping[Way, ConfusionMatrix] | None


def _predictors(weights: Weights, device: str | torch.device) -> dict[Way, Predictor]:
    network = weights.build()
    if not isinstance(network, ContextNet):
        raise ContextNetError(f"network '{weights.spec.name}' has no branches to zero; give a ContextNet such as cn14")
    with muted(network, "detail"):
        context_only = NetworkPredictor(network, device)
    with muted(network, "context"):
        detail_only = NetworkPredictor(network, device)
    return {"context_only": context_only, "detail_only": detail_only, "both": NetworkPredictor(network, device)}


def _label(sample: Sample, predictors: Mapping[Way, Predictor], labels: LabelSet) -> _LabelledSample:
    found = {way: predict(predictor, sample, labels.num_classes) for way, predictor in predictors.items()}
    shown = [*found.values()]
    confusions = truth = None
    if sample.label is not None:
        shown.append(sample.label)
        truth = shrunk_labels(sample.label)
        confusions = {way: _count(sample, sample.label, answer, labels) for way, answer in found.items()}
    return _LabelledSample(
        sample.image_path,
        shrunk_image(sample.image),
        truth,
        {way: shrunk_labels(answer) for way, answer in found.items()},
        np.unique(np.concatenate([answer.ravel() for answer in shown])),
        confusions,
    )


def _count(
    sample: Sample, truth_HW: NDArray[np.uint8], predicted_HW: NDArray[np.uint8], labels: LabelSet
) -> ConfusionMatrix:
    confusion = ConfusionMatrix(labels.num_classes)
    try:
        confusion.update(truth_HW, predicted_HW)
    except DataError as error:
        raise DataError(f"{sample.label_path or sample.image_path}: {error}") from None
    return confusion


def _scores(confusions: Mapping[Way, ConfusionMatrix] | None, labels: LabelSet) -> dict[Way, Figure2Score] | None:
    if confusions is None or not any(confusion.counts.any() for confusion in confusions.values()):
        return None
    scores = {way: compute_scores(confusion, labels) for way, confusion in confusions.items()}
    return {way: Figure2Score(score.miou, score.pixel_accuracy) for way, score in scores.items()}


def _score_values(scores: Mapping[Way, Figure2Score] | None) -> dict[str, Any] | None:
    return None if scores is None else {way: asdict(score) for way, score in scores.items()}


def _sheet(columns: Sequence[_LabelledSample], labels: LabelSet) -> Picture:
    """Draw the rows from the image down to both branches, and below them the classes that occur in any of them."""
    rows = [SheetRow("image", tuple(column.image for column in columns))]
    truths = tuple(None if column.truth is None else labels.colorize(column.truth) for column in columns)
    if any(truth is not None for truth in truths):
        rows.append(SheetRow("ground truth", truths))
    for way, caption in CAPTIONS.items():
        rows.append(SheetRow(caption, tuple(labels.colorize(column.labels[way]) for column in columns)))
    return with_legend(captioned_rows(rows), np.concatenate([column.classes for column in columns]), labels)
