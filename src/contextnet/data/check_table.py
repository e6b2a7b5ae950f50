"""The data check as tables for the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from contextnet.data.check import DataReport, Problem

_SHOWN_PER_KIND = 5


def report_table(report: DataReport) -> Group:
    """Draw a report: what was read, the class shares, and the problems, at most five files of each kind."""
    sizes = ", ".join(f"{h}×{w} ({n})" for (h, w), n in report.sizes) or "none"
    kinds = ", ".join(f"{kind} ({n})" for kind, n in report.mask_kinds.items()) or "none"
    head = Text(f"{report.name}: {report.images} images, {report.masks} masks\nsizes: {sizes}\nmasks: {kinds}")
    parts: list[Text | Table] = [head]
    if report.masks and report.classes:
        parts.append(_class_table(report))
    if report.problems:
        parts.append(_problem_table(report.problems))
    else:
        parts.append(Text("no problems found", style="green"))
    return Group(*parts)


def _class_table(report: DataReport) -> Table:
    table = Table("id", "class", "pixels", "share %")
    for column in (0, 2, 3):
        table.columns[column].justify = "right"
    for train_id, label in enumerate(report.classes):
        style = "yellow" if label.pixels == 0 else None
        table.add_row(str(train_id), Text(label.name), f"{label.pixels}", f"{100 * label.share:.2f}", style=style)
    total = max(report.mask_pixels, 1)
    table.add_row("", "void", f"{report.void_pixels}", f"{100 * report.void_pixels / total:.2f}")
    if report.unknown_pixels:
        share = f"{100 * report.unknown_pixels / total:.2f}"
        table.add_row("", "unknown ids", f"{report.unknown_pixels}", share, style="red")
    return table


def _problem_table(problems: tuple[Problem, ...]) -> Table:
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    table = Table("problem", "file", "found", "remedy", title=f"{len(problems)} problems", show_lines=True)
    table.columns[1].overflow = "fold"
    for kind, members in kinds.items():
        for problem in members[:_SHOWN_PER_KIND]:
            table.add_row(*(Text(cell) for cell in (kind, str(problem.file), problem.detail, problem.remedy)))
        if len(members) > _SHOWN_PER_KIND:
            table.add_row(kind, f"and {len(members) - _SHOWN_PER_KIND} more files", "", "")
    return table
