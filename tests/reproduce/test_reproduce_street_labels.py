"""The labels that every network is timed with: a street's own, at each stride."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.data.synthetic.dataset import drives_for
from contextnet.reproduce.street_labels import StreetEngine, street_scores
from contextnet.runtime.engines.engine import EngineInfo, Images, Labels, Scores
from contextnet.runtime.labelling import label_scores
from contextnet.runtime.score_grid import STRIDES

SIZE = (64, 128)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return drives_for("demo", 1, SIZE)[0].frame(0).image


@pytest.fixture(scope="module")
def scores(image: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    return street_scores(image)


@dataclass
class NoiseInference:
    waited: int = 0

    def scores(self) -> Scores:
        self.waited += 1
        return np.ones((1, 19, 8, 16), np.float32)

    def labels(self) -> Labels:
        raise AssertionError("the network's own labels are not what is timed")


@dataclass
class NoiseEngine:
    inference: NoiseInference
    is_closed: bool = False

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("noise", "1", "cpu", "fp32", 1)

    def submit(self, images: Images) -> NoiseInference:
        assert images.shape == (1, *SIZE, 3)
        return self.inference

    def close(self) -> None:
        self.is_closed = True


def test_scores_of_every_stride_are_of_one_street(scores: dict[int, NDArray[np.float32]]) -> None:
    assert {stride: found.shape for stride, found in scores.items()} == {
        stride: (19, SIZE[0] // stride, SIZE[1] // stride) for stride in STRIDES
    }
    assert scores[1].transpose(1, 2, 0).flags.c_contiguous, "the classes of a pixel lie together"
    assert all(scores[stride].flags.c_contiguous for stride in (4, 8))
    labels = {stride: label_scores(found, SIZE, stride) for stride, found in scores.items()}
    assert len(np.unique(labels[8])) > 3, "a street has several classes"
    for stride in (1, 4):
        assert (labels[stride] == labels[8]).mean() > 0.95, "bilinear twice is not quite bilinear once"
    assert np.array_equal(labels[1], labels[8])


@pytest.mark.parametrize("stride", STRIDES)
def test_an_engine_waits_for_its_own_scores_and_labels_the_street(
    image: NDArray[np.uint8], scores: dict[int, NDArray[np.float32]], stride: int
) -> None:
    engine = NoiseEngine(NoiseInference())
    wrapped = StreetEngine(engine, scores, stride)
    inference = wrapped.submit(image[None])
    assert (inference.scores() == 1).all()
    labels = inference.labels()
    assert engine.inference.waited == 2
    assert np.array_equal(labels, label_scores(scores[stride], SIZE, stride)[None])
    wrapped.close()
    assert engine.is_closed
    assert wrapped.info == engine.info
