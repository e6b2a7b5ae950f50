"""What accuracy costs, as one SVG file: networks over their costs, and the line of those that none beats.

A panel has one cost on its horizontal axis, logarithmic where costs span much; all share the vertical one. The file
carries its own style, light or dark
as the reader's system is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from contextnet.reporting.axes import Scale, inner_ticks, log_ticks, round_ticks, tick_label
from contextnet.reporting.markup import Html, element, join, number
from contextnet.reporting.style import SERIES_DARK, SERIES_LIGHT, series_class

_PANEL, _HEIGHT = 430, 352
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 60, 300
_LETTER, _LINE = 6.6, 13.0
_MARGIN = 0.12
"""Room to the left and right of the points, as a share of what they span."""

WIDE_SPAN = 8.0
"""An axis is logarithmic where the largest cost is more than this many times the smallest."""


@dataclass(frozen=True)
class Point:
    """A network: its name, which of its forms this is, what it costs, the less the better, and how good it is."""

    name: str
    series: str
    cost: float
    quality: float


@dataclass(frozen=True)
class Panel:
    """Networks over one cost; ``axis`` names it with its unit."""

    axis: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Box:
    """Where something stands, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def pareto_front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Give the indices of those (cost, quality) that none beats: as cheap and as good, and better in one of them."""

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    return tuple(i for i, point in enumerate(points) if not any(beats(other, point) for other in points))


def pareto_svg(panels: Sequence[Panel], quality_axis: str) -> str:
    """Draw panels side by side; the series' colours are those of their order in the first panel."""
    series = list(dict.fromkeys(point.series for panel in panels for point in panel.points))
    values = [point.quality for panel in panels for point in panel.points]
    ticks = round_ticks(min(values), max(values), 6)
    up = Scale(ticks[0], ticks[-1], _BOTTOM, _TOP)
    parts: list[Html] = [element("style", Html(_style()))]
    parts.append(element("rect", width="100%", height="100%", class_="page"))
    parts += _legend(series)
    for index, panel in enumerate(panels):
        drawn = _panel(panel, series, up, ticks, quality_axis if index == 0 else "")
        parts.append(element("g", drawn, transform=f"translate({index * _PANEL} 0)"))
    box = f"0 0 {_PANEL * len(panels)} {_HEIGHT}"
    label = f"{quality_axis} over {', '.join(panel.axis for panel in panels)}"
    drawing = element("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=box, role="img", aria_label=label)
    return drawing.source + "\n"


def _panel(panel: Panel, series: Sequence[str], up: Scale, ticks: Sequence[float], quality_axis: str) -> Html:
    across = _across([point.cost for point in panel.points])
    parts = [_axes(panel, across, up, ticks, quality_axis), _front(panel.points, across, up)]
    places = [(across.at(point.cost), up.at(point.quality)) for point in panel.points]
    first: dict[str, tuple[float, float]] = {}
    for point, (x, y) in zip(panel.points, places, strict=True):
        x1, y1 = first.setdefault(point.name, (x, y))
        parts.append(element("line", x1=x1, y1=y1, x2=x, y2=y, class_="link"))
    for point, (x, y) in zip(panel.points, places, strict=True):
        tip = element("title", f"{point.name}: {number(point.quality, 1)} at {number(point.cost)} {panel.axis}")
        dot = element("circle", tip, cx=x, cy=y, r=5, class_=f"dot {series_class(series.index(point.series))}")
        parts.append(dot)
    parts += _names(first, places)
    return join(parts)


def _across(costs: Sequence[float]) -> Scale:
    low, high = min(costs), max(costs)
    if low > 0 and high > WIDE_SPAN * low:
        room = (high / low) ** _MARGIN
        return Scale(low / room, high * room, _LEFT, _PANEL - _RIGHT, log=True)
    room = _MARGIN * ((high - low) or high or 1.0)
    return Scale(max(0.0, low - room), high + room, _LEFT, _PANEL - _RIGHT)


def _axes(panel: Panel, across: Scale, up: Scale, ticks: Sequence[float], quality_axis: str) -> Html:
    parts = []
    for tick in ticks:
        y = up.at(tick)
        parts.append(element("line", x1=_LEFT, x2=across.end, y1=y, y2=y, class_="gridline"))
        parts.append(element("text", tick_label(tick), x=_LEFT - 8, y=y + 4, text_anchor="end"))
    marks = log_ticks(across.low, across.high) if across.log else inner_ticks(across.low, across.high, 6)
    for tick in marks:
        parts.append(element("text", tick_label(tick), x=across.at(tick), y=_BOTTOM + 17, text_anchor="middle"))
    middle = (_LEFT + across.end) / 2
    parts.append(element("line", x1=_LEFT, x2=across.end, y1=_BOTTOM, y2=_BOTTOM, class_="base"))
    title = panel.axis + (", logarithmic" if across.log else "")
    parts.append(element("text", title, x=middle, y=_BOTTOM + 36, text_anchor="middle"))
    parts.append(element("text", quality_axis, x=_LEFT - 8, y=_TOP - 16, text_anchor="start"))
    return join(parts)


def _front(points: Sequence[Point], across: Scale, up: Scale) -> Html:
    """Draw the border of what can be had: level up to the next network that is better, then up to it."""
    kept = sorted({(points[i].cost, points[i].quality) for i in pareto_front([(p.cost, p.quality) for p in points])})
    (first, quality), *others = kept
    path = f"M{number(across.at(first), 1)} {number(up.at(quality), 1)}"
    for cost, better in others:
        path += f"H{number(across.at(cost), 1)}V{number(up.at(better), 1)}"
    return element("path", d=f"{path}H{number(across.end, 1)}", class_="front")


def _legend(series: Sequence[str]) -> Iterator[Html]:
    x = float(_LEFT)
    for index, name in enumerate(series):
        yield element("circle", cx=x + 5, cy=14, r=5, class_=f"dot {series_class(index)}")
        yield element("text", name, x=x + 15, y=18)
        x += 34 + _LETTER * len(name)


def _names(named: Mapping[str, tuple[float, float]], places: Sequence[tuple[float, float]]) -> Iterator[Html]:
    """Write each name beside its point, where it covers neither another point nor another name, if there is room."""
    taken = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for name, (x, y) in named.items():
        width = _LETTER * len(name)
        spots = [
            ("start", x + 9, y + 4, x + 9),
            ("end", x - 9, y + 4, x - 9 - width),
            ("middle", x, y - 10, x - width / 2),
            ("middle", x, y + 19, x - width / 2),
            *(("start", x + 9, y + down, x + 9) for down in (-9, 18, -22, 31)),
            *(("end", x - 9, y + down, x - 9 - width) for down in (-9, 18, -22, 31)),
        ]
        boxes = [_Box(left, base - _LINE + 3, left + width, base + 3) for _, _, base, left in spots]
        free = [i for i, box in enumerate(boxes) if _fits(box) and not any(box.overlaps(other) for other in taken)]
        inside = [i for i, box in enumerate(boxes) if _fits(box)]
        chosen = (free or inside or [0])[0]
        anchor, at, base, _ = spots[chosen]
        taken.append(boxes[chosen])
        yield element("text", name, x=at, y=base, text_anchor=anchor, class_="name")


def _fits(box: _Box) -> bool:
    return box.left >= _LEFT and box.right <= _PANEL - _RIGHT and box.top >= _TOP - _LINE and box.bottom <= _BOTTOM


def _style() -> str:
    light, dark = (
        "".join(f".s{index}{{fill:{color}}}" for index, color in enumerate(colors))
        for colors in (SERIES_LIGHT, SERIES_DARK)
    )
    return f"{_RULES}{light}@media (prefers-color-scheme:dark){{{_DARK}{dark}}}"


_RULES = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#5d6066}
.page{fill:#fff}.name{fill:#1b1c1e;paint-order:stroke;stroke:#fff;stroke-width:3px}.link{stroke:#c9c9c4}
.gridline{stroke:#ecece8}.base{stroke:#c9c9c4}
.front{fill:none;stroke:#9a9ca1;stroke-width:1.5;stroke-dasharray:5 4}
"""
_DARK = """
text{fill:#a0a4ab}.page{fill:#1c1e21}.name{fill:#e9e9e6;stroke:#1c1e21}.link{stroke:#4a4d52}.gridline{stroke:#2a2d31}.base{stroke:#4a4d52}
.front{stroke:#7d8087}
"""
