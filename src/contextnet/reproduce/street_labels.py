"""The labels of a real street in the place of those that fresh weights give, so that all networks are timed alike.

What labels take depends on how many classes meet in the image: fresh weights see noise, or one class everywhere.
Shapes: C classes; h, w cells; H, W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from contextnet.models.resize import upscale
from contextnet.models.storage import read_weights
from contextnet.runtime.engines.engine import Engine, EngineInfo, Images, Inference, Labels, Scores
from contextnet.runtime.labelling import label_scores
from contextnet.runtime.score_grid import STRIDES
from contextnet.weights.catalogue import find_weights

NETWORK = "cn14-synthetic"
"""A trained network for drawn streets."""


def street_scores(image_HW3: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    """Score a drawn street by a trained network, and bring the scores to each stride, float32 (C, h, w).

    At stride 1 the classes of a pixel lie together, as OpenVINO leaves them.
    """
    network = read_weights(find_weights(NETWORK)).build()
    planes = torch.from_numpy(np.ascontiguousarray(image_HW3)).permute(2, 0, 1).unsqueeze(0)
    with torch.inference_mode():
        scores = network(planes).scores
        own = network.spec.output_stride
        at = {stride: upscale(scores, own // stride)[0].numpy().copy() for stride in STRIDES}
    at[1] = np.ascontiguousarray(at[1].transpose(1, 2, 0)).transpose(2, 0, 1)
    return at


@dataclass(frozen=True, eq=False)
class StreetEngine:
    """An engine that computes what it is given, and then labels the street's own scores at its network's ``stride``.

    ``scores`` are those of ``street_scores``. For engines whose labels are made on the CPU from their scores.
    """

    engine: Engine
    scores: Mapping[int, NDArray[np.float32]]
    stride: int

    @property
    def info(self) -> EngineInfo:
        """What computes, where and how."""
        return self.engine.info

    def submit(self, images: Images) -> StreetInference:
        """Begin with one image, uint8 (1, H, W, 3) RGB, of the street's size."""
        assert len(images) == 1, "one street at a time"
        return StreetInference(self.engine.submit(images), self.scores[self.stride], images.shape[1:3], self.stride)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


@dataclass(frozen=True, eq=False)
class StreetInference:
    """A call on its way."""

    inference: Inference
    street: NDArray[np.float32]
    size_hw: tuple[int, int]
    stride: int

    def scores(self) -> Scores:
        """Wait, and give the network's scores."""
        return self.inference.scores()

    def labels(self) -> Labels:
        """Wait for the scores, and label the street's."""
        self.inference.scores()
        return label_scores(self.street, self.size_hw, self.stride)[None]
