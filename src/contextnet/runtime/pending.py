"""An image that is being labelled."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import LabelSet
from contextnet.runtime.engines.engine import Inference
from contextnet.runtime.labelling import confidence_of, label_scores
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.timed_image import TimedImage


@dataclass(frozen=True, eq=False)
class PendingSegmentation:
    """An image on its way: what computes it, its size, the network's stride, and when it was given to the engine.

    ``frame`` is the picture of a stream that it is of.
    """

    inference: Inference
    size_hw: tuple[int, int]
    stride: int
    label_set: LabelSet
    started_s: float
    frame: TimedImage | None = None

    def scores(self) -> NDArray[np.float32]:
        """Wait, and give the scores, float32 (C, H' / S, W' / S) of the padded image, S the network's stride."""
        scores: NDArray[np.float32] = self.inference.scores()[0]
        return scores

    def result(self, *, confidence: bool = False, scores_CHW: NDArray[np.float32] | None = None) -> Segmentation:
        """Wait, and give the labels of the scores, or of ``scores_CHW`` in their place.

        With ``confidence``, also the probability of each pixel's label. The latency is that from the image's being
        given to the engine until now.
        """
        labels = (
            self.inference.labels()[0] if scores_CHW is None else label_scores(scores_CHW, self.size_hw, self.stride)
        )
        probabilities = None
        if confidence:
            probabilities = confidence_of(
                self.scores() if scores_CHW is None else scores_CHW, self.size_hw, self.stride
            )
        latency_ms = 1000 * (time.perf_counter() - self.started_s)
        return Segmentation(labels, self.label_set, latency_ms, probabilities, self.frame)
