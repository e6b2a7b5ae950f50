from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.benchmark.steadiness import measure_steadiness
from contextnet.data.synthetic import Drive, drives_for
from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation import ConfusionMatrix, compute_scores
from contextnet.evaluation.flicker import Flicker, follow_pixels
from contextnet.runtime.segmenter import Segmenter
from contextnet.runtime.smoothing.choice import SMOOTHERS, open_smoother

SIZE_HW = (128, 256)


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    with Segmenter.load("cn14-synthetic-int8") as loaded:
        yield loaded


class FirstScores:
    """Answers every frame with the first one's scores, and notes what it is asked."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.first: NDArray[np.float32] | None = None

    def smooth(self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert image_HW3.shape == (*SIZE_HW, 3)
        self.events.append("smooth")
        if self.first is None:
            self.first = scores_CHW
        return self.first

    def reset(self) -> None:
        self.events.append("reset")
        self.first = None


def test_figures_without_smoothing_are_those_of_the_segmenter(segmenter: Segmenter) -> None:
    drives = drives_for("demo", 2, SIZE_HW, 3)
    flicker, confusion = Flicker(), ConfusionMatrix(19)
    for drive in drives:
        frames = list(drive)
        labels = [segmenter.labels(frame.image) for frame in frames]
        for frame, predicted in zip(frames, labels, strict=True):
            confusion.update(segmenter.label_set.encode(frame.label_ids), predicted)
        for i in (1, 2):
            followed = follow_pixels(drive.motion_of(frames[i]), frames[i].instance_ids, frames[i - 1].instance_ids)
            flicker.update(labels[i], labels[i - 1], followed)
    (row,) = measure_steadiness(segmenter, drives, {"none": None})
    assert (row.name, row.flicker, row.followed_share) == ("none", flicker.share, flicker.followed_share)
    assert row.miou == compute_scores(confusion, segmenter.label_set, None).miou
    assert 0 < row.flicker < 0.5
    assert row.added_ms < 1


def test_every_drive_begins_anew_with_every_smoother(segmenter: Segmenter) -> None:
    smoother = FirstScores()
    rows = measure_steadiness(segmenter, drives_for("demo", 2, SIZE_HW, 3), {"a": smoother, "b": None})
    assert smoother.events == ["reset", "smooth", "smooth", "smooth"] * 2
    assert [row.name for row in rows] == ["a", "b"]
    assert rows[0].miou < rows[1].miou, "the frames after the first are labelled as the first"


def test_smoothing_along_the_motion_steadies_more_and_costs_no_accuracy(segmenter: Segmenter) -> None:
    smoothers = {name: open_smoother(name, segmenter.spec.output_stride) for name in SMOOTHERS}
    none, exponential, motion = measure_steadiness(segmenter, drives_for("demo", 2, (256, 512), 5), smoothers)
    assert motion.flicker < exponential.flicker < none.flicker
    assert motion.flicker < 0.85 * none.flicker
    assert motion.miou > none.miou - 0.005
    assert motion.added_ms > 0


@pytest.mark.parametrize("drives", [[], [Drive(1, SIZE_HW, 3), Drive(2, SIZE_HW, 1)]])
def test_flicker_needs_two_frames(segmenter: Segmenter, drives: list[Drive]) -> None:
    with pytest.raises(ContextNetError, match="give one drive or more, each of 2 frames or more"):
        measure_steadiness(segmenter, drives, {"none": None})


def test_a_network_of_other_classes_is_refused() -> None:
    with Segmenter.load("cn14-camvid-int8") as camvid, pytest.raises(DataError, match="ids outside label set 'camvid'"):
        measure_steadiness(camvid, drives_for("demo", 1, SIZE_HW, 2), {"none": None})
