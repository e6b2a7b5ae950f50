"""``contextnet train``: train a network by a recipe."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import Device, require_device
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
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the run in the output folder, by its own recipe.")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the run in the output folder.")] = False,
    device: Device = "cpu",
) -> None:
    """Train a network; leaves best and last weights, scores and log in the output folder."""
    require_torch("train")
    import torch

    from contextnet.data.batches import decode_split
    from contextnet.data.sources import open_data
    from contextnet.data.verification import verify_split
    from contextnet.training.logbook import Logbook
    from contextnet.training.recipe.recipe import read_recipe
    from contextnet.training.run import start_run
    from contextnet.training.run_folder import check_run_folder, prepare_run_folder
    from contextnet.training.trainer import train as run_training

    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    require_device(device)
    overrides = list(set_ or [])
    if data:
        overrides.append(f"data.source={json.dumps(data)}")
    folder = check_run_folder(output, resume=resume, overwrite=overwrite)
    plan = read_recipe(_recipe_path(recipe, folder.recipe, resume=resume), overrides)
    training = open_data(plan.data.source, plan.data.train_split)
    validation = open_data(plan.data.source, plan.data.val_split)
    with progress_bar(f"reading {training.name}") as progress:
        split = decode_split(training, unreadable_budget=plan.data.unreadable_budget, progress=progress)
    with progress_bar(f"checking {validation.name}") as progress:
        verify_split(validation, progress)
    if not resume:
        start_run(plan, split, torch.device(device))  # what keeps a run from starting is said before the old one goes
    prepare_run_folder(output, resume=resume, overwrite=overwrite)
    with Logbook(folder.log, console) as logbook:
        command = shlex.join(["contextnet", *sys.argv[1:]])
        result = run_training(plan, split, validation, folder, logbook, resume=resume, device=device, command=command)
    console.print(_closing_line(result, folder.best_weights))


def _closing_line(result: TrainingResult, best_weights: Path) -> str:
    return (
        f"{result.epochs} epochs in {result.seconds / 3600:.2f} h; best mIoU {result.best_miou:.4f} in epoch "
        f"{result.best_epoch}: {best_weights}"
    )


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
