"""Horizontal bars as one SVG file: rows of one or more series, in one panel or several beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from contextnet.reporting.axes import Scale, log_ticks, round_ticks, tick_label
from contextnet.reporting.lettering import FOOT, LINE, text_width, wrapped, written_around, written_lines
from contextnet.reporting.markup import Html, element, join
from contextnet.reporting.style import series_class
from contextnet.reporting.svg_file import svg_file

NOTHING = "–"
"""What stands for a value that is not there."""

WIDE_SPAN = 50.0
"""An axis that may be logarithmic is so where the largest value is more than this many times the smallest."""

_WIDTH, _MARGIN, _BETWEEN = 860.0, 16.0, 30.0
_BAR, _PITCH, _ROW_GAP = 12.0, 15.0, 9.0
_LABEL_SHARE = 0.38
"""The part of a panel's width that its rows' labels have at most."""
_GAP = 6.0
_MOST_TICKS = 6


@dataclass(frozen=True)
class BarAxis:
    """What a panel's bars measure: ``title`` with its unit, the ``decimals`` of the values at the bars' ends.

    ``log`` allows a logarithmic axis where the values span a lot; a linear one begins at 0 and goes to ``reach`` at
    least, so that panels can have the same.
    """

    title: str
    decimals: int = 1
    log: bool = False
    reach: float = 0.0


@dataclass(frozen=True)
class BarRow:
    """A label and a bar for each of the first series; None where there is no value."""

    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class BarPanel:
    """Rows on one axis, below a heading if there is one.

    Raises ``ValueError`` for a value that is negative or not finite.
    """

    axis: BarAxis
    rows: tuple[BarRow, ...]
    heading: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            for value in row.values:
                if value is not None and not 0 <= value < math.inf:
                    raise ValueError(f"'{row.label}': a bar cannot have the length {value}")

    @property
    def values(self) -> tuple[float, ...]:
        """The values that are there, of all rows."""
        return tuple(value for row in self.rows for value in row.values if value is not None)


@dataclass(frozen=True)
class _Ruler:
    """Where values lie on a panel's axis, and the ticks that are written below it."""

    scale: Scale
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        return self.scale.at(value)

    @property
    def is_legible(self) -> bool:
        spans = [(self.at(tick), text_width(tick_label(tick)) / 2 + _GAP / 2) for tick in self.ticks]
        return all(x + half <= after - next_half for (x, half), (after, next_half) in pairwise(spans))


def bars_svg(panels: Sequence[BarPanel], series: Sequence[str], label: str, caption: str = "") -> str:
    """Draw panels, two in a line, with the legend of ``series`` above them if there are several, ``caption`` below.

    Rows give the values of the first series, or of all. Texts that have too little room are broken and cut; ``label``
    says what is to be seen to those who do not see it.
    """
    inner = _WIDTH - 2 * _MARGIN
    width = inner if len(panels) == 1 else (inner - _BETWEEN) / 2
    parts, y = _legend(series, inner) if len(series) > 1 else ([], _MARGIN)
    for first in range(0, len(panels), 2):
        line = panels[first : first + 2]
        tallest, bars = 0.0, max((len(row.values) for panel in line for row in panel.rows), default=0)
        for column, panel in enumerate(line):
            drawn, height = _panel(panel, series, width, bars)
            x = _MARGIN + column * (width + _BETWEEN)
            parts.append(element("g", drawn, transform=f"translate({x:g} {y:g})"))
            tallest = max(tallest, height)
        y += tallest + _MARGIN
    lines = wrapped(caption, inner, most=8)
    parts += written_lines(lines, _MARGIN, y + LINE - FOOT, full=caption)
    return svg_file(parts, _WIDTH, y + (len(lines) * LINE + _MARGIN if lines else 0.0), label)


def _legend(series: Sequence[str], width: float) -> tuple[list[Html], float]:
    """Write the series' names behind their colours, on as many lines as they take; also give where they end."""
    parts: list[Html] = []
    x, y = _MARGIN, _MARGIN
    for index, name in enumerate(series):
        lines = wrapped(name, width - _BAR - _GAP, most=1)
        needed = _BAR + _GAP + sum(map(text_width, lines))
        if x > _MARGIN and x + needed > _MARGIN + width:
            x, y = _MARGIN, y + LINE + _GAP
        parts.append(element("rect", x=x, y=y, width=_BAR, height=_BAR, rx=3, class_=series_class(index)))
        parts += written_around(lines, x + _BAR + _GAP, y + _BAR / 2, full=name)
        x += needed + 3 * _GAP
    return parts, y + _BAR + _MARGIN


