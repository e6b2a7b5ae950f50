"""What the masks of a data set hold, counted without knowing any class: ids, palettes, colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.mask_colors import as_color, count_colors, pack_color, pack_colors
from contextnet.errors import DataError
from contextnet.images import read_image, read_mask
from contextnet.labels import Color

MAX_COUNTED_COLORS = 4096


@dataclass(frozen=True)
class MaskCensus:
    """The values of many masks with their pixel counts.

    ``kinds`` counts masks stored as gray, palette or rgb. ``id_counts`` are int64 (256,): grey values and palette
    indices. ``palette`` gives the colour of each palette index that occurs, and is None where two masks disagree.
    ``color_counts`` has the pixels of every colour by its 24 bits (see ``pack_color``), grey value v as (v, v, v);
    beyond ``MAX_COUNTED_COLORS`` no new colour is taken in and ``too_many_colors`` names the mask that brought it.
    ``unreadable`` names the masks that were left out and why.
    """

    kinds: dict[str, int]
    id_counts: NDArray[np.int64]
    palette: dict[int, Color] | None
    color_counts: dict[int, int]
    too_many_colors: Path | None
    unreadable: tuple[str, ...]

    @property
    def masks(self) -> int:
        """Number of masks that were read."""
        return sum(self.kinds.values())

    @property
    def pixels(self) -> int:
        """Number of pixels that were counted."""
        return sum(self.color_counts.values())

    @property
    def needs_colors(self) -> bool:
        """Whether only the colours tell the classes: RGB masks, or palettes whose indices mean different things."""
        return "rgb" in self.kinds or self.palette is None


def count_masks(paths: Sequence[Path], progress: Callable[[int, int], None] | None = None) -> MaskCensus:
    """Count the values of every mask; one that cannot be read is named and left out.

    ``progress`` is called with the masks done and their total after each one.
    """
    counter = _Counter()
    for number, path in enumerate(paths, 1):
        try:
            counter.add(path)
        except DataError as error:
            counter.unreadable.append(str(error))
        if progress is not None:
            progress(number, len(paths))
    return counter.census()


class _Counter:
    """Adds up masks one by one."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.id_counts = np.zeros(256, np.int64)
        self.palette: dict[int, Color] = {}
        self.palettes_agree = True
        self.color_counts: dict[int, int] = {}
        self.too_many_colors: Path | None = None
        self.unreadable: list[str] = []

    def add(self, path: Path) -> None:
        """Count one mask. Raises ``DataError`` naming it when it cannot be read."""
        mask = read_mask(path)
        match mask.kind:
            case "rgb":
                self._add_colors(count_colors(pack_colors(mask.values)), path)
            case "palette":
                # Decoded a second time for its colours: the index alone does not say what it means.
                self._add_palette(mask.values, read_image(path), path)
            case "gray":
                counts = np.bincount(mask.values.ravel(), minlength=256)
                self.id_counts += counts
                grey = {pack_color((v, v, v)): int(counts[v]) for v in np.flatnonzero(counts).tolist()}
                self._add_colors(grey, path)
        self.kinds[mask.kind] += 1

    def census(self) -> MaskCensus:
        """Give what was counted."""
        palette = self.palette if self.palettes_agree else None
        return MaskCensus(
            dict(sorted(self.kinds.items())),
            self.id_counts,
            palette,
            self.color_counts,
            self.too_many_colors,
            tuple(self.unreadable),
        )

    def _add_palette(self, indices: NDArray[np.uint8], rgb: NDArray[np.uint8], path: Path) -> None:
        ids, first = np.unique(indices, return_index=True)
        counts = np.bincount(indices.ravel(), minlength=256)
        colors: Counter[int] = Counter()
        for index, place in zip(ids.tolist(), first.tolist(), strict=True):
            color = as_color(rgb.reshape(-1, 3)[place])
            self.palettes_agree &= self.palette.setdefault(index, color) == color
            colors[pack_color(color)] += int(counts[index])
        self.id_counts += counts
        self._add_colors(colors, path)

    def _add_colors(self, counts: dict[int, int], path: Path) -> None:
        for color, pixels in counts.items():
            if color in self.color_counts:
                self.color_counts[color] += pixels
            elif len(self.color_counts) < MAX_COUNTED_COLORS:
                self.color_counts[color] = pixels
            else:
                self.too_many_colors = self.too_many_colors or path
