"""Masks as the lengths of their runs, and as the text that COCO makes of them.

A mask is read column by column from its top-left pixel; the lengths of its runs of zeros and of ones follow each other
in turns, zeros first. COCO writes either these numbers as a list or a text: each number from the fourth on as its
difference to the one two before, five bits a character, the lowest first, as LEB128 does. The text is that of
``pycocotools.mask.encode``, character for character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError

_FIRST_CHARACTER = 48
_BITS = 5
_SIGN = 1 << (_BITS - 1)
_CONTINUES = 1 << _BITS
_MAX_CHARACTERS = 7
"""Characters of one number: 34 bits are enough for a difference of two lengths that 32 bits hold."""
_MAX_PIXELS = (1 << 32) - 1
"""Lengths are 32 bits wide in pycocotools."""


@dataclass(frozen=True, eq=False)
class RunLength:
    """A mask of ``size_hw`` pixels by its run lengths ``counts``, int64: zeros, ones, zeros and so on, by columns."""

    size_hw: tuple[int, int]
    counts: NDArray[np.int64]

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> RunLength:
        """Encode a mask, bool (H, W)."""
        size_hw = (mask.shape[0], mask.shape[1])
        # pycocotools holds masks as uint8; as an index they would not select.
        values, borders = _runs(mask.astype(np.bool_, copy=False))
        return cls(size_hw, _counts(borders[:-1][values], borders[1:][values], mask.size))

    def to_mask(self) -> NDArray[np.bool_]:
        """Decode to a mask, bool (H, W)."""
        height, width = self.size_hw
        is_set = np.arange(len(self.counts)) % 2 == 1
        return np.ascontiguousarray(np.repeat(is_set, self.counts).reshape(width, height).T)

    @property
    def area_px(self) -> int:
        """Number of pixels that are set."""
        return int(self.counts[1::2].sum())

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels of the smallest box around the set pixels; all zero without any."""
        set_counts = self.counts[1::2]
        ends = np.cumsum(self.counts)[1::2][set_counts > 0]
        if not ends.size:
            return 0, 0, 0, 0
        height = self.size_hw[0]
        first_x, first_y = np.divmod(ends - set_counts[set_counts > 0], height)
        last_x, last_y = np.divmod(ends - 1, height)
        left, right = int(first_x[0]), int(last_x[-1])
        # A run that goes on in the next column touches the bottom of its own and the top of that one.
        spans = bool((first_x != last_x).any())
        top, bottom = (0, height - 1) if spans else (int(first_y.min()), int(last_y.max()))
        return left, top, right - left + 1, bottom - top + 1

    def to_coco(self) -> dict[str, Any]:
        """Give COCO's compressed form, ``{"size": [H, W], "counts": text}``."""
        return {"size": list(self.size_hw), "counts": _to_text(self.counts)}

    @classmethod
    def from_coco(cls, values: Mapping[str, Any], source: str = "run lengths") -> RunLength:
        """Read COCO's form, ``counts`` being its text (str or bytes) or the list of lengths.

        Raises ``DataError`` that begins with ``source`` when a field is missing or of another kind, the text is cut
        off or holds a foreign character, or the lengths do not sum up to the size.
        """
        height, width = _size(values.get("size"), source)
        counts = _lengths(values.get("counts"), source)
        if counts.min(initial=0) < 0:
            raise DataError.at(source, f"'counts' holds the length {counts.min()}", "lengths are 0 or more")
        if int(counts.sum()) != height * width:
            found = f"the lengths sum up to {counts.sum()} pixels and the size is {height}×{width} (height × width)"
            raise DataError.at(source, found, "give the size of the mask that was encoded")
        return cls((height, width), counts)


