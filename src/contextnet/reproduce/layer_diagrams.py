"""Tables 1–3 drawn: boxes from top to bottom, one for each layer that this project's cn14 has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contextnet.reporting.lettering import LINE, text_width, wrapped, written_around
from contextnet.reporting.markup import Html, element, number
from contextnet.reporting.svg_file import svg_file
from contextnet.reproduce.table import NOTHING, Row, Table

_MARGIN = 16.0
_ARROW, _HEAD = 20.0, 5.0
_GAP = 10.0
_BOX = 32.0
_NOTATION = "Convolutions: kernel/stride, nonlinearity. f: ReLU6; –: none."


def block_diagram(table: Table) -> str | None:
    """Draw Table 1: the layers below each other, each with what goes in and comes out, and the way around them."""
    rows = _own(table, "input", "operator", "output")
    if not rows:
        return None
    center, half, detour = 190.0, 110.0, 350.0
    width = 540.0
    shapes = [_text(rows[0], "input"), *(_text(row, "output") for row in rows)]
    parts: list[Html] = []
    y = _MARGIN
    start = y + LINE / 2
    for shape, row in zip(shapes, rows, strict=False):
        parts += written_around(wrapped(shape, 2 * half, most=1), center, y + LINE / 2, anchor="middle", full=shape)
        y += LINE
        parts += _arrow(center, y + 2, y + _ARROW)
        parts += _box(center, y + _ARROW, 2 * half, _text(row, "operator"))
        y += _ARROW + _BOX
        last = row is rows[-1]
        parts += _arrow(center, y, y + _ARROW)
        y += _ARROW + (0.0 if last else 2.0)
    radius = 11.0
    total = y + radius
    parts += _plus(center, total, radius)
    leave, join = center + text_width(shapes[0]) / 2 + 8, center + radius
    way = f"M{number(leave)} {number(start)}H{number(detour)}V{number(total)}H{number(join + _HEAD)}"
    parts.append(element("path", d=way, class_="flow dashed"))
    parts.append(_head(join, total, -1, 0))
    lines = wrapped("added where input and output have one shape", width - _MARGIN - detour - _GAP)
    parts += written_around(lines, detour + _GAP, (start + total) / 2)
    y = total + radius
    parts += _arrow(center, y, y + _ARROW)
    y += _ARROW + 2
    parts += written_around(
        wrapped(shapes[-1], 2 * half, most=1), center, y + LINE / 2, anchor="middle", full=shapes[-1]
    )
    return _finished(parts, y + LINE, width, table, _NOTATION)


@dataclass(frozen=True)
class _Stage:
    """A row of Table 2; ``size_hw`` is that of its output."""

    operator: str
    size_hw: tuple[int, int]
    channels: int
    told: str


def branch_diagram(table: Table) -> str | None:
    """Draw Table 2: a box for each stage, as wide as its feature maps are many, beside the size that they have."""
    rows = _own(table, "input", "operator", "channels")
    stages = [_stage(row) for row in rows]
    if not stages or None in stages:
        return None
    known = [stage for stage in stages if stage is not None]
    width, most, height = 720.0, 340.0, 26.0
    center = 285.0
    per_map = most / max(stage.channels for stage in known)
    given = _text(rows[0], "input")
    parts = list(written_around(wrapped(given, most, most=1), center, _MARGIN + LINE / 2, anchor="middle", full=given))
    y = _MARGIN + LINE + 2
    size_hw: tuple[int, int] | None = None
    for stage in known:
        parts += _arrow(center, y, y + _ARROW)
        y += _ARROW
        wide = per_map * stage.channels
        fits = text_width(stage.operator) + _GAP <= wide
        parts += _box(center, y, wide, stage.operator if fits else "", height)
        if stage.size_hw != size_hw:
            parts += written_around(["{} × {}".format(*stage.size_hw)], _MARGIN, y + height / 2, "name")
            size_hw = stage.size_hw
        told = stage.told if fits else f"{stage.operator}, {stage.told}"
        x = center + most / 2 + _GAP
        parts += written_around(wrapped(told, width - _MARGIN - x, most=2), x, y + height / 2, full=told)
        y += height
    caption = "Left: height × width from there on. A box is as wide as its feature maps are many. t: expansion."
    return _finished(parts, y, width, table, caption)


def _stage(row: Row) -> _Stage | None:
    """Read a row; None where it has no numbers."""
    channels, stride = row.values.get("channels"), row.values.get("stride", 1)
    sizes = [part.strip() for part in _text(row, "input").split("×")]
    if not isinstance(channels, int) or not isinstance(stride, int) or min(channels, stride) < 1:
        return None
    if len(sizes) != 3 or not all(size.isdecimal() for size in sizes):
        return None
    height, width = (-(-int(size) // stride) for size in sizes[:2])
    expansion, repeats = row.values.get("expansion"), row.values.get("repeats")
    told = [
        f"{channels} maps",
        *([f"t = {expansion}"] if expansion is not None else []),
        *([f"{repeats} times"] if isinstance(repeats, int) and repeats > 1 else []),
        *([f"stride {stride}"] if stride > 1 else []),
    ]
    return _Stage(_text(row, "operator"), (height, width), channels, ", ".join(told))


def fusion_diagram(table: Table) -> str | None:
    """Draw Table 3: the layers of both sides below each other, meeting in the last row's sum."""
    rows = _own(table, "branch_1", "branch_4")
    if not rows:
        return None
    width, half, left, right = 720.0, 108.0, 140.0, 440.0
    headings = {column.key: column.heading for column in table.columns}
    parts: list[Html] = []
    tops = {}
    for key, center in (("branch_1", left), ("branch_4", right)):
        heading = headings.get(key, key)
        lines = wrapped(heading, 2 * half, most=1)
        parts += written_around(lines, center, _MARGIN + LINE / 2, "heading", "middle", heading)
        tops[key] = _MARGIN + LINE + 2
    y = tops["branch_1"]
    for row in rows[:-1]:
        y += _ARROW
        for key, center in (("branch_1", left), ("branch_4", right)):
            if operator := _text(row, key):
                parts += _arrow(center, tops[key], y)
                parts += _box(center, y, 2 * half, operator)
                tops[key] = y + _BOX
        parts += _shape(row, right + half + _GAP, y + _BOX / 2, width)
        y += _BOX
    y += _ARROW
    for key, center in (("branch_1", left), ("branch_4", right)):
        parts += _arrow(center, tops[key], y)
    total = _text(rows[-1], "branch_1") or _text(rows[-1], "branch_4")
    middle = (left + right) / 2
    parts += _box(middle, y, right - left + 2 * half, total, series=2)
    parts += _shape(rows[-1], right + half + _GAP, y + _BOX / 2, width)
    y += _BOX
    parts += _arrow(middle, y, y + _ARROW)
    caption = f"Right: height × width × feature maps of the output. {_NOTATION}"
    return _finished(parts, y + _ARROW, width, table, caption)


