"""Predictions as files that the Cityscapes test server scores."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from contextnet.data.sample import SegmentationData
from contextnet.errors import DataError
from contextnet.evaluation.evaluator import Progress
from contextnet.evaluation.predictor import Predictor, predict
from contextnet.images import write_png
from contextnet.labels import CITYSCAPES

_FRAME = re.compile(r"(?P<frame>[^_]+_\d{6}_\d{6})(_.*)?")


def write_submission(
    predictor: Predictor, data: SegmentationData, output: Path, progress: Progress | None = None
) -> int:
    """Write one PNG of label ids an image into the folder ``output`` and return their number.

    The files are 8-bit, single channel, at the size of their image (the test server expects 1024 × 2048), and named
    ``<city>_<sequence>_<frame>_pred_labelIds.png``. The server searches all folders for ``<city>_<sequence>_<frame>*``
    and accepts one match, so ``output`` must be new or empty. Raises ``DataError`` when it is not, when the split is
    empty or of other classes, when an image is not named as in Cityscapes or two carry the same frame, and
    ``ContextNetError`` when a file cannot be written; no file is left behind then.
    Source: ``getPrediction`` in ``evalPixelLevelSemanticLabeling`` of ``cityscapesscripts``.
    """
    if data.labels != CITYSCAPES:
        raise DataError(f"{data.name}: the label set is '{data.labels.name}'; the test server scores 'cityscapes' only")
    if len(data) == 0:
        raise DataError(f"{data.name}: the split is empty; nothing can be submitted, check its folder")
    is_new = _prepare(output)
    written: dict[Path, Path] = {}
    try:
        for index in range(len(data)):
            sample = data[index]
            target = output / submission_name(sample.image_path)
            if target in written:
                raise DataError(f"{sample.image_path}: the same frame as {written[target]}; a frame is submitted once")
            written[target] = sample.image_path
            write_png(target, data.labels.decode(predict(predictor, sample, data.labels.num_classes)))
            if progress:
                progress(index + 1, len(data))
    except BaseException:
        # A folder that lacks images looks complete, and the server would refuse it only after the upload.
        for target in written:
            target.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):
                output.rmdir()
        raise
    return len(written)


def submission_name(image_path: Path) -> str:
    """Name of the prediction for a Cityscapes image. Raises ``DataError`` when the image is named otherwise."""
    match = _FRAME.fullmatch(image_path.stem)
    if match is None:
        raise DataError(
            f"{image_path}: not named as in Cityscapes; expected <city>_<6 digits>_<6 digits>_leftImg8bit.png, "
            "by which the test server finds the ground truth"
        )
    return f"{match['frame']}_pred_labelIds.png"


def _prepare(output: Path) -> bool:
    """Make the folder, or see that it is empty; tell whether it is new."""
    try:
        if not output.exists():
            output.mkdir(parents=True)
            return True
        found = next(output.iterdir(), None)
    except OSError as error:
        raise DataError(f"{output}: cannot be used as the output folder: {error.strerror}; name another one") from None
    if found is not None:
        raise DataError(f"{output}: the output folder holds {found.name}; name a new or an empty folder")
    return False