def class_run_lengths(labels_HW: NDArray[np.uint8]) -> dict[int, RunLength]:
    """Encode the mask of every label that occurs in uint8 (H, W), all in one pass, keyed by label in rising order."""
    size_hw = (labels_HW.shape[0], labels_HW.shape[1])
    values, borders = _runs(labels_HW)
    encoded = {}
    for label in np.unique(values).tolist():
        runs = np.flatnonzero(values == label)
        encoded[label] = RunLength(size_hw, _counts(borders[runs], borders[runs + 1], labels_HW.size))
    return encoded


def _runs(image_HW: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the value of every run by columns, (K,), and the borders between them with both ends, (K + 1,)."""
    by_columns = image_HW.T.ravel()
    inner = np.flatnonzero(by_columns[1:] != by_columns[:-1]) + 1
    borders = np.concatenate([[0], inner, [by_columns.size]]).astype(np.int64, copy=False)
    return by_columns[borders[:-1]], borders


def _counts(starts: NDArray[np.int64], ends: NDArray[np.int64], pixels: int) -> NDArray[np.int64]:
    """Give the lengths in turns for runs of ones; zeros at the end are left out where there are none."""
    turns = np.stack([starts, ends], axis=1).ravel()
    if not turns.size or turns[-1] != pixels:
        turns = np.append(turns, pixels)
    return np.diff(turns, prepend=0)


def _to_text(counts: NDArray[np.int64]) -> str:
    values = counts.copy()
    values[3:] -= counts[1:-2]
    lengths = np.ones(len(values), np.int64)
    for characters in range(1, _MAX_CHARACTERS):
        # So many characters hold values of -limit to limit - 1.
        limit = 1 << (_BITS * characters - 1)
        lengths += (values < -limit) | (values >= limit)
    starts = np.cumsum(lengths) - lengths
    text = np.empty(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max(initial=0))):
        written = lengths > place
        bits = (values[written] >> (_BITS * place)) & (_CONTINUES - 1)
        bits += np.where(lengths[written] > place + 1, _CONTINUES, 0)
        text[starts[written] + place] = bits + _FIRST_CHARACTER
    return text.tobytes().decode("ascii")


def _from_text(text: bytes, source: str) -> NDArray[np.int64]:
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    foreign = np.flatnonzero((characters < 0) | (characters >= 2 * _CONTINUES))
    if foreign.size:
        found = f"'counts' holds the byte {text[foreign[0]]} at {foreign[0]}"
        raise DataError.at(source, found, "COCO's text holds the characters '0' to 'o'")
    ends = np.flatnonzero(characters < _CONTINUES)
    if characters.size and (not ends.size or ends[-1] != characters.size - 1):
        raise DataError.at(source, "'counts' ends in the middle of a number", "the text was cut off; copy it again")
    lengths = np.diff(ends, prepend=-1)
    if lengths.max(initial=0) > _MAX_CHARACTERS:
        found = f"'counts' holds a number of {lengths.max()} characters"
        raise DataError.at(source, found, f"a length has at most {_MAX_CHARACTERS}")
    places = np.arange(characters.size) - np.repeat(ends - lengths + 1, lengths)
    parts = (characters & (_CONTINUES - 1)) << (_BITS * places)
    values = np.add.reduceat(parts, ends - lengths + 1) if ends.size else parts
    values -= np.where(characters[ends] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    # Every second number from the second, and from the third, on is a difference to the one before it.
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def _size(size: object, source: str) -> tuple[int, int]:
    match size:
        case [height, width] if _is_count(height) and _is_count(width) and height * width <= _MAX_PIXELS:
            return height, width
    raise DataError.at(source, f"'size' is {size!r}", f"give [height, width] of at most {_MAX_PIXELS} pixels")


def _lengths(counts: object, source: str) -> NDArray[np.int64]:
    if isinstance(counts, bytes):
        return _from_text(counts, source)
    if isinstance(counts, str):
        return _from_text(counts.encode(), source)
    if not isinstance(counts, Sequence) or not all(_is_count(count) for count in counts):
        raise DataError.at(source, "'counts' is neither a text nor a list of lengths", "give what COCO's tools write")
    return np.array(counts, np.int64)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_PIXELS