def _shape(row: Row, x: float, middle: float, width: float) -> Iterator[Html]:
    shape = _text(row, "output")
    return written_around(wrapped(shape, width - _MARGIN - x, most=2), x, middle, full=shape)


def _own(table: Table, *keys: str) -> list[Row]:
    """Give this project's rows that have a value for one of the keys."""
    return [row for row in table.rows if row.source == "here" and any(_text(row, key) for key in keys)]


def _text(row: Row, key: str) -> str:
    value = row.values.get(key)
    return "" if value is None or value == NOTHING else str(value)


def _box(center: float, top: float, width: float, text: str, height: float = _BOX, series: int = 0) -> Iterator[Html]:
    place: dict[str, Any] = {"x": center - width / 2, "y": top, "width": width, "height": height}
    yield element("rect", **place, rx=5, class_=f"s{series} tint")
    lines = wrapped(text, width - _GAP, most=2)
    yield from written_around(lines, center, top + height / 2, "name", "middle", text)


def _plus(x: float, y: float, radius: float) -> Iterator[Html]:
    yield element("circle", cx=x, cy=y, r=radius, class_="s2 tint")
    yield element("line", x1=x - 5, x2=x + 5, y1=y, y2=y, class_="flow")
    yield element("line", x1=x, x2=x, y1=y - 5, y2=y + 5, class_="flow")


def _arrow(x: float, top: float, bottom: float) -> Sequence[Html]:
    return element("line", x1=x, x2=x, y1=top, y2=bottom - _HEAD, class_="flow"), _head(x, bottom, 0, 1)


def _head(x: float, y: float, right: int, down: int) -> Html:
    """Draw an arrow's head whose point is at (x, y)."""
    back_x, back_y = x - right * 1.6 * _HEAD, y - down * 1.6 * _HEAD
    side_x, side_y = down * 0.8 * _HEAD, right * 0.8 * _HEAD
    points = ((x, y), (back_x + side_x, back_y + side_y), (back_x - side_x, back_y - side_y))
    return element("polygon", points=" ".join(f"{number(px)},{number(py)}" for px, py in points), class_="head")


def _finished(parts: Sequence[Html], y: float, width: float, table: Table, caption: str) -> str:
    lines = wrapped(caption, width - 2 * _MARGIN)
    middle = y + _MARGIN + len(lines) * LINE / 2
    below = written_around(lines, _MARGIN, middle)
    return svg_file([*parts, *below], width, y + 2 * _MARGIN + len(lines) * LINE, table.title)
