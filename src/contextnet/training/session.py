"""A whole training, from a recipe to the files of its run: data read and checked, folder made ready, trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.console import Console

from contextnet.data.verification import verify_split
from contextnet.stop_signals import ending_on_sigterm
from contextnet.training.checkpoint import Checkpoints
from contextnet.training.datasets import open_validation_data
from contextnet.training.logbook import Logbook
from contextnet.training.long_work import LongWork
from contextnet.training.messages import wait_for_all
from contextnet.training.preparation import ShowProgress, prepare_split
from contextnet.training.ranks import ALONE, Ranks
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.run import resume_run, start_run
from contextnet.training.run_folder import RunFolder, prepare_run_folder
from contextnet.training.trainer import TrainingResult, train


@dataclass(frozen=True)
class Display:
    """Where a training tells what it does: its lines, and the progress of what takes long before the first step."""

    console: Console
    show: ShowProgress


def train_in_folder(
    recipe: Recipe,
    folder: RunFolder,
    device: torch.device,
    display: Display,
    *,
    command: str = "",
    ranks: Ranks = ALONE,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainingResult:
    """Train by a recipe and leave the run in ``folder``; every process of a distributed run calls this.

    ``command`` is noted in the weights. Raises ``DataError`` for data that cannot be trained on, ``RunError`` when the
    folder holds another run, and what ``train`` raises.
    """
    say = display.console.print
    with ending_on_sigterm():
        split = prepare_split(recipe.data, device, display.show, say, ranks)
        validation, work = open_validation_data(recipe.data), LongWork(ranks)
        if ranks.is_first:
            with display.show(f"checking {validation.name}") as progress:
                verify_split(validation, work.reported(progress))
        work.finish()
    # What keeps a run from starting is said before the old one goes.
    if resume:
        run = resume_run(recipe, split, device, Checkpoints(folder.root, recipe.checkpoints.keep), say, ranks)
    else:
        run = start_run(recipe, split, device, ranks)
    wait_for_all(ranks)
    if ranks.is_first:
        prepare_run_folder(folder.root, resume=resume, overwrite=overwrite)
    wait_for_all(ranks)
    with Logbook(folder.log if ranks.is_first else None, display.console) as logbook:
        return train(run, split, validation, folder, logbook, command=command)
