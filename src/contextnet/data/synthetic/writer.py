"""Drives on disk, in the layout of Cityscapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.drive import Drive, StreetFrame
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.labels import CITYSCAPES

DEPTH_UNITS_PER_M = 100
MAX_UINT16 = 65535

_FOLDERS = ("leftImg8bit", "gtFine", "depth")


def write_drives(
    root: Path, split: str, drives: Sequence[Drive], progress: Callable[[int, int], None] | None = None
) -> int:
    """Write every frame of ``drives`` below ``root`` as Cityscapes lays out a split; returns the number of frames.

    A drive is a city (``synthetic<seed>``) of one sequence. Written are ``leftImg8bit``, ``gtFine`` (labelIds,
    16-bit instanceIds, color) and ``depth``: 16-bit PNG in centimetres, at most 655.35 m, 0 where there is none (the
    sky). ``progress`` hears frames done and frames in all. Raises ``DataError`` when the split already holds files, two
    drives have one seed, or a folder cannot be made, and ``ContextNetError`` when a file cannot be written.
    """
    _refuse_old_files(root, split)
    seeds = [drive.seed for drive in drives]
    if len(set(seeds)) < len(seeds):
        raise DataError(f"{root}: two drives of split '{split}' have the same seed; each seed is a folder of its own")
    total, done = sum(len(drive) for drive in drives), 0
    for drive in drives:
        for frame in drive:
            _write_frame(root, split, f"synthetic{drive.seed}", frame)
            done += 1
            if progress is not None:
                progress(done, total)
        drive.release()
    return done


def _write_frame(root: Path, split: str, city: str, frame: StreetFrame) -> None:
    stem = f"{city}_000000_{frame.index:06d}"
    colors = CITYSCAPES.colorize(CITYSCAPES.encode(frame.label_ids))
    pictures: tuple[tuple[str, str, NDArray[np.uint8] | NDArray[np.uint16]], ...] = (
        ("leftImg8bit", "leftImg8bit", frame.image),
        ("gtFine", "gtFine_labelIds", frame.label_ids),
        ("gtFine", "gtFine_instanceIds", frame.instance_ids.astype(np.uint16)),
        ("gtFine", "gtFine_color", colors),
        ("depth", "depth", depth_units(frame.depth_m)),
    )
    for folder, ending, pixels in pictures:
        path = root / folder / split / city / f"{stem}_{ending}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = f"cannot be made: {error.strerror or error}"
            raise DataError.at(error.filename or path.parent, found, "choose another folder") from None
        write_png(path, pixels, compress_level=1)


def _refuse_old_files(root: Path, split: str) -> None:
    """Two sizes or lengths of drives in one split would be read as one data set."""
    for name in _FOLDERS:
        folder = root / name / split
        found = next(folder.iterdir(), None) if folder.is_dir() else None
        if found is not None:
            raise DataError.at(folder, f"already holds {found.name}", "remove the split or name another folder")


def depth_units(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Metres (float32, inf for none) as uint16 centimetres, at least 1 where there is a surface, 0 where none."""
    known = np.isfinite(depth_m)
    units = np.clip(np.rint(np.where(known, depth_m, 0) * DEPTH_UNITS_PER_M), 1, MAX_UINT16)
    return np.where(known, units, 0).astype(np.uint16)
