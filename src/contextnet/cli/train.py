"""``contextnet train``: train a network by a recipe."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import Device
from contextnet.files import write_text


def train(
    recipe: Annotated[str, Argument(help="A recipe file (YAML), or the name of one that is shipped.")],
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
    from contextnet.data.batches import decode_split
    from contextnet.data.sources import open_data
    from contextnet.recipes import find_recipe
    from contextnet.training.logbook import Logbook
    from contextnet.training.recipe import read_recipe, write_recipe
    from contextnet.training.run_folder import check_run_folder, prepare_run_folder
    from contextnet.training.trainer import train as run_training

    console = Console(stderr=True)
    overrides = list(set_ or [])
    if data:
        overrides.append(f"data.source={json.dumps(data)}")
    folder = check_run_folder(output, resume=resume, overwrite=overwrite)
    plan = read_recipe(folder.recipe if resume else find_recipe(recipe), overrides)
    training = open_data(plan.data.source, plan.data.train_split)
    validation = open_data(plan.data.source, plan.data.val_split)
    console.print(f"decoding {len(training)} samples of {training.name}")
    split = decode_split(training, unreadable_budget=plan.data.unreadable_budget)
    prepare_run_folder(output, resume=resume, overwrite=overwrite)
    write_text(folder.recipe, write_recipe(plan))
    with Logbook(folder.log, console) as logbook:
        command = shlex.join(["contextnet", *sys.argv[1:]])
        result = run_training(plan, split, validation, folder, logbook, resume=resume, device=device, command=command)
    hours = result.seconds / 3600
    console.print(
        f"{result.epochs} epochs in {hours:.2f} h; best mIoU {result.best_miou:.4f} in epoch {result.best_epoch}: "
        f"{folder.best_weights}"
    )
