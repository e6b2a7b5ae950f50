"""What is evaluated: anything that turns an image into train ids."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample
from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX


class Predictor(Protocol):
    """A network with everything around it, whatever engine runs it."""

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB: uint8 (H, W) train ids of the same size, 255 for void."""
        ...


def predict(predictor: Predictor, sample: Sample, num_classes: int) -> NDArray[np.uint8]:
    """Label the image of ``sample`` and hold the answer to the contract of ``Predictor``.

    Raises ``DataError`` naming the image when the answer has another size or an id that ``num_classes`` has not.
    """
    predicted_HW = predictor.labels(sample.image)
    if predicted_HW.dtype != np.uint8:
        raise TypeError(f"a predictor returns uint8 train ids; found {predicted_HW.dtype}")
    if predicted_HW.shape != sample.image.shape[:2]:
        raise DataError(
            f"{sample.image_path}: the prediction has shape {predicted_HW.shape} and the image "
            f"{sample.image.shape[:2]}; a predictor answers at the size of the image"
        )
    foreign = predicted_HW[(predicted_HW >= num_classes) & (predicted_HW != IGNORE_INDEX)]
    if foreign.size:
        raise DataError(
            f"{sample.image_path}: the prediction holds train id {foreign.min()}; the data has {num_classes} classes: "
            "evaluate with weights trained for the label set of the data"
        )
    return predicted_HW
