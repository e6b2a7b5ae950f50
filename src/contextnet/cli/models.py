"""``contextnet models``: the networks that are shipped."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contextnet.cli.options import JsonFlag
from contextnet.weights.catalogue import WeightsSummary, find_weights, summarize_weights, weights_names


def models(as_json: JsonFlag = False) -> None:
    """List the shipped networks with their measured mIoU."""
    summaries = [summarize_weights(find_weights(name)) for name in weights_names()]
    if as_json:
        print(json.dumps([_plain(summary) for summary in summaries], indent=2))  # noqa: T201
        return
    table = Table(box=None)
    for heading in ("name", "variant", "classes", "parameters", "mIoU", "measured on", "size"):
        table.add_column(heading, no_wrap=True)
    for summary in summaries:
        miou = "-" if summary.miou is None else f"{100 * summary.miou:.1f} %"
        numbers = (str(summary.num_classes), f"{summary.parameters:,}", miou)
        cells = (summary.name, summary.variant, *numbers, summary.validated_on, f"{summary.file_bytes / 1e6:.1f} MB")
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
    for summary in summaries:
        if summary.licence:
            Console().print(f"{summary.name}: {summary.licence}", highlight=False, soft_wrap=True, markup=False)


def _plain(summary: WeightsSummary) -> dict[str, Any]:
    values = asdict(summary)
    values.pop("spec")
    return values
