"""``contextnet predict``: label image files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from contextnet.cli.options import Engine, EngineDevice, JsonFlag, Precision
from contextnet.cli.prediction import PredictionSummary, list_inputs, predict_files
from contextnet.cli.progress import progress_bar
from contextnet.runtime.segmenter import Segmenter


def predict(
    weights: Annotated[str, Argument(metavar="NETWORK", help="A shipped network, a model file or a weights file.")],
    inputs: Annotated[list[Path], Argument(help="Image files and folders of them.")],
    output: Annotated[Path, Option(help="Folder for the results.")],
    as_json: JsonFlag = False,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
) -> None:
    """Label images: a label PNG, a colour PNG and an overlay with a legend for each, and one sheet of all.

    Images that cannot be read are named, the others are labelled, and the exit code is 2.
    """
    files = list_inputs(inputs, output)
    segmenter = Segmenter.load(weights, engine=engine, device=device, precision=precision)
    with segmenter, progress_bar("labelling") as progress:
        summary = predict_files(segmenter, files, output, progress)
    if as_json:
        print(json.dumps(summary.to_json(), indent=2))  # noqa: T201
    else:
        _print(summary)
    for failure in summary.failures:
        Console(stderr=True, soft_wrap=True).print(f"error: {failure}", style="red", markup=False, highlight=False)
    if summary.failures:
        raise typer.Exit(2)


def _print(summary: PredictionSummary) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if not summary.images:
        console.print("no image was labelled")
        return
    table = Table("class", "share of pixels", box=None)
    for name, share in summary.class_shares.items():
        table.add_row(Text(name), f"{100 * share:.2f} %")
    console.print(table)
    plural = "" if summary.images == 1 else "s"
    console.print(
        f"{summary.images} image{plural} labelled by {summary.engine}; labels, colours and overlays in {summary.output}"
    )
    if summary.median_latency_ms is not None:
        console.print(
            f"median {summary.median_latency_ms:.1f} ms from image to labels, first images of a size left out"
        )
    if summary.sheet:
        shown = "" if summary.images_on_sheet == summary.images else f" ({summary.images_on_sheet} of {summary.images})"
        console.print(f"at a glance{shown}: {summary.sheet}")
