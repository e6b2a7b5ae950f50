"""What a run shows in TensorBoard: curves, scores and pictures, as event files in the run folder.

Step s stands for what s steps have made. TensorBoard itself is imported when a run opens a file, not before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import MissingDependencyError, TrainingError
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.evaluation.scores import Scores
from contextnet.labels import LabelSet
from contextnet.runtime.drawing import contact_sheet

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

MAX_PICTURES = 3
"""How many samples are drawn at a step."""
PICTURE_WIDTH = 512
"""The greatest width in pixels of each of the three parts of a picture."""


class TensorBoard:
    """Writes a run's events, each flushed when its call returns; a context manager that closes the file.

    Without a writer it does nothing: of several processes that train together one tells of the run. Every method
    raises ``TrainingError`` naming the folder when the disk is full.
    """

    def __init__(self, writer: SummaryWriter | None) -> None:
        self._writer = writer

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        if kind is None:
            with _named_faults(Path(self._writer.log_dir)):
                self._writer.close()
        else:
            with suppress(OSError):  # what went wrong first is what counts
                self._writer.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a point to each curve; a value that is not finite makes none."""
        if self._writer is None:
            return
        with _named_faults(Path(self._writer.log_dir)):
            for name, value in values.items():
                if math.isfinite(value):
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def validation(self, scores: Scores, step: int) -> None:
        """Add mIoU and pixel accuracy under ``validation/``, and each class's IoU under ``iou/`` where it has one."""
        by_class = zip(scores.class_names, scores.class_iou, strict=True)
        means = {"validation/miou": scores.miou, "validation/pixel_accuracy": scores.pixel_accuracy}
        self.scalars(means | {f"iou/{name}": iou for name, iou in by_class}, step)

    def pictures(self, data: SegmentationData, predictor: Predictor, step: int) -> None:
        """Draw the first ``MAX_PICTURES`` samples under ``pictures/``, numbered from 1: image, truth, prediction.

        The samples have ground truth. Nothing is read or predicted without a writer.
        """
        if self._writer is None:
            return
        for index in range(min(MAX_PICTURES, len(data))):
            sample = data[index]
            picture = draw_sample(sample, predict(predictor, sample, data.labels.num_classes), data.labels)
            with _named_faults(Path(self._writer.log_dir)):
                self._writer.add_image(f"pictures/{index + 1}", picture, step, dataformats="HWC")
                self._writer.flush()


def open_tensorboard(folder: Path, *, enabled: bool, step: int) -> TensorBoard:
    """Open an event file in ``folder`` for a run that has done ``step`` steps; one that is not enabled does nothing.

    What an earlier start of the run wrote of later steps is hidden, so that no repeated step stands twice; a validation
    that was cut off after ``step`` may. Raises
    ``MissingDependencyError`` without TensorBoard, ``TrainingError`` when the folder cannot be written.
    """
    if not enabled:
        return TensorBoard(None)
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    with _named_faults(folder):
        return TensorBoard(SummaryWriter(str(folder), purge_step=step + 1))


def require_tensorboard() -> None:
    """Raise ``MissingDependencyError`` naming the extra, and the recipe's key, when TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise MissingDependencyError(
            "the recipe's 'tensorboard' is true, but TensorBoard is not installed; pip install 'contextnet[train]', "
            "or set it to false"
        )


def draw_sample(sample: Sample, predicted: NDArray[np.uint8], labels: LabelSet) -> NDArray[np.uint8]:
    """Draw image, truth and prediction side by side, uint8 (H, W, 3) RGB, in the colours of ``labels``; void is black.

    ``predicted`` is uint8 (H, W) train ids. Each part is at most ``PICTURE_WIDTH`` wide.
    """
    assert sample.label is not None
    height, width = sample.label.shape
    scale = min(1.0, PICTURE_WIDTH / width)
    cell_hw = (max(1, round(height * scale)), max(1, round(width * scale)))
    parts = [sample.image, labels.colorize(sample.label), labels.colorize(predicted)]
    return contact_sheet(parts, len(parts), cell_hw)


@contextmanager
def _named_faults(folder: Path) -> Iterator[None]:
    """Turn a fault of the disk into ``TrainingError`` that names the folder and what to do."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{folder}: the events for TensorBoard cannot be written: {error.strerror or error}; free some space, or "
            "set the recipe's 'tensorboard' to false"
        ) from error
