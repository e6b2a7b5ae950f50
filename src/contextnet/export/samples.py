"""The images of an export: those that calibrate, those that are compared, and a split with masks where there is one."""

from __future__ import annotations

from collections.abc import Sequence
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
class ExportSamples:
    """Images, uint8 (H, W, 3) RGB, of one source, which ``name`` tells; ``labelled`` has ground truth, or is None."""

    name: str
    calibration: Sequence[Image]
    compared: Sequence[Image]
    labelled: SegmentationData | None = None


def samples_of_data(source: str, labels: LabelSet) -> ExportSamples:
    """Calibrate on the train split of a data set, ``KIND:ROOT``, and compare on its val split, with its masks.

    Raises ``DataError`` when the data set has other classes than ``labels``.
    """
    train, val = open_data(source, "train"), open_data(source, "val")
    if val.labels.names != labels.names:
        raise DataError(
            f"{val.name} has the classes of '{val.labels.name}' and the network those of '{labels.name}'; give data "
            "with the network's classes, or its images alone"
        )
    calibration = [train[index].image for index in _spread(len(train), CALIBRATION_IMAGES)]
    return ExportSamples(val.name, calibration, [val[i].image for i in _spread(len(val), COMPARED_IMAGES)], val)


def samples_of_images(paths: Sequence[Path]) -> ExportSamples:
    """Take image files, and all below folders: every fifth is compared, at most 20, and 100 of the others calibrate.

    Raises ``DataError`` when there are fewer than two.
    """
    files = [file for path in paths for file in image_files(path, recursive=True)]
    if len(files) < 2:
        raise DataError(f"{files[0]}: one image is too few, some calibrate and others are compared; give at least two")
    compared = files[::5]
    others = [file for index, file in enumerate(files) if index % 5]
    return ExportSamples(
        ", ".join(map(str, paths)),
        [read_image(others[index]) for index in _spread(len(others), CALIBRATION_IMAGES)],
        [read_image(compared[index]) for index in _spread(len(compared), COMPARED_IMAGES)],
    )


def drawn_samples() -> ExportSamples:
    """Draw streets to compare on, where no images are given; none calibrates, since no camera sees like them."""
    streets = SyntheticStreets(drives_for("demo", _DRAWN_STREETS, _DRAWN_HW, 1, frames_per_s=1.0), split="demo")
    return ExportSamples("drawn streets", (), [streets[index].image for index in range(len(streets))])


def _spread(available: int, wanted: int) -> list[int]:
    """Choose ``wanted`` indices, or as many as there are, evenly over all."""
    return [round(index) for index in np.linspace(0, available - 1, min(available, wanted)).tolist()]