def _panel(panel: BarPanel, series: Sequence[str], width: float, bars: int) -> tuple[Html, float]:
    """Draw one panel from the origin on, each row with room for ``bars`` of them; also give its height."""
    heading = wrapped(panel.heading, 0.9 * width, most=2)  # its letters are bold
    parts = list(written_lines(heading, 0, LINE - FOOT, "heading", full=panel.heading))
    top = len(heading) * LINE + (_GAP if heading else 0.0)
    names = [wrapped(row.label, _LABEL_SHARE * width) for row in panel.rows]
    left = max((text_width(line) for lines in names for line in lines), default=0.0) + 1.5 * _GAP
    texts = [_written(value, panel.axis) for row in panel.rows for value in row.values]
    ruler = _ruler(panel, left, width - max(map(text_width, texts), default=0.0) - 1.5 * _GAP)
    heights = [max(bars * _PITCH, len(lines) * LINE) + _ROW_GAP for lines in names]
    bottom = top + sum(heights)
    axis, end = _axis(panel.axis, ruler, top, bottom, width)
    parts.append(axis)
    y = top
    for row, lines, height in zip(panel.rows, names, heights, strict=True):
        middle = y + height / 2
        parts += written_around(lines, left - 1.5 * _GAP, middle, "name", "end", row.label)
        parts += _bars(row, series, panel.axis, ruler, middle)
        y += height
    parts.append(element("line", x1=left, x2=left, y1=top, y2=bottom, class_="base"))
    return join(parts), end


def _bars(row: BarRow, series: Sequence[str], axis: BarAxis, ruler: _Ruler, middle: float) -> Iterator[Html]:
    start = ruler.scale.start
    for index, value in enumerate(row.values):
        center = middle + (index - (len(row.values) - 1) / 2) * _PITCH
        text = _written(value, axis)
        told = "no value" if value is None else f"{text} ({axis.title})"
        tip = element("title", f"{row.label}, {series[index]}: {told}")
        end = start
        if value is not None:
            end = ruler.at(value)
            place = {"x": start, "y": center - _BAR / 2, "width": end - start, "height": _BAR}
            yield element("rect", tip, **place, class_=f"bar {series_class(index)}")
        yield element("text", text, tip, x=end + _GAP, y=center + FOOT, class_="value")


def _axis(axis: BarAxis, ruler: _Ruler, top: float, bottom: float, width: float) -> tuple[Html, float]:
    """Draw ticks and title; also give where they end."""
    parts: list[Html] = []
    for tick in ruler.ticks:
        x = ruler.at(tick)
        parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="gridline"))
        parts.append(element("text", tick_label(tick), x=x, y=bottom + LINE, text_anchor="middle"))
    middle = (ruler.scale.start + ruler.scale.end) / 2
    title = axis.title + (", logarithmic" if ruler.scale.log else "")
    lines = wrapped(title, 2 * min(middle, width - middle))
    parts += written_lines(lines, middle, bottom + 2 * LINE + FOOT, anchor="middle", full=title)
    return join(parts), bottom + LINE + 2 * FOOT + len(lines) * LINE


def _ruler(panel: BarPanel, start: float, end: float) -> _Ruler:
    """Lay out a panel's axis: as many round ticks as can be read."""
    values = panel.values
    if panel.axis.log and values and min(values) > 0 and max(values) > WIDE_SPAN * min(values):
        return _log_ruler(min(values), max(values), start, end)
    high = max(panel.axis.reach, *values, 0.0)
    rulers = []
    for count in range(_MOST_TICKS, 0, -1):
        ticks = round_ticks(0.0, high, count)
        rulers.append(_Ruler(Scale(0.0, ticks[-1], start, end), ticks))
    return next((ruler for ruler in rulers if ruler.is_legible), rulers[-1])


def _log_ruler(low: float, high: float, start: float, end: float) -> _Ruler:
    """Begin at the round number below the smallest value, so that its bar has a length too."""
    steps = log_ticks(low / 10, high * 10)
    first = max(step for step in steps if step < low)
    last = min(step for step in steps if step >= high)
    ticks = log_ticks(first, last)
    tens = [tick for tick in ticks if math.log10(tick).is_integer()]
    kept = [ticks, *(tuple(tens[::every]) for every in range(1, len(tens) + 1))]
    rulers = [_Ruler(Scale(first, last, start, end, log=True), some) for some in kept]
    return next((ruler for ruler in rulers if ruler.is_legible), rulers[-1])


def _written(value: float | None, axis: BarAxis) -> str:
    return NOTHING if value is None else f"{value:,.{axis.decimals}f}"
