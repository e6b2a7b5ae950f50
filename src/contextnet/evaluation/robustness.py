"""How well a network still labels when images get worse: one evaluation for each condition, beside the clean one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from contextnet.data.conditions.catalogue import Condition
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.conditions.worsened import Worsened
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.evaluator import Progress, evaluate
from contextnet.evaluation.predictor import Predictor
from contextnet.evaluation.scaled import ScaledPredictor
from contextnet.evaluation.scores import Scores


@dataclass(frozen=True)
class ConditionScores:
    """The scores of a split under one condition."""

    condition: Condition
    scores: Scores


@dataclass(frozen=True)
class Robustness:
    """The scores of a split as it is, and under each of one or more conditions."""

    clean: Scores
    worsened: tuple[ConditionScores, ...]

    @property
    def mean_miou(self) -> float:
        """Mean of the conditions' mIoU, 0…1; the clean one is not among them."""
        return fmean(row.scores.miou for row in self.worsened)

    @property
    def mean_loss(self) -> float:
        """Mean of the conditions' losses."""
        return self.clean.miou - self.mean_miou

    def loss(self, row: ConditionScores) -> float:
        """Give by how much a condition's mIoU is below the clean one, -1…1; below 0 it is above it."""
        return self.clean.miou - row.scores.miou

    def by_loss(self) -> tuple[ConditionScores, ...]:
        """Give the conditions, the one that costs most first."""
        return tuple(sorted(self.worsened, key=self.loss, reverse=True))

    def to_json(self) -> dict[str, Any]:
        """Describe everything as plain JSON values; a class's IoU is null where it is not defined."""
        return {
            "clean": _row(self.clean),
            "conditions": {
                row.condition.name: {
                    "severity": row.condition.severity,
                    "change": row.condition.change.describe(),
                    "loss": self.loss(row),
                    **_row(row.scores),
                }
                for row in self.worsened
            },
            "mean": {"miou": self.mean_miou, "loss": self.mean_loss},
        }


def measure_robustness(
    predictor: Predictor,
    data: SegmentationData,
    conditions: Sequence[Condition],
    progress: Progress | None = None,
) -> Robustness:
    """Score a split as it is and under every condition, all at the full size of its ground truth.

    ``progress`` counts the images of all evaluations. Raises ``DataError`` as ``evaluate`` does, and ``ValueError``
    without conditions.
    """
    if not conditions:
        raise ValueError("no conditions; robustness is measured under one or more")
    total = (1 + len(conditions)) * len(data)

    def score(network: Predictor, split: SegmentationData, before: int) -> Scores:
        def advance(done: int, _: int) -> None:
            if progress:
                progress(before * len(data) + done, total)

        return evaluate(network, split, advance).scores

    clean = score(predictor, data, 0)
    worsened = [
        ConditionScores(condition, score(*under(condition, predictor, data), number))
        for number, condition in enumerate(conditions, start=1)
    ]
    return Robustness(clean, tuple(worsened))


def under(condition: Condition, predictor: Predictor, data: SegmentationData) -> tuple[Predictor, SegmentationData]:
    """Give what network and data become under a condition: the images get worse, or are shown at another size.

    The ground truth never changes: labels of an image of another size are brought back to it before they are scored.
    """
    if isinstance(condition.change, Scaling):
        return ScaledPredictor(predictor, condition.change), data
    return predictor, Worsened(data, condition.name, condition.change)


def _row(scores: Scores) -> dict[str, Any]:
    described = scores.to_json()
    return {
        "miou": described["miou"],
        "pixel_accuracy": described["pixel_accuracy"],
        "classes": {name: values["iou"] for name, values in described["classes"].items()},
    }
