"""``contextnet data``: check a data set, look at augmented samples, draw synthetic streets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option, Typer

from contextnet.cli.optional import require_torch
from contextnet.cli.options import JsonFile, emit_json, parse_size, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.data.check import DataReport, check_split
from contextnet.data.check_table import report_table
from contextnet.data.doctor.diagnosis import Diagnosis
from contextnet.data.doctor.source import diagnose_source
from contextnet.data.doctor.table import diagnosis_table, proposal_yaml
from contextnet.data.doctor.unlabelled import check_unlabelled, lacks_labels
from contextnet.data.relabel import without_instances
from contextnet.data.sources import list_splits, open_data
from contextnet.errors import DataError, RecipeError
from contextnet.files import write_text
from contextnet.recipes.catalogue import find_recipe

if TYPE_CHECKING:
    from contextnet.data.augmentation.ranges import AugmentationRanges

app = Typer(help="Check, look at and make data sets.", no_args_is_help=True)

Source = Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in camvid:/data/camvid.")]


# Problems that another label set may mend: they make the check look at what the masks hold.
_LABEL_PROBLEMS = frozenset(
    {"missing labels", "unknown ids", "unknown colors", "rgb mask", "binary masks", "train ids", "file ids"}
)


@app.command()
def check(
    data: Source,
    split: Annotated[
        list[str] | None, Option(help="A split, or SPLIT@PART, to read; may be given several times; all without it.")
    ] = None,
    json_file: JsonFile = None,
    write_labels: Annotated[
        Path | None, Option(metavar="FILE", help="Write the proposed label set there, as YAML.")
    ] = None,
    proposal: Annotated[str | None, Option(metavar="NAME", help="The proposal to write; the first without it.")] = None,
) -> None:
    """Read whole splits and report sizes, class shares and everything that would spoil training; 1 if there is any.

    Where another label set would read the masks it is proposed; --write-labels writes it, and nothing else does.
    """
    require_json_target(json_file)
    _require_new_file(write_labels)
    _require_target(proposal, write_labels)
    splits = split or list_splits(data)
    reports = [_report(data, name) for name in splits]
    if json_file:
        emit_json([report.to_json() for report in reports], json_file)
    console = Console(stderr=json_file == "-")
    if json_file != "-":
        for report in reports:
            console.print(report_table(report))
    found = {problem.kind for report in reports for problem in report.problems}
    if write_labels or found & _LABEL_PROBLEMS:
        with progress_bar(f"looking at the masks of {data}") as progress:
            diagnosis = diagnose_source(data, splits, progress)
        if json_file != "-":
            console.print(diagnosis_table(diagnosis, proposal))
            if diagnosis.proposals and not write_labels:
                hint = "nothing is applied: --write-labels FILE.yaml writes the first proposal, --proposal NAME another"
                console.print(hint, highlight=False, markup=False, soft_wrap=True)
        if write_labels:
            _write_proposal(diagnosis, proposal, write_labels, console)
            found -= {"missing labels"}
    if found:
        raise typer.Exit(1)


def _report(source: str, split: str) -> DataReport:
    if lacks_labels(source):
        return check_unlabelled(source, split)
    samples = open_data(source, split, allow_missing=True)
    with progress_bar(f"checking {samples.name}") as progress:
        return check_split(samples, progress)


def _require_new_file(path: Path | None) -> None:
    if path is not None and path.exists():
        raise DataError(f"{path}: already exists; remove it or name another file")
    if path is not None and not path.parent.is_dir():
        raise DataError(f"{path}: its folder does not exist; make it first")


def _require_target(proposal: str | None, write_labels: Path | None) -> None:
    if proposal is not None and write_labels is None:
        raise DataError(f"--proposal {proposal}: says which proposal to write; give --write-labels FILE.yaml too")


def _write_proposal(diagnosis: Diagnosis, name: str | None, path: Path, console: Console) -> None:
    """Write the proposal of that name, or the first. Raises ``DataError`` when there is none."""
    if not diagnosis.proposals:
        reason = "; ".join(diagnosis.remarks) or "no known mistake explains the masks"
        raise DataError(f"{path}: not written, as no label set reads these masks: {reason}")
    by_name = {p.name: p for p in diagnosis.proposals}
    chosen = diagnosis.proposals[0] if name is None else by_name.get(name)
    if chosen is None:
        raise DataError(f"--proposal {name}: is none of those made for these masks: {', '.join(by_name)}")
    write_text(path, proposal_yaml(chosen))
    done = f"{path}: label set '{chosen.file.labels.name}' by proposal '{chosen.name}'; look it over before training"
    console.print(done, highlight=False, markup=False, soft_wrap=True)


@app.command()
def show(
    data: Source,
    output: Annotated[Path, Option(help="The picture to write (PNG).")] = Path("augmented.png"),
    split: Annotated[str, Option(help="The split to show, or a part of it: SPLIT@PART.")] = "train",
    count: Annotated[int, Option(min=1, max=64, help="How many samples.")] = 8,
    crop: Annotated[
        str | None, Option(metavar="HEIGHTxWIDTH", help="Crop size; the recipe's, or 352x480, if it is left out.")
    ] = None,
    recipe: Annotated[
        str | None, Option(help="Augment as this recipe does: a file (YAML), or the name of one that is shipped.")
    ] = None,
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    seed: Annotated[int, Option(min=0, help="Seed of the random choices.")] = 0,
) -> None:
    """Write a grid of augmented samples, each with its labels drawn over it on the right."""
    require_torch("data show")
    from contextnet.cli.augmented_grid import augmented_grid
    from contextnet.images import write_png

    crop_hw, ranges = _augmentation(crop, recipe, set_ or [])
    samples = open_data(data, split)
    write_png(output, augmented_grid(without_instances(samples), count, crop_hw, ranges, seed))
    Console().print(
        f"{output}: {min(count, len(samples))} augmented samples of {samples.name}", highlight=False, markup=False
    )


def _augmentation(
    crop: str | None, recipe: str | None, overrides: list[str]
) -> tuple[tuple[int, int], AugmentationRanges]:
    """Give the size of crops and how they are changed: by the recipe, or by default where there is none."""
    from contextnet.data.augmentation.ranges import AugmentationRanges
    from contextnet.training.recipe.recipe import read_recipe

    size_hw = parse_size(crop) if crop else None
    if recipe is None:
        if overrides:
            raise RecipeError(f"--set {overrides[0]}: changes a value of a recipe; give --recipe as well")
        return size_hw or (352, 480), AugmentationRanges()
    options = read_recipe(find_recipe(recipe), overrides).augmentation
    return size_hw or options.crop_hw, options.ranges()


@app.command()
def synthesize(
    output: Annotated[Path, Argument(help="Folder for the Cityscapes layout.")],
    split: Annotated[str, Option(help="train, val or demo: their drives never coincide.")] = "train",
    drives: Annotated[int, Option(min=1, help="How many drives.")] = 1,
    frames: Annotated[int, Option(min=1, help="Frames a drive.")] = 30,
    size: Annotated[str, Option(help="Image size, HEIGHTxWIDTH.")] = "1024x2048",
    frames_per_s: Annotated[float, Option("--fps", min=1, max=1000, help="Frames a second.")] = 17.0,
    varied: Annotated[
        bool, Option("--varied", help="Streets of many characters, instead of busy ones with all classes.")
    ] = False,
) -> None:
    """Draw synthetic streets: images, labelIds, instanceIds, colours and depth in the Cityscapes layout."""
    from contextnet.data.synthetic import drives_for, write_drives

    made = drives_for(split, drives, parse_size(size), frames, frames_per_s, varied)
    with progress_bar(f"drawing {drives} drives") as progress:
        count = write_drives(output, split, made, progress)
    done = f"{count} frames in {output}; open them as cityscapes:{output}"
    Console().print(done, highlight=False, markup=False, soft_wrap=True)
