"""What iIoU needs beyond the confusion matrix: hits weighted by the size of each object.

IoU favours large objects, because they bring most of a class's pixels. iIoU weights every pixel of an object by the
average object size of its class divided by the size of that object, so that each object counts the same (Cordts et
al., The Cityscapes Dataset, 2016, section 3.4).

Shapes: H, W are an image's height and width in pixels; C is the number of classes; N is the number of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES, LabelSet

CITYSCAPES_AVERAGE_SIZES_PX: Mapping[str, float] = MappingProxyType(
    {
        "person": 3462.4756337644,
        "rider": 3930.4788056518,
        "car": 12794.0202738185,
        "truck": 27855.1264367816,
        "bus": 35732.1511111111,
        "train": 67583.7075812274,
        "motorcycle": 6298.7200839748,
        "bicycle": 4672.3249222261,
    }
)
"""Average object size of each Cityscapes class in pixels, the constants of ``evalPixelLevelSemanticLabeling``."""

_FIRST_OBJECT_ID = 1001  # cityscapesscripts compares with "> 1000"
_IDS_PER_CLASS = 1000
_MAX_OBJECT_ID = 256 * _IDS_PER_CLASS - 1


@dataclass(frozen=True)
class WeightedHits:
    """Weighted true positives and false negatives in pixels, one number a class or a category.

    NaN where the class or category is not scored by objects.
    """

    true_positives_px: NDArray[np.float64]
    false_negatives_px: NDArray[np.float64]


@dataclass(frozen=True)
class ClassObjects:
    """The objects of one class: their number, their size together, and the sums of their found shares.

    An object's share is the part of its pixels, 0..1, that was predicted as its class, or as any class of its category.
    """

    train_id: int
    objects: int
    pixels: int
    class_share: float
    category_share: float


class InstanceStatistics:
    """Per class, how many objects there are, how large they are and what share of each was found.

    An object's weight is average size / own size, and the average is one factor for the whole class. The sums are
    kept without it and multiplied at the end, so one pass over the data is enough even where the average has to be
    measured. Groups (ids below 1000), void objects and classes without ``has_instances`` are passed over.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.objects: NDArray[np.int64] = np.zeros(labels.num_classes, np.int64)
        self.pixels: NDArray[np.int64] = np.zeros(labels.num_classes, np.int64)
        self.class_shares: NDArray[np.float64] = np.zeros(labels.num_classes, np.float64)
        self.category_shares: NDArray[np.float64] = np.zeros(labels.num_classes, np.float64)
        order = {name: index for index, name in enumerate(labels.categories)}
        self._category_of = np.full(256, -1, np.int64)
        self._category_of[: labels.num_classes] = [order[c.category] for c in labels.classes]
        self._scored = np.zeros(256, np.bool_)
        self._scored[: labels.num_classes] = [c.has_instances for c in labels.classes]

    def update(self, instances_HW: NDArray[np.int32], predicted_HW: NDArray[np.uint8]) -> None:
        """Add one image: instance ids as ``Sample.instances`` describes them, and predicted train ids.

        Raises ``DataError`` when the shapes differ or an object belongs to no class of the label set.
        """
        if instances_HW.shape != predicted_HW.shape:
            raise DataError(
                f"the instance mask has shape {instances_HW.shape} and the prediction {predicted_HW.shape}; "
                "both must have the size of the image"
            )
        is_object = instances_HW >= _FIRST_OBJECT_ID
        pixel_ids, pixel_predictions = instances_HW[is_object], predicted_HW[is_object]
        if not pixel_ids.size:
            return
        highest = int(pixel_ids.max())
        if highest > _MAX_OBJECT_ID:
            raise DataError(f"the instance mask holds id {highest}; class id × 1000 + number is at most 255999")
        all_sizes = np.bincount(pixel_ids)
        ids_N = np.flatnonzero(all_sizes)
        class_of = np.full(highest + 1, 255, np.uint8)
        class_of[ids_N] = self._classes_of(ids_N)
        pixel_classes = class_of[pixel_ids]
        found = pixel_ids[pixel_predictions == pixel_classes]
        in_category = pixel_ids[self._category_of[pixel_predictions] == self._category_of[pixel_classes]]
        ids_N = ids_N[self._scored[class_of[ids_N]]]
        self._add(
            class_of[ids_N],
            all_sizes[ids_N],
            np.bincount(found, minlength=highest + 1)[ids_N],
            np.bincount(in_category, minlength=highest + 1)[ids_N],
        )

    def by_class(self) -> tuple[ClassObjects, ...]:
        """Give what was counted of each class that has an object, in train-id order."""
        return tuple(
            ClassObjects(
                train_id,
                int(self.objects[train_id]),
                int(self.pixels[train_id]),
                float(self.class_shares[train_id]),
                float(self.category_shares[train_id]),
            )
            for train_id in np.flatnonzero(self.objects).tolist()
        )

    def add(self, counted: Iterable[ClassObjects]) -> None:
        """Add what ``by_class`` gave of other images.

        The shares are floating-point sums: image by image in the same order they are the same to the last bit.
        """
        for one in counted:
            self.objects[one.train_id] += one.objects
            self.pixels[one.train_id] += one.pixels
            self.class_shares[one.train_id] += one.class_share
            self.category_shares[one.train_id] += one.category_share

    def class_hits(self) -> WeightedHits:
        """Weighted hits of each class (C,); NaN for classes without ``has_instances``."""
        averages_px = self.average_sizes_px()
        hits = WeightedHits(averages_px * self.class_shares, averages_px * (self.objects - self.class_shares))
        without = ~self._scored[: self.labels.num_classes]
        hits.true_positives_px[without] = np.nan
        hits.false_negatives_px[without] = np.nan
        return hits

    def category_hits(self) -> WeightedHits:
        """Weighted hits of each category, where any class of the category is a hit.

        NaN for categories that hold a class without ``has_instances``.
        """
        averages_px = self.average_sizes_px()
        positives = averages_px * self.category_shares
        negatives = averages_px * (self.objects - self.category_shares)
        categories = [c.category for c in self.labels.classes]
        hits = WeightedHits(np.zeros(len(self.labels.categories)), np.zeros(len(self.labels.categories)))
        for index, category in enumerate(self.labels.categories):
            members = [i for i, name in enumerate(categories) if name == category]
            scored = all(self._scored[members])
            hits.true_positives_px[index] = positives[members].sum() if scored else np.nan
            hits.false_negatives_px[index] = negatives[members].sum() if scored else np.nan
        return hits

    def average_sizes_px(self) -> NDArray[np.float64]:
        """Average object size of each class (C,): the constants for Cityscapes, else as measured so far, 0 if none."""
        if self.labels == CITYSCAPES:
            return np.array([CITYSCAPES_AVERAGE_SIZES_PX.get(name, 0.0) for name in self.labels.names])
        averages: NDArray[np.float64] = self.pixels / np.maximum(self.objects, 1)
        return averages

    def _classes_of(self, ids_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        file_ids = (ids_N // _IDS_PER_CLASS).astype(np.uint8)
        unknown = self.labels.unknown_ids(file_ids)
        if unknown:
            first = int(ids_N[file_ids == min(unknown)][0])
            raise DataError(
                f"the instance mask holds object {first} of file id {min(unknown)}, which is outside label set "
                f"'{self.labels.name}'; map the id to a class or to void"
            )
        return self.labels.encode(file_ids)

    def _add(
        self,
        classes_N: NDArray[np.uint8],
        sizes_N: NDArray[np.int64],
        found_N: NDArray[np.int64],
        in_category_N: NDArray[np.int64],
    ) -> None:
        count = self.labels.num_classes
        self.objects += np.bincount(classes_N, minlength=count)
        np.add.at(self.pixels, classes_N, sizes_N)
        self.class_shares += np.bincount(classes_N, weights=found_N / sizes_N, minlength=count)
        self.category_shares += np.bincount(classes_N, weights=in_category_N / sizes_N, minlength=count)
