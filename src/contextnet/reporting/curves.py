"""Curves over epochs as SVG: one colour a run, best and last values marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contextnet.reporting.axes import Scale, inner_ticks, round_ticks, tick_label
from contextnet.reporting.markup import Html, element, join, number
from contextnet.reporting.style import series_class

Better = Literal["high", "low"]
Point = tuple[int, float]

WIDE, NARROW = 560, 370
_HEIGHT = 256
_LEFT, _TOP, _BOTTOM = 44, 16, 216
_RIGHT_MARGIN = 48
_LABEL_HEIGHT = 13
_CLOSE = 36
_DOTTED = 30


@dataclass(frozen=True)
class Curve:
    """The values of one run by epoch, in order; ``index`` is the run's colour. None breaks the line."""

    index: int
    name: str
    values: tuple[tuple[int, float | None], ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """Epoch and value of each point that has a value."""
        return tuple((epoch, value) for epoch, value in self.values if value is not None)

    def best(self, better: Better) -> Point:
        """Give the first of the best points."""
        pick = max if better == "high" else min
        return pick(self.points, key=lambda point: point[1])


@dataclass(frozen=True)
class Plot:
    """One chart: its curves in the unit they are shown in; ``better`` None where no value is the best."""

    title: str
    curves: tuple[Curve, ...]
    better: Better | None
    unit: str = ""
    digits: int = 1
    note: str = ""

    def written(self, value: float) -> str:
        """Write a value with its unit."""
        text = f"{value:.{self.digits}f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2g}"
        return f"{text} {self.unit}".rstrip()


def plot_card(plot: Plot, width: int = WIDE) -> Html:
    """Draw a chart with title and legend; it says so where there is nothing to draw yet.

    ``width`` is about that of the card in pixels, so that the text keeps its size.
    """
    drawn = [curve for curve in plot.curves if curve.points]
    if not drawn:
        return element("div", element("h3", plot.title), element("p", "No values yet.", class_="note"), class_="card")
    note = [element("p", plot.note, class_="note")] if plot.note else []
    return element(
        "div", element("h3", plot.title), _legend(plot, drawn), _chart(plot, drawn, width), *note, class_="card"
    )


def broken_path(values: Sequence[tuple[int, float | None]], across: Scale, up: Scale) -> str:
    """Give the SVG path through the points, a new stroke after every missing value."""
    commands, pen = [], "M"
    for epoch, value in values:
        if value is None:
            pen = "M"
            continue
        commands.append(f"{pen}{number(across.at(epoch), 1)} {number(up.at(value), 1)}")
        pen = "L"
    return "".join(commands)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart until neighbours are ``gap`` away from each other, each group about its own middle."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _start(positions, groups[-1], gap) < _end(positions, groups[-2], gap) + gap:
            last = groups.pop()
            groups[-1].extend(last)
    moved = list(positions)
    for group in groups:
        for place, index in enumerate(group):
            moved[index] = _start(positions, group, gap) + place * gap
    return moved


def _start(positions: Sequence[float], group: Sequence[int], gap: float) -> float:
    return sum(positions[index] for index in group) / len(group) - (len(group) - 1) * gap / 2


def _end(positions: Sequence[float], group: Sequence[int], gap: float) -> float:
    return _start(positions, group, gap) + (len(group) - 1) * gap


def _legend(plot: Plot, curves: Sequence[Curve]) -> Html:
    return element("div", *(_legend_entry(plot, curve) for curve in curves), class_="legend")


def _legend_entry(plot: Plot, curve: Curve) -> Html:
    epoch, last = curve.points[-1]
    said = f"last {plot.written(last)} (epoch {epoch})"
    if plot.better:
        best_epoch, best = curve.best(plot.better)
        word = "best" if plot.better == "high" else "lowest"
        same = best_epoch == epoch
        said = f"{word} and {said}" if same else f"{word} {plot.written(best)} (epoch {best_epoch}), {said}"
    key = element("span", class_=f"key {series_class(curve.index)}")
    return element("span", key, f"{curve.name}: {said}")


def _chart(plot: Plot, curves: Sequence[Curve], width: int) -> Html:
    values = [value for curve in curves for _, value in curve.points]
    last_epoch = max(curve.points[-1][0] for curve in curves)
    ticks = round_ticks(min(values), max(values))
    across = Scale(min(1, last_epoch - 1), max(last_epoch, 2), _LEFT, width - _RIGHT_MARGIN)
    up = Scale(ticks[0], ticks[-1], _BOTTOM, _TOP)
    parts = [_axes(plot, ticks, across, up)]
    parts += [_curve(plot, curve, across, up) for curve in curves]
    parts.append(_last_values(plot, curves, across, up))
    if plot.better:
        parts.append(_best_values(plot, curves, across, up))
    label = f"{plot.title} by epoch"
    return element("svg", *parts, viewBox=f"0 0 {width} {_HEIGHT}", role="img", aria_label=label)


def _axes(plot: Plot, ticks: Sequence[float], across: Scale, up: Scale) -> Html:
    parts = []
    for tick in ticks:
        y = up.at(tick)
        parts.append(element("line", x1=_LEFT, x2=across.end, y1=y, y2=y, class_="gridline"))
        parts.append(element("text", tick_label(tick), x=_LEFT - 8, y=y + 4, text_anchor="end"))
    for tick in inner_ticks(across.low, across.high, int(across.end // 46), whole=True):
        x = across.at(tick)
        parts.append(element("line", x1=x, x2=x, y1=_BOTTOM, y2=_BOTTOM + 4, class_="base"))
        parts.append(element("text", tick_label(tick), x=x, y=_BOTTOM + 17, text_anchor="middle"))
    parts.append(element("line", x1=_LEFT, x2=across.end, y1=_BOTTOM, y2=_BOTTOM, class_="base"))
    parts.append(element("text", "epoch", x=(_LEFT + across.end) / 2, y=_BOTTOM + 32, text_anchor="middle"))
    if plot.unit:
        parts.append(element("text", plot.unit, x=_LEFT - 8, y=_TOP - 8, text_anchor="end"))
    return join(parts)


def _curve(plot: Plot, curve: Curve, across: Scale, up: Scale) -> Html:
    color = series_class(curve.index)
    path = element("path", d=broken_path(curve.values, across, up), class_=f"curve {color}")
    # Many points show no dots of their own; what is left of these is where a pointer finds the value.
    css, radius = ("dot", 2) if len(curve.points) <= _DOTTED else ("hidden", 4)
    dots = [
        element("circle", _tip(plot, curve, point), cx=across.at(point[0]), cy=up.at(point[1]), r=radius, class_=css)
        for point in curve.points
    ]
    return element("g", path, *dots, class_=color)


def _tip(plot: Plot, curve: Curve, point: Point) -> Html:
    return element("title", f"{curve.name}, epoch {point[0]}: {plot.written(point[1])}")


def _last_values(plot: Plot, curves: Sequence[Curve], across: Scale, up: Scale) -> Html:
    """Mark each curve's last point; its value stands beside the chart, moved where others would cover it."""
    lasts = [curve.points[-1] for curve in curves]
    heights = spread([up.at(value) for _, value in lasts], _LABEL_HEIGHT)
    parts = []
    for curve, (epoch, value), height in zip(curves, lasts, heights, strict=True):
        color = series_class(curve.index)
        dot = element("circle", cx=across.at(epoch), cy=up.at(value), r=3.5, class_="dot")
        text = f"{value:.{plot.digits}f}" if abs(value) >= 0.001 else f"{value:.1g}"
        tick = element("rect", x=across.end + 8, y=height - 4, width=3, height=8, rx=1, class_="dot")
        parts.append(
            element(
                "g", dot, tick, element("text", text, x=across.end + 14, y=height + 4, class_="value"), class_=color
            )
        )
    return join(parts)


def _best_values(plot: Plot, curves: Sequence[Curve], across: Scale, up: Scale) -> Html:
    """Ring each curve's best point and write its value next to it, unless the last value stands near."""
    parts = []
    for curve in curves:
        epoch, value = curve.best(plot.better or "high")
        x, y = across.at(epoch), up.at(value)
        tip = _tip(plot, curve, (epoch, value))
        ring = element("circle", tip, cx=x, cy=y, r=4.5, class_=f"ring {series_class(curve.index)}")
        parts.append(ring)
        last_epoch, last = curve.points[-1]
        if across.at(last_epoch) - x > _CLOSE or abs(up.at(last) - y) > _CLOSE:
            above = y - 9 if plot.better == "high" else y + 17
            text = f"{value:.{plot.digits}f}"
            parts.append(element("text", text, x=x, y=above, text_anchor="middle", class_="value"))
    return join(parts)
