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
"""Makes a network's graph ready to label images, the way in which it will be used."""


class AgreementJudge:
    """Judges by the share of pixels to which a network gives the label that its source gives them."""

    def __init__(self, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]], runner: Runner) -> None:
        self._images = images
        self._expected = expected
        self._runner = runner

    @property
    def measure(self) -> str:
        """What the figure is, in words."""
        return f"equal labels on {len(self)} images"

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self._images)

    def __call__(self, network: onnx.ModelProto, images: Sequence[int]) -> tuple[float, list[float]]:
        """Give the mean share of equal pixels over some of the images, and that of each."""
        label = self._runner(network)
        shares = [float(np.mean(label(self._images[i]) == self._expected[i])) for i in images]
        return float(np.mean(shares)), shares


class MeanIouJudge:
    """Judges by the mIoU against the ground truth of a split."""

    def __init__(self, split: SegmentationData, runner: Runner) -> None:
        self._split = split
        self._runner = runner

    @property
    def measure(self) -> str:
        """What the figure is, in words."""
        return f"mIoU on {self._split.name}"

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self._split)

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
