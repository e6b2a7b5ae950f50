"""The picture that belongs to a table: bars for what is measured, a diagram for what is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from contextnet.reporting.bars import BarAxis, BarPanel, BarRow, bars_svg
from contextnet.reproduce.layer_diagrams import block_diagram, branch_diagram, fusion_diagram
from contextnet.reproduce.paper import ClassGroup, group_of
from contextnet.reproduce.table import Column, Row, Table

HERE, PAPER = "here", "the paper"

_NOISY = "no result"
"""What the remark of a row says whose rates are none."""
_NOISE_CAPTION = "* No result: the machine was not quiet enough; the table's remark says how much."
_GROUP_HEADINGS: Mapping[ClassGroup | None, str] = {
    "small": "Small classes",
    "fine": "Classes with fine detail",
    "rare": "Rare classes",
    None: "Other classes",
}
_RATES = ("everything_fps", "network_fps", "pipelined_fps")


def picture_of(table: Table) -> str | None:
    """Draw the table's picture as the text of an SVG file.

    None for a table without values to draw, and for Figure 2, whose picture is made with it.
    """
    draw = _DRAWN.get(table.name)
    return draw(table) if draw else None


def _table4(table: Table) -> str | None:
    told = "The paper's mIoU: Cityscapes' validation images."
    panels = [_beside_paper(table, "miou")]
    rates = _own_panel(table, ("fps",))
    if rates is not None:
        # The paper's rates come from another machine: bars side by side would compare the machines.
        panels.append(rates)
        told += " Frames/s are this project's alone; the paper's are of another machine."
        told += _noise_told(rates)
    return _drawn(table, panels, (HERE, PAPER), told)


def _table5(table: Table) -> str | None:
    groups: dict[ClassGroup | None, list[Column]] = {group: [] for group in _GROUP_HEADINGS}
    own = [row for row in table.rows if row.source == HERE]
    scored = [row for row in own if any(_number(row, column.key) is not None for column in table.columns)]
    for column in table.columns:
        # A mean over other classes than the next network's would not compare with it.
        if scored and all(_number(row, column.key) is not None for row in scored):
            groups[group_of(column.key)].append(column)
    panels = [_group_panel(own, group, columns) for group, columns in groups.items() if columns]
    reach = max((value for panel in panels for value in panel.values), default=0.0)
    alike = [replace(panel, axis=replace(panel.axis, reach=reach)) for panel in panels]
    classes = (
        f"{_GROUP_HEADINGS[group]}: {', '.join(column.heading for column in columns)}."
        for group, columns in groups.items()
        if columns
    )
    return _drawn(table, alike, (HERE,), f"This project's networks. {' '.join(classes)}")


def _group_panel(rows: Iterable[Row], group: ClassGroup | None, columns: Sequence[Column]) -> BarPanel:
    """Give each network's mean over a group's classes, which all scored networks have."""
    bars = []
    for row in rows:
        values = [value for column in columns if (value := _number(row, column.key)) is not None]
        bars.append(BarRow(row.network, (sum(values) / len(values) if values else None,)))
    return BarPanel(BarAxis("mean IoU, %", columns[0].decimals), tuple(bars), _GROUP_HEADINGS[group])


def _table6(table: Table) -> str | None:
    told = "The paper's: Cityscapes' test images, each network as its authors trained it."
    return _drawn(table, [_beside_paper(table, "class_miou")], (HERE, PAPER), told)


def _table7(table: Table) -> str | None:
    panel = _own_panel(table, _RATES)
    if panel is None:
        return None
    series = [column.heading for column in table.columns if column.key in _RATES]
    told = "The paper's rates are left out: they are of another machine." * any(r.source == "paper" for r in table.rows)
    panel = replace(panel, axis=replace(panel.axis, title="frames/s"))
    return _drawn(table, [panel], series, told + _noise_told(panel))


def _ensemble(table: Table) -> str | None:
    return _drawn(table, [_beside_paper(table, "miou")], (HERE, PAPER), "The paper's: Cityscapes' validation images.")


def _pruning(table: Table) -> str | None:
    told = "The paper's, before and after pruning: Cityscapes' test images."
    return _drawn(table, [_beside_paper(table, "miou")], (HERE, PAPER), told)


_DRAWN: Mapping[str, Callable[[Table], str | None]] = {
    "table1": block_diagram,
    "table2": branch_diagram,
    "table3": fusion_diagram,
    "table4": _table4,
    "table5": _table5,
    "table6": _table6,
    "table7": _table7,
    "ensemble": _ensemble,
    "pruning": _pruning,
}


def _drawn(table: Table, panels: Sequence[BarPanel | None], series: Sequence[str], caption: str) -> str | None:
    kept = [panel for panel in panels if panel is not None and panel.values]
    return bars_svg(kept, series, table.title, caption.strip()) if kept else None


def _beside_paper(table: Table, key: str) -> BarPanel | None:
    """Give each network's value here and the paper's, networks in the order in which they come."""
    column = _column(table, key)
    if column is None:
        return None
    values = {(row.network, row.source): _number(row, key) for row in table.rows}
    networks = dict.fromkeys(row.network for row in table.rows)
    rows = (BarRow(name, (values.get((name, "here")), values.get((name, "paper")))) for name in networks)
    return BarPanel(BarAxis(column.heading, column.decimals), tuple(rows))


def _own_panel(table: Table, keys: Sequence[str]) -> BarPanel | None:
    """Give the rates that this project measured, those that are no result marked; None if there are none."""
    columns = [column for column in table.columns if column.key in keys]
    rows = tuple(
        BarRow(row.network + " *" * (_NOISY in row.remark), tuple(_number(row, column.key) for column in columns))
        for row in table.rows
        if row.source == "here"
    )
    if not any(value is not None for row in rows for value in row.values):
        return None
    axis = BarAxis(columns[0].heading, columns[0].decimals, log=True)
    return BarPanel(axis, rows)


def _noise_told(panel: BarPanel) -> str:
    return f" {_NOISE_CAPTION}" if any(row.label.endswith(" *") for row in panel.rows) else ""


def _column(table: Table, key: str) -> Column | None:
    return next((column for column in table.columns if column.key == key), None)


def _number(row: Row, key: str) -> float | None:
    """Give a value that a bar can show."""
    value = row.values.get(key)
    return value if isinstance(value, float | int) and 0 <= value < math.inf else None
