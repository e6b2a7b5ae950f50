"""Where the texts of an SVG file stand, by an estimate of 7 pixels a letter and 14 a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class PlacedText:
    text: str
    left: float
    right: float
    foot: float

    def covers(self, other: PlacedText) -> bool:
        return self.left < other.right and other.left < self.right and abs(self.foot - other.foot) < 13


def placed_texts(drawing: ElementTree.Element) -> list[PlacedText]:
    found = []
    for group, dx, dy in _groups(drawing):
        for text in group.findall(f"{SVG}text"):
            words = text.text or ""
            width, x = 7.0 * len(words), float(text.attrib["x"]) + dx
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
            found.append(PlacedText(words, left, left + width, float(text.attrib["y"]) + dy))
    assert len(found) == len(list(drawing.iter(f"{SVG}text"))), "no text is nested deeper"
    return found


def _groups(drawing: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, float, float]]:
    """Give the picture and its groups with how far they are moved."""
    for group in [drawing, *drawing.findall(f"{SVG}g")]:
        moved = re.fullmatch(r"translate\(([\d.]+) ([\d.]+)\)", group.get("transform", "translate(0 0)"))
        assert moved
        yield group, float(moved[1]), float(moved[2])


def _boxes(drawing: ElementTree.Element) -> Iterator[tuple[float, float, float, float]]:
    """Give left, top, right and bottom of what is filled, but for the ground."""
    for group, dx, dy in _groups(drawing):
        for shape in group.findall(f"{SVG}rect"):
            if shape.get("class") != "page":
                x, y = float(shape.attrib["x"]) + dx, float(shape.attrib["y"]) + dy
                yield x, y, x + float(shape.attrib["width"]), y + float(shape.attrib["height"])


def assert_legible(drawing: ElementTree.Element) -> None:
    """Check that no text covers another or leaves the picture, and that no shape leaves it."""
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    assert (drawing.attrib["width"], drawing.attrib["height"]) == (f"{width:g}", f"{height:g}")
    texts = placed_texts(drawing)
    assert texts
    for text in texts:
        assert text.left >= 0, text
        assert text.right <= width, text
        assert text.foot - 10 >= 0, text
        assert text.foot + 4 <= height, text
    for one, other in combinations(texts, 2):
        assert not one.covers(other), (one, other)
    for left, top, right, bottom in _boxes(drawing):
        assert 0 <= left <= right <= width
        assert 0 <= top <= bottom <= height
        for text in texts:
            apart = text.right <= left or text.left >= right or text.foot <= top or text.foot - 9 >= bottom
            within = left <= text.left and text.right <= right and top <= text.foot - 9 and text.foot <= bottom
            assert apart or within, (text, left, top, right, bottom)
    for line in drawing.findall(f"{SVG}line"):
        assert all(0 <= float(line.attrib[key]) <= width for key in ("x1", "x2"))
        assert all(0 <= float(line.attrib[key]) <= height for key in ("y1", "y2"))
