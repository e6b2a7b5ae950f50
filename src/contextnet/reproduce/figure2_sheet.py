"""A sheet of pictures in rows, each row with its caption at the left, as Figure 2 is laid out.

Pictures are uint8 (H, W, 3) RGB, labels uint8 (H, W) train ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contextnet.runtime.drawing import Picture

MAX_CELL_SIDE = 512
"""A picture is shown at most this wide and this high, in pixels; smaller ones are not enlarged."""

GAP = 6
"""Pixels between two cells, and around all of them."""

_PAPER = (250, 250, 250)
_INK = (25, 25, 25)


@dataclass(frozen=True, eq=False)
class SheetRow:
    """One row: what is written at its left, and a picture for each column, None where a cell stays empty."""

    caption: str
    pictures: tuple[Picture | None, ...]


def shrunk_image(image: Picture) -> Picture:
    """Shrink an image to the size in which a cell shows it; each pixel is the mean of those it stands for."""
    return np.asarray(Image.fromarray(image).resize(_shown_size(image), Image.Resampling.BOX))


def shrunk_labels(labels_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink labels as ``shrunk_image`` does their image; each pixel keeps a class that was there."""
    return np.asarray(Image.fromarray(labels_HW).resize(_shown_size(labels_HW), Image.Resampling.NEAREST))


def captioned_rows(rows: Sequence[SheetRow]) -> Picture:
    """Lay out rows of as many pictures each, none larger than ``MAX_CELL_SIDE``: uint8 (H, W, 3) RGB.

    Every cell has the size of the largest picture, and a picture stands in its cell's middle as it is. From the top
    and from the right, cells and gaps alternate, beginning with a gap; the captions have what is left of that.
    """
    cell_height, cell_width = _cell_size(rows)
    font_size = max(11, min(24, cell_width // 20))
    font = ImageFont.load_default(font_size)
    cell_height = max(cell_height, 2 * font_size)
    caption_width = math.ceil(max(font.getlength(row.caption) for row in rows)) + 2 * GAP
    columns = len(rows[0].pictures)
    size = (caption_width + columns * (cell_width + GAP) + GAP, len(rows) * (cell_height + GAP) + GAP)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        top = GAP + index * (cell_height + GAP)
        draw.text((2 * GAP, top + cell_height / 2), row.caption, fill=_INK, font=font, anchor="lm")
        for column, picture in enumerate(row.pictures):
            if picture is not None:
                below, right = (cell_height - picture.shape[0]) // 2, (cell_width - picture.shape[1]) // 2
                left = caption_width + GAP + column * (cell_width + GAP)
                sheet.paste(Image.fromarray(picture), (left + right, top + below))
    return np.asarray(sheet)


def _cell_size(rows: Sequence[SheetRow]) -> tuple[int, int]:
    shapes = [picture.shape for row in rows for picture in row.pictures if picture is not None]
    return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def _shown_size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Give the size in a cell as Pillow takes it: width, height."""
    height, width = pixels.shape[:2]
    scale = min(1.0, MAX_CELL_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))
