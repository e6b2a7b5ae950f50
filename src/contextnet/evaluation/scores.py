"""The scores of a split, as Cityscapes defines them, and how they are computed and kept.

A score is NaN where it is not defined: IoU of a class that neither truth nor prediction holds, iIoU of a class
without objects to score. Means are taken over the defined scores, so a class that is absent from the truth but
predicted counts as 0. Source: ``evalPixelLevelSemanticLabeling`` of ``cityscapesscripts``.

Shapes: C is the number of classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contextnet.errors import DataError
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.instances import InstanceStatistics
from contextnet.evaluation.iou import category_groups, class_groups, iou, mean_of_defined, weighted_iou
from contextnet.labels import LabelSet

_Share = Annotated[float, Field(ge=0, le=1)] | None
_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, eq=False)
class Scores:
    """Everything one evaluation says about a network; scores are 0..1, or NaN where not defined.

    Classes stand in train-id order, categories in order of first appearance. ``confusion`` is int64 (C, C + 1) as
    ``ConfusionMatrix.counts``. Raises ``DataError`` when it counts no labelled pixel or has another shape.
    """

    class_names: tuple[str, ...]
    class_iou: tuple[float, ...]
    class_iiou: tuple[float, ...]
    category_names: tuple[str, ...]
    category_iou: tuple[float, ...]
    category_iiou: tuple[float, ...]
    confusion: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.class_names)
        if self.confusion.shape != (count, count + 1):
            raise DataError(
                f"the confusion matrix of {count} classes has shape {self.confusion.shape}; expected "
                f"({count}, {count + 1}), the last column for pixels predicted as void"
            )
        if not self.confusion.any():
            raise DataError(
                "no labelled pixel: every pixel of the ground truth is void; evaluate a split with masks, "
                "and check that the label set fits them"
            )

    @property
    def miou(self) -> float:
        """Mean IoU of the classes; never NaN."""
        return mean_of_defined(self.class_iou)

    @property
    def category_miou(self) -> float:
        """Mean IoU of the categories; never NaN."""
        return mean_of_defined(self.category_iou)

    @property
    def miiou(self) -> float:
        """Mean iIoU of the classes, NaN where no class has one."""
        return mean_of_defined(self.class_iiou)

    @property
    def category_miiou(self) -> float:
        """Mean iIoU of the categories, NaN where no category has one."""
        return mean_of_defined(self.category_iiou)

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels whose class was found; a void prediction is a miss."""
        return int(np.trace(self.confusion)) / int(self.confusion.sum())

    @property
    def pixels(self) -> tuple[int, ...]:
        """Labelled pixels of each class in the ground truth."""
        return tuple(self.confusion.sum(axis=1).tolist())

    def to_json(self) -> dict[str, Any]:
        """Describe the scores as plain JSON values, NaN as null; ``from_json`` reads them back.

        The means, the accuracy and the pixels are written for readers and follow from the rest.
        """
        classes = zip(self.class_names, self.class_iou, self.class_iiou, self.pixels, strict=True)
        categories = zip(self.category_names, self.category_iou, self.category_iiou, strict=True)
        return {
            "miou": _or_null(self.miou),
            "category_miou": _or_null(self.category_miou),
            "miiou": _or_null(self.miiou),
            "category_miiou": _or_null(self.category_miiou),
            "pixel_accuracy": self.pixel_accuracy,
            "classes": {
                name: {"iou": _or_null(iou), "iiou": _or_null(iiou), "pixels": pixels}
                for name, iou, iiou, pixels in classes
            },
            "categories": {name: {"iou": _or_null(iou), "iiou": _or_null(iiou)} for name, iou, iiou in categories},
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str = "scores") -> Scores:
        """Build scores from JSON values as ``to_json`` writes them.

        Raises ``DataError`` that begins with ``source`` and names the field when a key is missing or a value wrong.
        """
        try:
            document = _ScoresDocument.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "document"
            raise DataError(f"{source}: {field}: {first['msg'].lower()}; write the scores anew") from None
        if any(len(row) != len(document.confusion[0]) for row in document.confusion):
            raise DataError(f"{source}: confusion: the rows differ in length; write the scores anew")
        try:
            scores = cls(
                tuple(document.classes),
                tuple(_or_nan(row.iou) for row in document.classes.values()),
                tuple(_or_nan(row.iiou) for row in document.classes.values()),
                tuple(document.categories),
                tuple(_or_nan(row.iou) for row in document.categories.values()),
                tuple(_or_nan(row.iiou) for row in document.categories.values()),
                np.array(document.confusion, np.int64),
            )
        except DataError as error:
            raise DataError(f"{source}: {error}") from None
        # Keys written in another order would give each class the counts of its neighbour.
        if scores.pixels != tuple(row.pixels for row in document.classes.values()):
            raise DataError(
                f"{source}: classes: the pixels differ from the rows of the confusion matrix, so the order of the "
                "classes or a number was changed; write the scores anew"
            )
        return scores


def compute_scores(confusion: ConfusionMatrix, labels: LabelSet, instances: InstanceStatistics | None = None) -> Scores:
    """Score the counted pixels of a split; iIoU is NaN throughout where ``instances`` is None.

    Raises ``DataError`` when no labelled pixel was counted.
    """
    if confusion.num_classes != labels.num_classes:
        raise ValueError(f"{confusion.num_classes} classes counted; label set '{labels.name}' has {labels.num_classes}")
    classes, categories = class_groups(labels), category_groups(labels)
    counts = confusion.counts.copy()
    counts.setflags(write=False)
    return Scores(
        labels.names,
        iou(counts, classes),
        weighted_iou(counts, classes, instances.class_hits()) if instances else (math.nan,) * len(classes),
        labels.categories,
        iou(counts, categories),
        weighted_iou(counts, categories, instances.category_hits()) if instances else (math.nan,) * len(categories),
        counts,
    )


class _ClassDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")

    iou: _Share
    iiou: _Share
    pixels: _Count


class _CategoryDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")

    iou: _Share
    iiou: _Share


class _ScoresDocument(BaseModel):
    # The keys that follow from the rest are not read.
    model_config = ConfigDict(extra="ignore")

    classes: dict[str, _ClassDocument] = Field(min_length=1)
    categories: dict[str, _CategoryDocument] = Field(min_length=1)
    confusion: list[list[_Count]] = Field(min_length=1)


def _or_null(score: float) -> float | None:
    return None if math.isnan(score) else score


def _or_nan(score: float | None) -> float:
    return math.nan if score is None else score
