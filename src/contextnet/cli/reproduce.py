"""``contextnet reproduce``: the paper's tables and figures, made on this machine."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table as ConsoleTable
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import (
    Device,
    Engine,
    JsonFile,
    emit_json,
    parse_size,
    require_device,
    require_json_target,
)
from contextnet.cli.progress import progress_bar
from contextnet.errors import ContextNetError
from contextnet.files import try_to_write
from contextnet.stop_signals import Stopped, ending_on_sigterm

if TYPE_CHECKING:
    from contextnet.reproduce.table import Table
    from contextnet.reproduce.targets import Product, Request
    from contextnet.runtime.segmenter import EngineChoice

RUNS = Path("runs/reproduce")
PAPER_SIZES = ("1024x2048", "512x1024", "256x512")

INTRODUCTION = """# Results

The paper's tables and figures, made by `contextnet reproduce`. The paper's own figures stand beside them in italics;
the notes say on what data, by what training and on what machine each came about. The command below a table repeats it.
"""

QUICK = {"table1", "table2", "table3", "table7", "figure2"}
"""What trains nothing, as a rule: Figure 2 does where no shipped network was trained on such data."""

Target = Literal[
    "table1", "table2", "table3", "table4", "table5", "table6", "table7", "figure2", "ensemble", "pruning", "all"
]


def reproduce(
    target: Annotated[Target, Argument(metavar="WHAT", help="table1 to table7, figure2, ensemble, pruning or all.")],
    data: Annotated[
        list[str] | None,
        Option(metavar="KIND:ROOT", help="A data set to train and score on; may be given several times."),
    ] = None,
    budget: Annotated[
        float | None,
        Option(metavar="MINUTES", min=0.05, help="Minutes of training a network; the recipe's epochs if left out."),
    ] = None,
    size: Annotated[
        list[str] | None,
        Option(metavar="HEIGHTxWIDTH", help="Size of the images that are timed; the paper's three if left out."),
    ] = None,
    image: Annotated[
        list[str] | None, Option(help="An image of figure2: index or name in the val split, or without --data a file.")
    ] = None,
    weights: Annotated[
        str | None,
        Option(help="The network of figure2; if left out, the shipped one for such data, or one is trained."),
    ] = None,
    runs: Annotated[Path, Option(help="Folder of the trainings; what was begun there goes on.")] = RUNS,
    output: Annotated[
        Path, Option(help="Folder for the tables and pictures; a page of all of them is written beside it.")
    ] = Path("results"),
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe, for all networks.")
    ] = None,
    engine: Engine = "auto",
    device: Device = "cpu",
    precision: Annotated[
        str | None, Option(help="What the timed engine computes in; fp32 if left out, on a GPU the engine's choice.")
    ] = None,
    threads: Annotated[int | None, Option(min=1, help="Threads that are timed; one a usable core if left out.")] = None,
    json_: JsonFile = None,
) -> None:
    """Make a table or a figure of the paper from this project's own runs, the paper's figures beside them."""
    require_torch("reproduce", extra="export")

    require_json_target(json_)
    require_device(device)
    choice = _engine_choice(engine, device, precision, threads)
    with _stopping():
        request = _request(target, data or [], budget, size or [], image or [], weights, runs, set_ or [], choice)
        made = _make(target, request, output, prints=json_ != "-")
    if json_:
        emit_json(_values(made, output), json_)
    else:
        told = Console(soft_wrap=True, highlight=False, markup=False)
        told.print(f"{_page_beside(output)}: all tables that {output} holds")


def _engine_choice(engine: str, device: str, precision: str | None, threads: int | None) -> EngineChoice:
    """Choose what is timed: OpenVINO in float32 on a CPU, PyTorch in its own precision on a GPU, unless asked else."""
    from contextnet.runtime.segmenter import EngineChoice

    on_gpu = device != "cpu"
    named = engine if engine != "auto" else "pytorch" if on_gpu else "openvino"
    return EngineChoice(named, device, precision or (None if on_gpu else "fp32"), threads)


def _make(target: str, request: Request, output: Path, *, prints: bool) -> list[Product]:
    """Make a target, and keep each table and the page of all as soon as it is done."""
    from contextnet.reproduce.results_page import write_results_page
    from contextnet.reproduce.targets import Reproducer

    page = _page_beside(output)
    _make_folder(output, page)
    made: list[Product] = []
    for one in Reproducer(request).make(target):
        _keep(output, one)
        write_results_page(output, page, INTRODUCTION)
        made.append(one)
        if prints:
            _print(one.table)
    return made


def _request(
    target: str,
    data: Sequence[str],
    minutes: float | None,
    sizes: Sequence[str],
    images: Sequence[str],
    weights: str | None,
    runs: Path,
    changes: Sequence[str],
    choice: EngineChoice,
) -> Request:
    """Read what is asked for; what cannot be used is said here, before anything is made."""
    import torch

    from contextnet.reproduce.targets import Request
    from contextnet.reproduce.trainings import Trainings, slug
    from contextnet.training.session import Display

    if minutes is not None and not math.isfinite(minutes):
        raise ContextNetError(f"budget {minutes}: expected a number of minutes; leave it out for the recipe's epochs")
    display = Display(Console(stderr=True, soft_wrap=True, highlight=False, markup=False), progress_bar)
    command = shlex.join(["contextnet", *_without_json(sys.argv[1:])])
    place = torch.device(choice.device)
    trainings = tuple(Trainings(s, runs, minutes, place, display, tuple(changes), command) for s in data)
    named: dict[str, str] = {}
    for one in trainings:
        one.open_validation()
        if target not in QUICK:
            one.require_training_data()
        if (other := named.setdefault(slug(one.source), one.source)) != one.source:
            raise ContextNetError(
                f"'{other}' and '{one.source}' would both be '{slug(other)}'; give each its own --output and --runs"
            )
    sizes_hw = tuple(parse_size(size) for size in sizes or PAPER_SIZES)
    return Request(trainings, sizes_hw, choice, tuple(images), weights, command, progress_bar)


def _without_json(words: Sequence[str]) -> list[str]:
    """Leave out of a command line where its JSON goes, which changes nothing about what is made."""
    return [
        word
        for before, word in pairwise(["", *words])
        if before != "--json" and word != "--json" and not word.startswith("--json=")
    ]


@contextmanager
def _stopping() -> Iterator[None]:
    """End the process as a signal would where one stopped a training, or came before or after it."""
    try:
        with ending_on_sigterm():
            yield
    except Stopped as stopped:
        Console(stderr=True).print("the same command goes on")
        raise typer.Exit(128 + stopped.signal_number) from None


def _page_beside(folder: Path) -> Path:
    """Name the page of all tables. Raises ``ContextNetError`` where it would replace another page."""
    named = folder if folder.name not in {"", ".."} else folder.resolve()
    page = named.with_name(f"{named.name}.md")
    try:
        is_foreign = page.exists() and not page.read_text(encoding="utf-8").startswith(INTRODUCTION.partition("\n")[0])
    except (OSError, UnicodeDecodeError):
        is_foreign = True
    if is_foreign:
        raise ContextNetError.at(page, "is no page of tables and would be replaced", "give another --output")
    return page


def _make_folder(folder: Path, page: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try_to_write(folder / "table1.json")
        try_to_write(page)
    except OSError as error:
        raise ContextNetError.at(folder, f"cannot be written: {error.strerror}", "give another --output") from None


def _keep(folder: Path, made: Product) -> None:
    """Write a table and its picture; a picture of before goes where there is none now."""
    from contextnet.files import write_text
    from contextnet.reproduce.pictures import picture_of
    from contextnet.reproduce.results_page import keep_table

    keep_table(folder, made.table, made.stem)
    drawing, place = picture_of(made.table), folder / f"{made.stem}.svg"
    if drawing is None:
        place.unlink(missing_ok=True)
    else:
        write_text(place, drawing)
    if made.figure is not None:
        made.figure.write(folder / f"{made.stem}.png")


def _values(made: Sequence[Product], folder: Path) -> dict[str, Any]:
    """Give a single table as it is, with its picture's place, or several in a list."""
    tables = [one.table.to_json() | {"picture": _picture(folder, one)} for one in made]
    return tables[0] if len(tables) == 1 else {"tables": tables}


def _picture(folder: Path, made: Product) -> str | None:
    places = (folder / f"{made.stem}{suffix}" for suffix in (".png", ".svg"))
    return next((str(place) for place in places if place.is_file()), None)


def _print(table: Table) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    shown = ConsoleTable(title=table.title, box=None)
    shown.add_column("", no_wrap=True)
    for column in table.columns:
        shown.add_column(f"{column.heading} {column.mark}".strip(), justify="right")
    for row in table.in_order():
        cells = [table.label(row), *(table.shown(row, column) for column in table.columns)]
        shown.add_row(*cells, style="dim" if row.source == "paper" else None)
    console.print(shown)
    for row in table.in_order():
        if row.source == "here" and row.remark:
            console.print(f"{row.network}: {row.remark}")
    for note in table.notes:
        console.print(note)
