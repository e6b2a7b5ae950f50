"""How good a network is: by its labels against those of its source, or by its mIoU where there are masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from contextnet.data.sample import SegmentationData
from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.iou import class_groups, iou, mean_of_defined
from contextnet.export.parity import Image, Labeller

Runner = Callable[[onnx.ModelProto], Labeller]
"""Makes a network's graph ready to label images."""

LEAST_FOR_HALVES = 4
"""From so many images on, some choose layers and others accept; fewer do both."""


class AgreementJudge:
    """Judges by the share of pixels to which a network gives the label that its source gives them.

    Every second image chooses the layers that stay in float and the others accept the result, so that it is not judged
    by what it was fitted to.
    """

    def __init__(self, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]], runner: Runner) -> None:
        self._images = images
        self._expected = expected
        self._runner = runner

    @property
    def measure(self) -> str:
        """What the figure is, in words."""
        return f"equal labels on {len(self.accepting)} images"

    @property
    def choosing(self) -> range:
        """The first, third, fifth image and so on; all of them where they are too few for halves."""
        return range(0, len(self._images), self._parts)

    @property
    def accepting(self) -> range:
        """The second, fourth, sixth image and so on; all of them where they are too few for halves."""
        return range(self._parts - 1, len(self._images), self._parts)

    @property
    def _parts(self) -> int:
        return 2 if len(self._images) >= LEAST_FOR_HALVES else 1

    def __call__(self, network: onnx.ModelProto, images: Sequence[int]) -> tuple[float, list[float]]:
        """Give the mean share of equal pixels over some of the images, and that of each."""
        label = self._runner(network)
        shares = [float(np.mean(label(self._images[i]) == self._expected[i])) for i in images]
        return float(np.mean(shares)), shares


class MeanIouJudge:
    """Judges by the mIoU against the ground truth of a split, all of which both chooses layers and accepts."""

    def __init__(self, split: SegmentationData, runner: Runner) -> None:
        self._split = split
        self._runner = runner

    @property
    def measure(self) -> str:
        """What the figure is, in words."""
        return f"mIoU on {self._split.name}"

    @property
    def choosing(self) -> range:
        """The whole split."""
        return range(len(self._split))

    @property
    def accepting(self) -> range:
        """The whole split."""
        return range(len(self._split))

    def __call__(self, network: onnx.ModelProto, images: Sequence[int]) -> tuple[float, list[float]]:
        """Give the mIoU over some of the images together, and the share of right pixels of each."""
        label, groups = self._runner(network), class_groups(self._split.labels)
        total, shares = ConfusionMatrix(self._split.labels.num_classes), []
        for index in images:
            sample, counted = self._split[index], ConfusionMatrix(self._split.labels.num_classes)
            assert sample.label is not None, "a split to judge by has masks"
            counted.update(sample.label, label(sample.image))
            total.merge(counted)
            shares.append(float(counted.counts.trace() / max(1, counted.counts.sum())))
        return mean_of_defined(iou(total.counts, groups)), shares
