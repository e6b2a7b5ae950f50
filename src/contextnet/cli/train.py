"""``contextnet train``: train a network by a recipe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import Device, override, require_device
from contextnet.cli.progress import progress_bar
from contextnet.errors import RunError
from contextnet.recipes.catalogue import find_recipe

if TYPE_CHECKING:
    from contextnet.training.trainer import TrainingResult


def train(
    recipe: Annotated[
        str | None, Argument(help="A recipe file (YAML), or the name of one that is shipped; not needed with --resume.")
    ] = None,
    output: Annotated[Path, Option(help="Folder of the run: weights, log, resolved recipe.")] = Path("runs/latest"),
    data: Annotated[str | None, Option(help="KIND:ROOT of the data set, in place of the recipe's.")] = None,
    init_from: Annotated[
        str | None,
        Option(metavar="WEIGHTS", help="Start from these weights, a file or a shipped network's name, where they fit."),
    ] = None,
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the run in the output folder, by its own recipe.")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the run in the output folder.")] = False,
    device: Device = "cpu",
) -> None:
    """Train a network; leaves best and last weights, scores, states and log in the output folder.

    Under torchrun every process trains on its part of each batch.
    """
    require_torch("train")
    from contextnet.training.ranks import join_ranks
    from contextnet.training.recipe.recipe import read_recipe
    from contextnet.training.run_folder import check_run_folder
    from contextnet.training.session import Display, train_in_folder
    from contextnet.training.tensorboard import require_tensorboard

    require_device(device)
    overrides = [*(set_ or []), *override("data.source", data), *override("init_from", init_from)]
    if resume and any(override.partition("=")[0].strip() == "init_from" for override in overrides):
        raise RunError("--resume goes on with the weights of the run; give --init-from when a run is started")
    folder = check_run_folder(output, resume=resume, overwrite=overwrite)
    plan = read_recipe(_recipe_path(recipe, folder.recipe, resume=resume), overrides)
    if plan.tensorboard:
        require_tensorboard()
    with join_ranks(device) as (ranks, place):
        console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True, quiet=not ranks.is_first)
        result = train_in_folder(
            plan,
            folder,
            place,
            Display(console, lambda title: progress_bar(title, visible=ranks.is_first)),
            command=shlex.join(["contextnet", *sys.argv[1:]]),
            ranks=ranks,
            resume=resume,
            overwrite=overwrite,
        )
    console.print(_closing_line(result, folder.best_weights))
    if result.stopped_by is not None:
        console.print("go on with --resume")
        raise typer.Exit(128 + result.stopped_by)


def _closing_line(result: TrainingResult, best_weights: Path) -> str:
    best = f"best mIoU {result.best_miou:.4f} in epoch {result.best_epoch}: {best_weights}"
    told = best if result.best_epoch >= 0 else "none validated yet"
    return f"{result.epochs} whole epochs in {_duration(result.seconds)}; {told}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def _recipe_path(recipe: str | None, own: Path, *, resume: bool) -> Path:
    """Give the recipe's file: the run's own when resuming, which a recipe given beside it must agree with by name."""
    from contextnet.training.recipe.recipe import read_recipe

    if recipe is None and not resume:
        raise RunError("give a recipe: a YAML file, or the name of a shipped one")
    if recipe is None or not resume:
        return own if resume else find_recipe(recipe or "")
    given, stored = read_recipe(find_recipe(recipe)).name, read_recipe(own).name
    if given != stored:
        raise RunError(f"{own.parent}: holds a run of recipe '{stored}', not '{given}'; resume it without a recipe")
    return own
