"""Colour-coded masks: which colours mean which class, and the way from an RGB mask to train ids.

Colours are packed to 24 bits (red × 65536 + green × 256 + blue) and looked up in a table of all 16.8 M colours, which
is built when the first mask is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX, MAX_CLASSES, Color

UNKNOWN_COLOR = 254
"""What ``MaskColors.look_up`` gives for a colour that stands nowhere; train ids end at 253."""

_ALL_COLORS = 1 << 24
_SHOWN_COLORS = 8


@dataclass(frozen=True)
class MaskColors:
    """The mask colours of every class, in train-id order, and those that mean void; RGB, 0..255.

    Raises ``DataError`` when a colour is claimed twice, lies outside 0..255, or a class has none.
    """

    by_class: tuple[tuple[Color, ...], ...]
    void: tuple[Color, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.by_class) <= MAX_CLASSES:
            raise DataError(f"mask colours of {len(self.by_class)} classes given; 1 to {MAX_CLASSES} are possible")
        if not all(self.by_class):
            raise DataError(f"class {self.by_class.index(())} has no mask colour; give it at least one")
        seen: set[Color] = set()
        for color in (*(c for colors in self.by_class for c in colors), *self.void):
            if not all(0 <= part <= 255 for part in color):
                raise DataError(f"mask colour {list(color)}: red, green and blue are 0 to 255 each")
            if color in seen:
                raise DataError(f"mask colour {list(color)} stands twice; it can mean one class or void")
            seen.add(color)

    @cached_property
    def _table(self) -> NDArray[np.uint8]:
        table = np.full(_ALL_COLORS, UNKNOWN_COLOR, np.uint8)
        for color in self.void:
            table[pack_color(color)] = IGNORE_INDEX
        for train_id, colors in enumerate(self.by_class):
            for color in colors:
                table[pack_color(color)] = train_id
        return table

    def look_up(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn an RGB mask (uint8, H × W × 3) into train ids (uint8, H × W): 255 for void, 254 for unknown colours."""
        train_ids: NDArray[np.uint8] = self._table[pack_colors(mask)]
        return train_ids

    def unknown_text(self, mask: NDArray[np.uint8], train_ids: NDArray[np.uint8]) -> str:
        """Say which colours of ``mask`` stand nowhere, most frequent first, where ``look_up`` gave ``train_ids``."""
        counts = count_colors(pack_colors(mask)[train_ids == UNKNOWN_COLOR])
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{list(unpack_color(c))} ({n} pixels)" for c, n in ordered[:_SHOWN_COLORS])
        more = f" and {len(ordered) - _SHOWN_COLORS} more" if len(ordered) > _SHOWN_COLORS else ""
        return f"holds colours outside the label set: {shown}{more}"


def pack_color(color: Color) -> int:
    """Pack one RGB colour to 24 bits."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack_color(packed: int) -> Color:
    """Give the RGB colour that 24 bits pack."""
    return packed >> 16, packed >> 8 & 255, packed & 255


def pack_colors(image: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pack RGB (uint8, ... × 3) to 24 bits (uint32, ...)."""
    packed = image[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= image[..., channel]
    return packed


def count_colors(packed: NDArray[np.uint32]) -> dict[int, int]:
    """Count the pixels of every packed colour (uint32, any shape).

    Masks are made of areas, so runs of one colour are counted first and only their starts are sorted.
    """
    flat = packed.ravel()
    if flat.size == 0:
        return {}
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(starts, append=flat.size)
    colors, places = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(places, weights=lengths)
    return dict(zip(colors.tolist(), pixels.astype(np.int64).tolist(), strict=True))


def as_color(parts: Iterable[int]) -> Color:
    """Give three numbers as a colour."""
    red, green, blue = parts
    return int(red), int(green), int(blue)
