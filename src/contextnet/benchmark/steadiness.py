"""What smoothing the scores over time buys and costs: flicker, mIoU and time, on drawn drives whose motion is known.

The network runs once a frame and every smoother is given the same scores. None waits for a later frame, so none adds a
lag other than the time it takes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.drive import Drive, StreetFrame
from contextnet.errors import ContextNetError
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.flicker import Flicker, FollowedPixels, follow_pixels
from contextnet.evaluation.scores import compute_scores
from contextnet.labels import LabelSet
from contextnet.runtime.labelling import label_scores
from contextnet.runtime.segmenter import Segmenter
from contextnet.runtime.smoothing.smoother import Smoother


@dataclass(frozen=True)
class Steadiness:
    """How steady and how right the labels are with one smoother.

    ``flicker`` is the share of followed pixels whose label changes from one frame to the next, ``followed_share`` that
    of pixels which could be followed, ``miou`` the mean IoU over all frames: each 0 to 1. ``added_ms`` is the median
    time that smoothing a frame takes.
    """

    name: str
    flicker: float
    followed_share: float
    miou: float
    added_ms: float


def measure_steadiness(
    segmenter: Segmenter, drives: Sequence[Drive], smoothers: Mapping[str, Smoother | None]
) -> tuple[Steadiness, ...]:
    """Label the drives frame by frame with every smoother, and compare; None leaves the scores as they are.

    Raises ``ContextNetError`` without drives, for drives of one frame, and for a network that has other classes than
    the streets.
    """
    if not drives or any(len(drive) < 2 for drive in drives):
        raise ContextNetError("flicker is measured between frames; give one drive or more, each of 2 frames or more")
    stride = segmenter.spec.output_stride
    trials = {name: _Trial(smoother, segmenter.label_set, stride) for name, smoother in smoothers.items()}
    for drive in drives:
        _run(segmenter, drive, tuple(trials.values()))
        drive.release()
    return tuple(trial.result(name) for name, trial in trials.items())


@dataclass(eq=False)
class _Trial:
    """A smoother on its way through the drives, for scores at ``stride``."""

    smoother: Smoother | None
    label_set: LabelSet
    stride: int
    flicker: Flicker = field(default_factory=Flicker)
    times_ms: list[float] = field(default_factory=list)
    labels_before: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(self.label_set.num_classes)

    def begin(self) -> None:
        """Forget the drive before."""
        self.labels_before = None
        if self.smoother is not None:
            self.smoother.reset()

    def add(
        self,
        scores_CHW: NDArray[np.float32],
        image_HW3: NDArray[np.uint8],
        truth_HW: NDArray[np.uint8],
        followed: FollowedPixels | None,
    ) -> None:
        """Smooth, label and count a frame; ``followed`` is None for the first of a drive."""
        smoothed_CHW = self._smooth(scores_CHW, image_HW3, followed is not None)
        labels_HW = label_scores(smoothed_CHW, truth_HW.shape, self.stride)
        self.confusion.update(truth_HW, labels_HW)
        if followed is not None:
            assert self.labels_before is not None
            self.flicker.update(labels_HW, self.labels_before, followed)
        self.labels_before = labels_HW

    def result(self, name: str) -> Steadiness:
        """Give the figures of all frames so far."""
        miou = compute_scores(self.confusion, self.label_set, None).miou
        return Steadiness(name, self.flicker.share, self.flicker.followed_share, miou, median(self.times_ms))

    def _smooth(
        self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8], is_timed: bool
    ) -> NDArray[np.float32]:
        began_s = time.perf_counter()
        if self.smoother is not None:
            scores_CHW = self.smoother.smooth(scores_CHW, image_HW3)
        # With nothing before it, the first frame takes less than the others.
        if is_timed:
            self.times_ms.append(1000 * (time.perf_counter() - began_s))
        return scores_CHW


def _run(segmenter: Segmenter, drive: Drive, trials: Sequence[_Trial]) -> None:
    for trial in trials:
        trial.begin()
    before: StreetFrame | None = None
    for frame in drive:
        scores_CHW = segmenter.begin(frame.image).scores()
        truth_HW = segmenter.label_set.encode(frame.label_ids)
        followed = None
        if before is not None:
            followed = follow_pixels(drive.motion_of(frame), frame.instance_ids, before.instance_ids)
        for trial in trials:
            trial.add(scores_CHW, frame.image, truth_HW, followed)
        before = frame
