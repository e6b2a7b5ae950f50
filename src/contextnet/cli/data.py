"""``contextnet data``: check a data set, look at augmented samples, draw synthetic streets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Argument, Option, Typer

from contextnet.cli.optional import require_torch
from contextnet.cli.options import JsonFile, emit_json, parse_size
from contextnet.cli.progress import progress_bar
from contextnet.data.check import check_split
from contextnet.data.check_table import report_table
from contextnet.data.pairs import PairedFiles
from contextnet.data.sources import list_splits, open_data

app = Typer(help="Check, look at and make data sets.", no_args_is_help=True)

Source = Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in camvid:/data/camvid.")]


@app.command()
def check(
    data: Source,
    split: Annotated[
        list[str] | None, Option(help="A split to read; may be given several times; all without it.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Read whole splits and report sizes, class shares and everything that would spoil training; 1 if there is any."""
    reports = []
    for name in split or list_splits(data):
        samples = open_data(data, name, allow_missing=True)
        with progress_bar(f"checking {samples.name}") as progress:
            reports.append(check_split(samples, progress))
    if json_file:
        emit_json([report.to_json() for report in reports], json_file)
    if json_file != "-":
        for report in reports:
            Console().print(report_table(report))
    if any(report.problems for report in reports):
        raise typer.Exit(1)


@app.command()
def show(
    data: Source,
    output: Annotated[Path, Option(help="The picture to write (PNG).")] = Path("augmented.png"),
    split: Annotated[str, Option(help="The split to show.")] = "train",
    count: Annotated[int, Option(min=1, max=64, help="How many samples.")] = 8,
    crop: Annotated[str, Option(help="Crop size, HEIGHTxWIDTH.")] = "352x480",
    seed: Annotated[int, Option(min=0, help="Seed of the random choices.")] = 0,
) -> None:
    """Write a grid of augmented samples, each with its labels drawn over it on the right."""
    require_torch("data show")
    from contextnet.cli.augmented_grid import augmented_grid
    from contextnet.images import write_png

    samples = open_data(data, split)
    if isinstance(samples, PairedFiles):
        samples = samples.without_instances()
    write_png(output, augmented_grid(samples, count, parse_size(crop), seed))
    Console().print(
        f"{output}: {min(count, len(samples))} augmented samples of {samples.name}", highlight=False, markup=False
    )


@app.command()
def synthesize(
    output: Annotated[Path, Argument(help="Folder for the Cityscapes layout.")],
    split: Annotated[str, Option(help="train, val or demo: their drives never coincide.")] = "train",
    drives: Annotated[int, Option(min=1, help="How many drives.")] = 1,
    frames: Annotated[int, Option(min=1, help="Frames a drive.")] = 30,
    size: Annotated[str, Option(help="Image size, HEIGHTxWIDTH.")] = "1024x2048",
) -> None:
    """Draw synthetic streets: images, labelIds, instanceIds, colours and depth in the Cityscapes layout."""
    from contextnet.data.synthetic import drives_for, write_drives

    made = drives_for(split, drives, size_hw=parse_size(size), frame_count=frames)
    with progress_bar(f"drawing {drives} drives") as progress:
        count = write_drives(output, split, made, progress)
    done = f"{count} frames in {output}; open them as cityscapes:{output}"
    Console().print(done, highlight=False, markup=False, soft_wrap=True)
