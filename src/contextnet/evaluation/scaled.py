"""A network that is shown images at another size than theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.scaling import Scaling, labels_at
from contextnet.evaluation.predictor import Predictor


@dataclass(frozen=True)
class ScaledPredictor:
    """Labels an image at another size, and brings the labels to the image's own. It follows ``Predictor``."""

    inner: Predictor
    scaling: Scaling

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label an image, uint8 (H, W, 3) RGB: uint8 (H, W) train ids of the same size, by nearest neighbour."""
        height, width, _ = image_HW3.shape
        return labels_at(self.inner.labels(self.scaling.resize(image_HW3)), (height, width))
