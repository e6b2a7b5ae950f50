"""Synthetic streets by the words of a recipe or a command line: ``HEIGHTxWIDTH[,drives=N][,frames=N][,fps=F]``."""

from __future__ import annotations

import re

from contextnet.data.synthetic.dataset import SyntheticStreets, drives_for
from contextnet.errors import DataError

DRIVES: dict[str, int] = {"train": 80, "val": 6, "demo": 6}
FRAMES = 6
FRAMES_PER_S = 1.0

_NUMBER = re.compile(r"\d+(\.\d+)?")


def open_synthetic(text: str, split: str) -> SyntheticStreets:
    """Open streets of a split as ``text`` describes them, as in ``512x1024,drives=80,frames=6,fps=1``.

    Left out, there are 80 drives to train on and 6 for val or demo, 6 frames each, one a second, so that a street is
    seen from places several metres apart. Raises ``DataError`` naming the part that is wrong.
    """
    size, *parts = text.split(",")
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if not match:
        raise DataError(f"synthetic streets '{text}': expected HEIGHTxWIDTH first, as in synthetic:512x1024")
    values = {"drives": float(DRIVES.get(split, 1)), "frames": float(FRAMES), "fps": FRAMES_PER_S}
    for part in parts:
        key, _, number = part.partition("=")
        if key not in values or not _NUMBER.fullmatch(number):
            raise DataError(f"synthetic streets '{text}': '{part}' is none of drives=N, frames=N, fps=F")
        values[key] = float(number)
    size_hw = (int(match[1]), int(match[2]))
    drives = drives_for(split, int(values["drives"]), size_hw, int(values["frames"]), values["fps"])
    return SyntheticStreets(drives, split=split)
