"""How the scores of a network under several conditions are shown to people."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from contextnet.evaluation.robustness import Robustness
from contextnet.evaluation.scores import Scores


def robustness_table(robustness: Robustness, title: str) -> Table:
    """Lay out mIoU and loss under each condition, the one that costs most first, and the class that loses most."""
    table = Table("condition", "what", "mIoU %", "loss", "loses most", title=Text(title))
    for column in table.columns[2:4]:
        column.justify = "right"
    clean = robustness.clean
    table.add_row("clean", "the images as they are", f"{100 * clean.miou:.1f}", "", "")
    table.add_section()
    for row in robustness.by_loss():
        table.add_row(
            row.condition.name,
            row.condition.change.describe(),
            f"{100 * row.scores.miou:.1f}",
            f"{100 * robustness.loss(row):.1f}",
            Text(_loses_most(clean, row.scores)),
        )
    table.add_section()
    table.add_row(
        "mean of conditions", "", f"{100 * robustness.mean_miou:.1f}", f"{100 * robustness.mean_loss:.1f}", ""
    )
    return table


def _loses_most(clean: Scores, worse: Scores) -> str:
    """Name the class whose IoU falls most, and by how much; nothing where none falls."""
    classes = zip(clean.class_names, clean.class_iou, worse.class_iou, strict=True)
    losses = [(before - after, name) for name, before, after in classes if not math.isnan(before - after)]
    loss, name = max(losses, default=(0.0, ""))
    return f"{name} {100 * loss:.1f}" if loss > 0 else ""
