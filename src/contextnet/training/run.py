"""A training run in memory: network, average, optimizer, loss and progress, new or as a state file left them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from contextnet.data.batches import DecodedSplit
from contextnet.errors import RunError, TrainingError
from contextnet.models.contextnet import ContextNet
from contextnet.spec import ContextNetSpec
from contextnet.training.averaging import start_average
from contextnet.training.checkpoint import Progress, load_state
from contextnet.training.losses.segmentation import SegmentationLoss, build_loss
from contextnet.training.losses.teacher import Teacher, load_teacher
from contextnet.training.optimizer import build_optimizer
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.run_folder import RunFolder


@dataclass
class TrainingRun:
    """The parts of a run that change as it goes."""

    recipe: Recipe
    network: ContextNet
    averaged: dict[str, Tensor] | None
    optimizer: Optimizer
    loss: SegmentationLoss
    teacher: Teacher | None
    device: torch.device
    progress: Progress
    steps_per_epoch: int
    nonfinite_in_a_row: int = 0

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.epochs


def start_run(recipe: Recipe, split: DecodedSplit, device: torch.device) -> TrainingRun:
    """Build network, optimizer and loss of a recipe, seeded, before the first step.

    An epoch leaves out the last samples where they do not fill a batch. Raises ``TrainingError`` when the batches are
    too small for batch norm or the warm-up is longer than the run.
    """
    torch.manual_seed(recipe.seed)
    network = ContextNet(recipe.network.spec(split.labels.num_classes))
    _refuse_single_values(recipe, network.spec, len(split))
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = start_average(network) if recipe.ema_decay else None
    optimizer = build_optimizer(network, recipe.optimizer)
    loss = build_loss(recipe.loss, split.labels, split.pixel_counts, device)
    teacher = load_teacher(recipe.loss.distillation, split.labels, device)
    steps = max(1, len(split) // recipe.batch_size)
    run = TrainingRun(recipe, network, averaged, optimizer, loss, teacher, device, Progress(), steps)
    if recipe.schedule.warmup_steps >= run.total_steps:
        raise TrainingError(
            f"'schedule.warmup_steps' is {recipe.schedule.warmup_steps}, but {recipe.epochs} epochs of {len(split)} "
            f"samples are only {run.total_steps} steps; lower it or train for more epochs"
        )
    return run


def resume_run(recipe: Recipe, split: DecodedSplit, device: torch.device, folder: RunFolder) -> TrainingRun:
    """Build a run and bring it to where the folder's state file left it.

    Raises ``WeightsError`` for a damaged file, and ``RunError`` where the recipe or the data makes other steps than
    those that were taken.
    """
    run = start_run(recipe, split, device)
    run.progress = load_state(folder.last_state, run.network, run.averaged, run.optimizer)
    if run.progress.epoch > recipe.epochs:
        raise RunError(
            f"{folder.last_state}: already has {run.progress.epoch} epochs, more than the {recipe.epochs} asked for; "
            f"give 'epochs' of {run.progress.epoch} or more"
        )
    if run.progress.step != run.progress.epoch * run.steps_per_epoch:
        raise RunError(
            f"{folder.last_state}: {run.progress.epoch} epochs took {run.progress.step} steps, but an epoch now has "
            f"{run.steps_per_epoch}; resume with the run's own 'batch_size' and data"
        )
    return run


def _refuse_single_values(recipe: Recipe, spec: ContextNetSpec, num_samples: int) -> None:
    """Raise ``TrainingError`` where batch norm would get a single value a channel, which has no variance."""
    images = min(recipe.batch_size, num_samples)
    cells = 1
    if not recipe.network.pyramid_pooling:
        cells = math.prod(-(-side // spec.size_multiple) for side in recipe.augmentation.crop_hw)
    if images * cells == 1:
        what = "pyramid pooling" if recipe.network.pyramid_pooling else f"a crop of {recipe.augmentation.crop_hw}"
        raise TrainingError(
            f"a batch of one image with {what} leaves batch norm a single value a channel "
            f"('batch_size' is {recipe.batch_size}, the split has {num_samples} samples); "
            "train with two images a batch or more, or with a larger 'augmentation.crop_hw' and no pyramid pooling"
        )
