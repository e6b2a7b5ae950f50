"""The confusion matrix of a split, filled image by image.

Shapes: H, W are an image's height and width in pixels; C is the number of classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX, MAX_CLASSES

_VALUES = 256


class ConfusionMatrix:
    """Pixel counts of every pair of true and predicted class.

    ``counts`` is int64 (C, C + 1): rows are the truth, columns the prediction, both in train-id order. The last
    column counts labelled pixels predicted as void (255): each is a miss of its true class and a false alarm of none,
    as in ``cityscapesscripts``, which counts them in the column of the id "unlabeled". Pixels whose truth is void are
    not counted anywhere.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= MAX_CLASSES:
            raise ValueError(f"a confusion matrix of {num_classes} classes; 1 to {MAX_CLASSES} are possible")
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes + 1), np.int64)

    def update(self, label_HW: NDArray[np.uint8], predicted_HW: NDArray[np.uint8]) -> None:
        """Add one image: true and predicted train ids, uint8 of the same shape, 255 for void.

        Raises ``DataError`` and leaves the counts alone when the shapes differ or an id is neither below C nor 255.
        """
        if label_HW.dtype != np.uint8 or predicted_HW.dtype != np.uint8:
            raise TypeError(f"train ids are uint8; found {label_HW.dtype} truth and {predicted_HW.dtype} prediction")
        if label_HW.shape != predicted_HW.shape:
            raise DataError(
                f"the ground truth is {_size(label_HW)} pixels and the prediction {_size(predicted_HW)}; "
                "both must have the size of the image"
            )
        # One number holds the pair, so a single pass counts all of them and shows foreign ids as well.
        pairs = (label_HW.astype(np.uint16) << 8 | predicted_HW).ravel()
        table = np.bincount(pairs, minlength=_VALUES * _VALUES).reshape(_VALUES, _VALUES)
        self._refuse_foreign_ids("ground truth", table.sum(axis=1))
        self._refuse_foreign_ids("prediction", table.sum(axis=0))
        self.counts[:, :-1] += table[: self.num_classes, : self.num_classes]
        self.counts[:, -1] += table[: self.num_classes, IGNORE_INDEX]

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of ``other``, which covers other images of the same C classes; exact, in any order."""
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge confusion matrices of {self.num_classes} and {other.num_classes} classes")
        self.counts += other.counts

    def _refuse_foreign_ids(self, what: str, pixels: NDArray[np.int64]) -> None:
        foreign = np.flatnonzero(pixels[self.num_classes : IGNORE_INDEX]) + self.num_classes
        if foreign.size:
            raise DataError(
                f"the {what} holds train id {foreign[0]} ({pixels[foreign[0]]} pixels); {self.num_classes} classes "
                f"allow 0 to {self.num_classes - 1} and {IGNORE_INDEX} for void: use the label set of the masks"
            )


def _size(labels_HW: NDArray[np.uint8]) -> str:
    return " × ".join(str(length) for length in labels_HW.shape)
