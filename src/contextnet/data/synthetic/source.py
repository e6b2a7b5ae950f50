"""Synthetic streets in words, as in a recipe or a command: ``HEIGHTxWIDTH[,drives=N][,frames=N][,fps=F][,varied]``."""

from __future__ import annotations

import re

from contextnet.data.synthetic.dataset import FIRST_SEED, SyntheticStreets, drives_for
from contextnet.errors import DataError

DRIVES: dict[str, int] = {"train": 80, "val": 6, "demo": 6}
FRAMES = 6
FRAMES_PER_S = 1.0

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_WHOLE = re.compile(r"\d{1,9}")
_FRACTION = re.compile(r"\d{1,9}(\.\d{1,9})?")


def synthetic_splits(text: str) -> tuple[str, ...]:
    """Name the splits that there are, the same whatever ``text`` describes; ``open_synthetic`` judges the text."""
    return tuple(FIRST_SEED)


def open_synthetic(text: str, split: str) -> SyntheticStreets:
    """Open streets of a split as ``text`` describes them, as in ``512x1024,drives=80,frames=6,fps=1``.

    Left out, there are 80 drives to train on and 6 for val or demo, 6 frames each, one a second, so that a street is
    seen from places several metres apart. The streets are busy, or with the word ``varied`` each of its own character.
    Raises ``DataError`` naming the part that is wrong.
    """
    size, *parts = text.split(",")
    match = _SIZE.fullmatch(size)
    if not match:
        raise DataError(f"synthetic streets '{text}': expected HEIGHTxWIDTH first, as in synthetic:512x1024")
    varied = False
    counts, frames_per_s = {"drives": DRIVES.get(split, 1), "frames": FRAMES}, FRAMES_PER_S
    for part in parts:
        if part == "varied":
            varied = True
            continue
        key, _, number = part.partition("=")
        if key in counts and _WHOLE.fullmatch(number):
            counts[key] = int(number)
        elif key == "fps" and _FRACTION.fullmatch(number):
            frames_per_s = float(number)
        else:
            raise DataError(
                f"synthetic streets '{text}': '{part}' is none of drives=N, frames=N, fps=F, varied; "
                "N is a whole number, F may have a fraction"
            )
    size_hw = (int(match[1]), int(match[2]))
    drives = drives_for(split, counts["drives"], size_hw, counts["frames"], frames_per_s, varied)
    return SyntheticStreets(drives, split=split)
