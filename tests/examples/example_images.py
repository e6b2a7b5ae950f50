"""Small pictures for the examples to work on."""

from __future__ import annotations

from pathlib import Path

from contextnet.images import write_png
from lively_networks import patches

SIZE_HW = (64, 96)


def image_folder(folder: Path, number: int = 4) -> Path:
    """Write so many pictures of differently coloured patches, named by their numbers, into a new folder."""
    folder.mkdir()
    for index in range(number):
        write_png(folder / f"{index}.png", patches(SIZE_HW, index))
    return folder
