"""Labelling many files: where each result goes, what is drawn, what is summed up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError, ImageError
from contextnet.images import image_files, read_image, write_png
from contextnet.runtime.drawing import captioned, contact_sheet, overlay, with_legend
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.segmenter import Segmenter

RESULT_FOLDERS = ("labels", "color", "overlay")
SHEET_IMAGES = 12
SHEET_CELL_HW = (300, 400)


@dataclass(frozen=True)
class InputFile:
    """An image to label and the name of its results, relative to the output folder and without a suffix."""

    path: Path
    name: Path


@dataclass(frozen=True)
class PredictionSummary:
    """What was labelled: shares of pixels are 0..1 over all images; ``failures`` are sentences, one a file.

    ``sheet`` shows ``images_on_sheet`` of the images. The latency is that from image to labels, without the first image
    of each size, to which the engine has to fit itself first; None where no other is left.
    """

    images: int
    output: str
    sheet: str | None
    images_on_sheet: int
    engine: str
    median_latency_ms: float | None
    class_shares: dict[str, float]
    failures: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the summary as plain JSON values."""
        return asdict(self)


def list_inputs(inputs: Sequence[Path], output: Path) -> list[InputFile]:
    """List the images of files and folders; a folder's inner folders are kept in the names of the results.

    Results of an earlier call below ``output`` are left out. Raises ``DataError`` when an
    input does not exist, a folder holds no image, or two images would share a name.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file; give a folder for the results")
    files: list[InputFile] = []
    for given in inputs:
        if given.is_dir():
            found = image_files(given, recursive=True)
            fresh = [path for path in found if not _is_result(path, output)]
            if not fresh:
                raise DataError(f"{given}: holds no image but the results of an earlier call")
            files += [InputFile(path, path.relative_to(given).with_suffix("")) for path in fresh]
        elif given.is_file():
            files.append(InputFile(given, Path(given.stem)))
        else:
            raise DataError(f"{given}: no such file or folder")
    owner: dict[Path, Path] = {}
    for file in files:
        other = owner.setdefault(file.name, file.path)
        if other != file.path:
            raise DataError(f"{file.path} and {other} would both be written as '{file.name}'; label them one by one")
    return files


def _is_result(path: Path, output: Path) -> bool:
    """Tell whether a file is where this command writes its own results."""
    place, root = path.resolve(), output.resolve()
    return place == root / "sheet.png" or any(place.is_relative_to(root / name) for name in RESULT_FOLDERS)


def predict_files(
    segmenter: Segmenter,
    files: Sequence[InputFile],
    output: Path,
    progress: Callable[[int, int], None],
) -> PredictionSummary:
    """Label every file and write ``labels/``, ``color/``, ``overlay/`` and ``sheet.png`` below ``output``.

    Label PNGs hold the label set's file ids, as the data set's own masks do. A file that cannot be read is noted and
    passed over; everything else is raised.
    """
    failures: list[str] = []
    latencies_ms: list[float] = []
    images, sizes = 0, set[tuple[int, ...]]()
    counts = np.zeros(256, np.int64)
    tiles: list[NDArray[np.uint8]] = []
    on_sheet = set(np.linspace(0, len(files) - 1, min(SHEET_IMAGES, len(files))).round().astype(int).tolist())
    for index, file in enumerate(files):
        try:
            image = read_image(file.path)
        except ImageError as error:
            failures.append(str(error))
            continue
        result = segmenter.predict(image)
        picture = write_results(result, image, file.name, output)
        images += 1
        if image.shape in sizes:
            latencies_ms.append(result.latency_ms)
        sizes.add(image.shape)
        counts += np.bincount(result.labels.ravel(), minlength=256)
        if index in on_sheet:
            tiles.append(captioned(picture, file.name.name))
        progress(index + 1, len(files))
    sheet = _write_sheet(tiles, output)
    labels = segmenter.label_set
    shares = counts[: labels.num_classes] / max(1, int(counts.sum()))
    named = {n: float(s) for n, s in zip(labels.names, shares, strict=True)}
    median_ms = statistics.median(latencies_ms) if latencies_ms else None
    return PredictionSummary(images, str(output), sheet, len(tiles), str(segmenter), median_ms, named, tuple(failures))


def write_results(result: Segmentation, image: NDArray[np.uint8], name: Path, output: Path) -> NDArray[np.uint8]:
    """Write the three pictures of one result and give the overlay with its legend."""
    picture = with_legend(overlay(image, result.labels, result.label_set), result.labels, result.label_set)
    for folder, pixels in zip(RESULT_FOLDERS, (result.file_ids(), result.colors(), picture), strict=True):
        target = output / folder / name.parent / f"{name.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_png(target, pixels)
    return picture


def _write_sheet(tiles: Sequence[NDArray[np.uint8]], output: Path) -> str | None:
    if not tiles:
        return None
    path = output / "sheet.png"
    write_png(path, contact_sheet(tiles, columns=4, cell_hw=SHEET_CELL_HW))
    return str(path)
