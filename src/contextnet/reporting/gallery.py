"""The best and the worst images of a validation split, found by evaluating the runs' best weights on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample, SegmentationData
from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation.evaluator import Progress, evaluate
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.labels import LabelSet
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.reporting.run_record import RunRecord
from contextnet.training.datasets import open_validation_data
from contextnet.training.recipe.data import DataOptions


@dataclass(frozen=True)
class Answer:
    """What one run says of an image: train ids uint8 (H, W), and their mIoU 0..1; ``run`` is its place on the page."""

    run: int
    labels: NDArray[np.uint8]
    miou: float


@dataclass(frozen=True)
class Exhibit:
    """One image, uint8 (H, W, 3) RGB, with its truth, train ids uint8 (H, W), and every run's answer to it."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Gallery:
    """The worst and the best images of one split, by the mean of the runs' mIoU; no image is in both."""

    split: str
    labels: LabelSet
    runs: tuple[int, ...]
    images_scored: int
    worst: tuple[Exhibit, ...]
    best: tuple[Exhibit, ...]


@dataclass(frozen=True)
class Galleries:
    """The galleries of a page, one a split, and why a run is in none of them."""

    galleries: tuple[Gallery, ...]
    reasons: tuple[str, ...]


def find_galleries(
    runs: Sequence[RunRecord],
    count: int,
    *,
    source: str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Galleries:
    """Score every run's best weights image by image, runs on the same split together.

    ``count`` is how many best and how many worst images are kept. ``source`` (``KIND:ROOT``) stands in for the data
    of the recipes. A run whose weights or data are not there is left out with the reason; only data that ``source``
    names and that cannot be opened raises ``DataError``.
    """
    contenders: dict[str, list[tuple[int, Predictor, SegmentationData]]] = {}
    reasons = []
    for index, run in enumerate(runs):
        if source:
            open_data(source, run.data.val_split if run.data else "val")
        try:
            options = _validated_on(run, source)
            predictor, data = _open(run, options, device)
            same = options.model_dump_json(include={"source", "val_split", "labels", "classes"})
            contenders.setdefault(same, []).append((index, predictor, data))
        except ContextNetError as error:
            reasons.append(f"{run.name}: {error}")
    galleries = []
    for group in contenders.values():
        try:
            galleries.append(_gallery(group, count, progress))
        except ContextNetError as error:
            reasons.append(f"{', '.join(runs[index].name for index, _, _ in group)}: {error}")
    return Galleries(tuple(galleries), tuple(reasons))


def _validated_on(run: RunRecord, source: str | None) -> DataOptions:
    """Give the data options of a run's recipe, with ``source`` in place of its own where there is one."""
    if run.data is None and source is None:
        raise DataError("its recipe's 'data' cannot be read; give the data with --data")
    options = run.data or DataOptions(source="")
    return options if source is None else options.model_copy(update={"source": source})


def _open(run: RunRecord, options: DataOptions, device: str) -> tuple[Predictor, SegmentationData]:
    if not run.folder.best_weights.exists():
        raise DataError(f"'{run.folder.best_weights.name}' is missing; the first validation writes it")
    data = open_validation_data(options)
    weights = read_weights(run.folder.best_weights)
    if weights.labels.names != data.labels.names:
        raise DataError(
            f"its weights label the {weights.labels.num_classes} classes of '{weights.labels.name}', but '{data.name}' "
            f"has the {data.labels.num_classes} of '{data.labels.name}'; give its own data with --data"
        )
    return NetworkPredictor(weights.build(), device), data


class _NotedData:
    """A split that notes which path each index has, so that an image's score leads back to its sample."""

    def __init__(self, data: SegmentationData) -> None:
        self._data = data
        self.index_of: dict[Path, int] = {}

    @property
    def name(self) -> str:
        return self._data.name

    @property
    def labels(self) -> LabelSet:
        return self._data.labels

    @property
    def licence(self) -> str:
        return self._data.licence

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Sample:
        sample = self._data[index]
        self.index_of[sample.image_path] = index
        return sample


def _gallery(
    group: Sequence[tuple[int, Predictor, SegmentationData]], count: int, progress: Progress | None
) -> Gallery:
    data = _NotedData(group[0][2])
    scores: list[dict[Path, float]] = []
    for _, predictor, _ in group:
        scores.append({score.path: score.miou for score in evaluate(predictor, data, progress).per_image})
    means = {path: sum(score[path] for score in scores) / len(scores) for path in scores[0]}
    worst, best = choose(means, count)

    def exhibits(paths: Sequence[Path]) -> tuple[Exhibit, ...]:
        return tuple(_exhibit(data, path, group, [score[path] for score in scores]) for path in paths)

    indices = tuple(index for index, _, _ in group)
    return Gallery(data.name, data.labels, indices, len(means), exhibits(worst), exhibits(best))


def choose(scores: dict[Path, float], count: int) -> tuple[list[Path], list[Path]]:
    """Name the worst and the best images, most extreme first; a split of few images is halved between them."""
    ranked = sorted(scores, key=lambda path: scores[path])
    kept = min(count, -(-len(ranked) // 2))
    worst = ranked[:kept]
    return worst, ranked[: kept - 1 : -1][:kept] if len(ranked) > kept else []


def _exhibit(
    data: _NotedData, path: Path, group: Sequence[tuple[int, Predictor, SegmentationData]], mious: Sequence[float]
) -> Exhibit:
    sample = data[data.index_of[path]]
    assert sample.label is not None
    answers = tuple(
        Answer(index, predict(predictor, sample, data.labels.num_classes), miou)
        for (index, predictor, _), miou in zip(group, mious, strict=True)
    )
    return Exhibit(path.name, sample.image, sample.label, answers)
