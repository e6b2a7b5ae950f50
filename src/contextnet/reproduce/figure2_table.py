"""The figures of Figure 2 as a table: how well each branch labels without the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contextnet.reproduce.figure2 import CAPTIONS, Figure2
from contextnet.reproduce.table import Column, Row, Table


def figure2_table(figure: Figure2, facts: Mapping[str, Any]) -> Table:
    """Lay out mIoU and pixel accuracy over the shown images, a row for each way; empty without ground truth."""
    columns = (Column("miou", "mIoU, %"), Column("pixel_accuracy", "pixel accuracy, %"))
    scores = figure.together or {}
    rows = [
        Row(caption, "here", {"miou": 100 * scores[way].miou, "pixel_accuracy": 100 * scores[way].pixel_accuracy})
        for way, caption in CAPTIONS.items()
        if way in scores
    ]
    trained = f", trained on {figure.trained_on}," if figure.trained_on else ""
    notes = [
        f"'{figure.network}'{trained} on {', '.join(_names(figure))}. One branch alone: the output of the other one is "
        "zero where it reaches the network's own fusion unit (section 3, Context Branch Analysis)."
    ]
    if rows:
        notes.append("Scores are over the pixels of the shown images together.")
    more = {"figure": figure.to_json()}
    return Table(
        "figure2",
        f"Figure 2: what each branch contributes{_on(facts)}",
        columns,
        tuple(rows),
        tuple(notes),
        {**facts, **more},
    )


def _names(figure: Figure2) -> list[str]:
    """Name the images, with the folders that they lie in where two have one name."""
    paths = [column.image_path for column in figure.columns]
    names = [path.name for path in paths]
    return names if len({*names}) == len(names) else ["/".join(path.parts[-2:]) for path in paths]


def _on(facts: Mapping[str, Any]) -> str:
    return f", {facts['data']}" if "data" in facts else ""
