"""How much of an image each class takes, and how sure the network is of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import LabelSet


@dataclass(frozen=True)
class ClassArea:
    """Pixels, their share 0..1 of the image, and their mean confidence 0..1; None where unknown or without pixels."""

    pixels: int
    share: float
    confidence: float | None

    def to_json(self) -> dict[str, Any]:
        """Give the area as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ClassAreas:
    """The areas of all classes, by name in train-id order, and of all pixels without a class."""

    classes: Mapping[str, ClassArea]
    void: ClassArea


def measure_areas(
    labels_HW: NDArray[np.uint8], label_set: LabelSet, confidence_HW: NDArray[np.float32] | None = None
) -> ClassAreas:
    """Measure train ids, uint8 (H, W), and their confidence, float32 (H, W)."""
    counts = np.bincount(labels_HW.ravel(), minlength=256)
    sums = None
    if confidence_HW is not None:
        sums = np.bincount(labels_HW.ravel(), weights=confidence_HW.ravel(), minlength=256)

    def area(train_ids: slice) -> ClassArea:
        pixels = int(counts[train_ids].sum())
        confidence = None if sums is None or not pixels else float(sums[train_ids].sum() / pixels)
        return ClassArea(pixels, pixels / max(1, labels_HW.size), confidence)

    classes = {name: area(slice(train_id, train_id + 1)) for train_id, name in enumerate(label_set.names)}
    return ClassAreas(classes, area(slice(label_set.num_classes, None)))
