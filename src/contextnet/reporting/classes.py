"""Per-class IoU: bars of the best validation, runs grouped, and one small panel a class over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

from contextnet.reporting.axes import Scale
from contextnet.reporting.curves import broken_path
from contextnet.reporting.markup import Html, element, join
from contextnet.reporting.run_record import RunRecord
from contextnet.reporting.style import series_class

_WIDTH = 1120
_NAME_END, _BAR_START, _BAR_END = 150, 160, 1060
_BAR_HEIGHT, _BAR_GAP, _GROUP_GAP = 12, 2, 9
_AXIS_HEIGHT = 22
_PANEL_WIDTH, _PANEL_HEIGHT = 170, 74
_MAX_PANEL_POINTS = 200

IndexedRun = tuple[int, RunRecord]
"""A run and its place on the page, which is its colour."""


def class_sections(runs: Sequence[RunRecord]) -> Html:
    """Draw bars and panels, runs with the same classes together; it says so where no run was validated."""
    groups = group_by_classes(runs)
    if not groups:
        return element("p", "No run has been validated yet.", class_="note")
    return join(_group(runs_of_group) for runs_of_group in groups)


def group_by_classes(runs: Sequence[RunRecord]) -> list[list[IndexedRun]]:
    """Put runs together whose best validation scored the same classes; runs without one are left out."""
    groups: dict[frozenset[str], list[IndexedRun]] = {}
    for index, run in enumerate(runs):
        if run.best_class_iou:
            groups.setdefault(frozenset(run.best_class_iou), []).append((index, run))
    return list(groups.values())


def ordered_classes(runs: Sequence[IndexedRun]) -> list[str]:
    """Order the classes by their mean IoU over the runs, best first; a class without any comes last."""

    def mean(name: str) -> float:
        values = [iou for _, run in runs if (iou := run.best_class_iou[name]) is not None]
        return sum(values) / len(values) if values else -1.0

    return sorted(runs[0][1].best_class_iou, key=mean, reverse=True)


def _group(runs: Sequence[IndexedRun]) -> Html:
    names = ordered_classes(runs)
    order = "by IoU" if len(runs) == 1 else "by their mean IoU over the runs"
    note = element("p", f"At the best validation; classes ordered {order}.", class_="note")
    bars = element("div", element("h3", "IoU by class"), note, _legend(runs), _bars(names, runs), class_="card")
    panels = element(
        "div",
        element("h3", "IoU by class over the epochs"),
        element(
            "p", "Every panel runs from 0 to 100 % and over all epochs; the figures are the last ones.", class_="note"
        ),
        element("div", *(_panel(name, runs) for name in names), class_="panels"),
        class_="card",
    )
    return join([bars, panels])


def _legend(runs: Sequence[IndexedRun]) -> Html:
    entries = []
    for index, run in runs:
        epoch = f", epoch {run.history.best.epoch}" if run.history.best else ""
        key = element("span", class_=f"key {series_class(index)}")
        entries.append(element("span", key, f"{run.name}{epoch}"))
    return element("div", *entries, class_="legend")


def _bars(names: Sequence[str], runs: Sequence[IndexedRun]) -> Html:
    across = Scale(0, 1, _BAR_START, _BAR_END)
    group_height = len(runs) * (_BAR_HEIGHT + _BAR_GAP) + _GROUP_GAP
    bottom = len(names) * group_height
    parts = []
    for percent in range(0, 101, 20):
        x = across.at(percent / 100)
        parts.append(element("line", x1=x, x2=x, y1=0, y2=bottom, class_="gridline"))
        parts.append(element("text", f"{percent} %", x=x, y=bottom + 15, text_anchor="middle"))
    for row, name in enumerate(names):
        parts.append(_bar_group(name, runs, row * group_height + _GROUP_GAP / 2, across))
    size = f"0 0 {_WIDTH} {bottom + _AXIS_HEIGHT}"
    return element("svg", *parts, viewBox=size, role="img", aria_label="IoU by class at the best validation")


def _bar_group(name: str, runs: Sequence[IndexedRun], top: float, across: Scale) -> Html:
    middle = top + len(runs) * (_BAR_HEIGHT + _BAR_GAP) / 2 + 3
    parts = [
        element(
            "text", _shortened(name), element("title", name), x=_NAME_END, y=middle, text_anchor="end", class_="name"
        )
    ]
    for place, (index, run) in enumerate(runs):
        y = top + place * (_BAR_HEIGHT + _BAR_GAP)
        iou = run.best_class_iou[name]
        if iou is None:
            parts.append(element("text", "not in the data", x=_BAR_START + 4, y=y + 10))
            continue
        tip = element("title", f"{run.name}, {name}: {100 * iou:.2f} %")
        width = across.at(iou) - _BAR_START
        parts.append(
            element(
                "rect",
                tip,
                x=_BAR_START,
                y=y,
                width=width,
                height=_BAR_HEIGHT,
                rx=2,
                class_=f"bar {series_class(index)}",
            )
        )
        parts.append(element("text", f"{100 * iou:.1f}", x=_BAR_START + width + 6, y=y + 10, class_="value"))
    return join(parts)


def _panel(name: str, runs: Sequence[IndexedRun]) -> Html:
    last_epoch = max((record.epoch for _, run in runs for record in run.history.validations), default=1)
    across, up = Scale(0, last_epoch, 2, _PANEL_WIDTH - 6), Scale(0, 1, _PANEL_HEIGHT - 4, 6)
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = up.at(share)
        css = "gridline" if share else "base"
        parts.append(element("line", x1=0, x2=_PANEL_WIDTH, y1=y, y2=y, class_=css))
    lasts = []
    for index, run in runs:
        values = _class_history(run, name)
        color = series_class(index)
        parts.append(element("path", d=broken_path(thinned(values), across, up), class_=f"curve {color}"))
        points = [(epoch, value) for epoch, value in values if value is not None]
        if points:
            epoch, value = points[-1]
            tip = element("title", f"{run.name}, {name}, epoch {epoch}: {100 * value:.2f} %")
            parts.append(element("circle", tip, cx=across.at(epoch), cy=up.at(value), r=3, class_=f"dot {color}"))
            lasts.append(element("b", f"{100 * value:.0f}", class_=color))
    label = f"IoU of {name} over the epochs"
    chart = element("svg", *parts, viewBox=f"0 0 {_PANEL_WIDTH} {_PANEL_HEIGHT}", role="img", aria_label=label)
    return element("div", element("h4", name, element("span", *lasts, " %" if lasts else "–")), chart)


def _class_history(run: RunRecord, name: str) -> list[tuple[int, float | None]]:
    return [(record.epoch, record.class_iou.get(name)) for record in run.history.validations]


def thinned(values: Sequence[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    """Keep every n-th value and the last, so that a small panel of a long run has no more points than pixels."""
    stride = -(-len(values) // _MAX_PANEL_POINTS) or 1
    kept = list(values[::stride])
    if values and kept[-1] != values[-1]:
        kept.append(values[-1])
    return kept


def _shortened(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
