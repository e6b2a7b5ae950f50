"""The images of an export: those that calibrate, those that are compared, and a split with masks where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contextnet.data.sample import SegmentationData
from contextnet.data.sources import open_data
from contextnet.data.synthetic import SyntheticStreets, drives_for
from contextnet.errors import DataError
from contextnet.export.parity import Image
from contextnet.images import image_files, read_image
from contextnet.labels import LabelSet

CALIBRATION_IMAGES, COMPARED_IMAGES = 100, 20
_DRAWN_HW = (512, 1024)
_DRAWN_STREETS = 4


@dataclass(frozen=True)
class ImagesInTurn:
    """Images, uint8 (H, W, 3) RGB, each read by its index when its turn comes, so that one at a time is in memory."""

    read: Callable[[int], Image]
    indices: Sequence[int]

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Image]:
        """Read the images from the first to the last. Raises ``DataError`` naming the file that cannot be read."""
        return map(self.read, self.indices)


@dataclass(frozen=True)
class ExportSamples:
    """Images, uint8 (H, W, 3) RGB, of one source, which ``name`` tells; ``labelled`` has ground truth, or is None.

    ``calibration`` is None where there is nothing to calibrate.
    """

    name: str
    compared: Sequence[Image]
    calibration: ImagesInTurn | None = None
    labelled: SegmentationData | None = None


def samples_of_data(source: str, labels: LabelSet, *, calibrates: bool) -> ExportSamples:
    """Compare on the val split of a data set, ``KIND:ROOT``, with its masks; if asked, its train split calibrates.

    Raises ``DataError`` when the data set has other classes than ``labels``, or a split that is needed is empty.
    """
    val = _open_filled(source, "val")
    if val.labels.names != labels.names:
        raise DataError(
            f"{val.name} has the classes of '{val.labels.name}' and the network those of '{labels.name}'; give data "
            "with the network's classes, or its images alone"
        )
    calibration = _train_images(source) if calibrates else None
    compared = [val[index].image for index in _spread(len(val), COMPARED_IMAGES)]
    return ExportSamples(val.name, compared, calibration, val)


def samples_of_images(paths: Sequence[Path], *, calibrates: bool) -> ExportSamples:
    """Take image files, and all below folders: at most 20 are compared.

    If asked, every fifth is for that and at most 100 of the others calibrate. Raises ``DataError`` when there are fewer
    than two to do both.
    """
    files = [file for path in paths for file in image_files(path, recursive=True)]
    compared, others = (files[::5], [file for i, file in enumerate(files) if i % 5]) if calibrates else (files, [])
    if calibrates and not others:
        raise DataError(f"{files[0]}: one image is too few, some calibrate and others are compared; give at least two")
    images = [read_image(compared[index]) for index in _spread(len(compared), COMPARED_IMAGES)]
    calibration = ImagesInTurn(lambda i: read_image(others[i]), _spread(len(others), CALIBRATION_IMAGES))
    return ExportSamples(", ".join(map(str, paths)), images, calibration if calibrates else None)


def drawn_samples() -> ExportSamples:
    """Draw streets to compare on, where no images are given; none calibrates, since no camera sees like them."""
    streets = SyntheticStreets(drives_for("demo", _DRAWN_STREETS, _DRAWN_HW, 1, frames_per_s=1.0), split="demo")
    return ExportSamples("drawn streets", [streets[index].image for index in range(len(streets))])


def _train_images(source: str) -> ImagesInTurn:
    train = _open_filled(source, "train")
    return ImagesInTurn(lambda index: train[index].image, _spread(len(train), CALIBRATION_IMAGES))


def _open_filled(source: str, split: str) -> SegmentationData:
    data = open_data(source, split)
    if len(data) == 0:
        raise DataError(f"{data.name}: the split is empty; check its folder, or give images alone")
    return data


def _spread(available: int, wanted: int) -> list[int]:
    """Choose ``wanted`` indices, or as many as there are, evenly over all."""
    return [round(index) for index in np.linspace(0, available - 1, min(available, wanted)).tolist()]
