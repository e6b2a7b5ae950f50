"""Pictures of results: label colours over the image, a legend below it, several pictures on one sheet.

Images are uint8 (H, W, 3) RGB, labels uint8 (H, W) train ids.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contextnet.labels import IGNORE_INDEX, LabelSet

Picture = NDArray[np.uint8]

_PAPER = (250, 250, 250)
_INK = (25, 25, 25)


def overlay(image: Picture, labels: NDArray[np.uint8], label_set: LabelSet, opacity: float = 0.5) -> Picture:
    """Mix the class colours over the image with ``opacity`` 0..1, boundaries between classes drawn in white.

    Void pixels show the image as it is. Raises ``ValueError`` when image and labels differ in size.
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(f"the image is {image.shape[:2]} and the labels are {labels.shape}; they must be equal")
    share = np.where(labels == IGNORE_INDEX, 0.0, opacity).astype(np.float32)[..., None]
    mixed = image * (1 - share) + label_set.colorize(labels) * share
    mixed[_boundaries(labels)] = 255
    return np.rint(mixed).astype(np.uint8)


def _boundaries(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark pixels whose right or lower neighbour has another label."""
    edges = np.zeros(labels.shape, np.bool_)
    edges[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edges[:-1] |= labels[:-1] != labels[1:]
    return edges


def with_legend(picture: Picture, labels: NDArray[np.uint8], label_set: LabelSet) -> Picture:
    """Put a legend of the classes that occur in ``labels`` below a picture, as wide as the picture."""
    present = [i for i in np.unique(labels).tolist() if i < label_set.num_classes]
    width = picture.shape[1]
    size = max(10, min(28, width // 50))
    font = ImageFont.load_default(size)
    cells = _legend_cells([label_set.names[i] for i in present], font, width, size)
    line_height = round(size * 1.6)
    lines = 1 + max((line for line, _ in cells), default=0)
    strip = Image.new("RGB", (width, lines * line_height + size // 2), _PAPER)
    draw = ImageDraw.Draw(strip)
    for train_id, (line, x) in zip(present, cells, strict=True):
        y = line * line_height + size // 3
        draw.rectangle((x, y, x + size, y + size), fill=label_set.classes[train_id].color, outline=_INK)
        draw.text((x + round(size * 1.4), y - 1), label_set.names[train_id], fill=_INK, font=font)
    return np.concatenate([picture, np.asarray(strip)])


def _legend_cells(
    names: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, size: int
) -> list[tuple[int, int]]:
    """Place each name: its line and the x where its colour box begins."""
    cells = []
    line, x = 0, size // 2
    for name in names:
        needed = round(size * 1.4 + font.getlength(name) + size)
        if x + needed > width and x > size:
            line, x = line + 1, size // 2
        cells.append((line, x))
        x += needed
    return cells


def captioned(picture: Picture, text: str) -> Picture:
    """Put one line of text above a picture."""
    size = max(11, min(30, picture.shape[1] // 40))
    strip = Image.new("RGB", (picture.shape[1], round(size * 1.7)), _PAPER)
    ImageDraw.Draw(strip).text((size // 2, size // 5), text, fill=_INK, font=ImageFont.load_default(size))
    return np.concatenate([np.asarray(strip), picture])


def contact_sheet(pictures: Sequence[Picture], columns: int, cell_hw: tuple[int, int], gap: int = 6) -> Picture:
    """Arrange pictures in rows of ``columns``, each fitted into a cell of ``cell_hw`` without changing its shape."""
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = cell_hw
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), _PAPER)
    for index, picture in enumerate(pictures):
        tile = Image.fromarray(picture)
        scale = min(width / tile.width, height / tile.height)
        tile = tile.resize(
            (max(1, round(tile.width * scale)), max(1, round(tile.height * scale))), Image.Resampling.BOX
        )
        left = gap + (index % columns) * (width + gap) + (width - tile.width) // 2
        top = gap + (index // columns) * (height + gap) + (height - tile.height) // 2
        sheet.paste(tile, (left, top))
    return np.asarray(sheet)
