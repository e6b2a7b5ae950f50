"""The result of segmenting one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import LabelSet


@dataclass(frozen=True)
class Segmentation:
    """Labels of one image, uint8 (H, W) train ids of ``label_set``, and how long they took."""

    labels: NDArray[np.uint8]
    label_set: LabelSet
    latency_ms: float

    def file_ids(self) -> NDArray[np.uint8]:
        """Give the labels as the data set's own mask ids, uint8 (H, W)."""
        return self.label_set.decode(self.labels)

    def colors(self) -> NDArray[np.uint8]:
        """Give the labels as colours, uint8 (H, W, 3) RGB."""
        return self.label_set.colorize(self.labels)
