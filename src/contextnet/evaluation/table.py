"""Scores as a table for the terminal."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from contextnet.evaluation.scores import Scores


def scores_table(scores: Scores, title: str) -> Table:
    """Lay out IoU, iIoU where there is any, and the share of pixels of each class, then the means, all in per cent."""
    with_iiou = not math.isnan(scores.miiou)
    table = Table(title=Text(title), caption=f"pixel accuracy {_percent(scores.pixel_accuracy)} %")
    table.add_column("class")
    for heading in ["IoU %", "iIoU %", "pixels %"] if with_iiou else ["IoU %", "pixels %"]:
        table.add_column(heading, justify="right")

    def add(name: str, iou: float, iiou: float, share: float | None = None) -> None:
        cells = [_percent(iou), _percent(iiou)] if with_iiou else [_percent(iou)]
        table.add_row(Text(name), *cells, "" if share is None else _percent(share, digits=2))

    total = sum(scores.pixels)
    for name, iou, iiou, pixels in zip(
        scores.class_names, scores.class_iou, scores.class_iiou, scores.pixels, strict=True
    ):
        add(name, iou, iiou, pixels / total)
    table.add_section()
    add("mean of classes", scores.miou, scores.miiou)
    add("mean of categories", scores.category_miou, scores.category_miiou)
    return table


def _percent(score: float, digits: int = 1) -> str:
    return "–" if math.isnan(score) else f"{100 * score:.{digits}f}"
