"""A training run in memory: network, average, optimizer, loss and progress, new or as a state file left them."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from contextnet.data.decoding import DecodedSplit
from contextnet.errors import RunError, TrainingError
from contextnet.models.contextnet import ContextNet
from contextnet.models.network import Network, build_network
from contextnet.models.network_output import NetworkOutput
from contextnet.network_spec import NetworkSpec
from contextnet.training.averaging import start_average
from contextnet.training.checkpoint import Checkpoints, Progress, load_state
from contextnet.training.decision import classifier_bias
from contextnet.training.losses.segmentation import SegmentationLoss, build_loss
from contextnet.training.losses.teacher import Teacher, load_teacher
from contextnet.training.messages import value_of_first
from contextnet.training.optimizer import build_optimizer
from contextnet.training.quantization_aware import QuantizationAwareForward
from contextnet.training.ranks import ALONE, Ranks, part_of
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.synchronized_norm import synchronize_batch_norm
from contextnet.training.transfer import TransferReport, load_transfer


@dataclass
class TrainingRun:
    """The parts of a run that change as it goes.

    ``forward`` is the network, compiled, or rounded as INT8 rounds, where the recipe says so. ``scaler`` scales the
    loss in float16 and passes it through otherwise. ``transfer`` says which tensors the network started from, where it
    did not start anew.
    """

    recipe: Recipe
    network: Network
    forward: Callable[[Tensor], NetworkOutput]
    averaged: dict[str, Tensor] | None
    optimizer: Optimizer
    scaler: GradScaler
    loss: SegmentationLoss
    teacher: Teacher | None
    transfer: TransferReport | None
    device: torch.device
    ranks: Ranks
    progress: Progress
    steps_per_epoch: int
    started_s: float

    @property
    def seconds(self) -> float:
        """Seconds trained over all the times that the run was started."""
        return time.monotonic() - self.started_s

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.epochs


def start_run(recipe: Recipe, split: DecodedSplit, device: torch.device, ranks: Ranks = ALONE) -> TrainingRun:
    """Build network, optimizer and loss of a recipe, seeded, before the first step.

    An epoch leaves out the last samples where they do not fill a batch. Raises ``TrainingError`` when the batches are
    too small for batch norm or cannot be shared out evenly, when the warm-up is longer than the run, when the network
    is to be compiled without a compiler, and when a decision is to be tuned that has no bias.
    """
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network.spec(split.labels.num_classes))
    _refuse_uneven_parts(recipe, len(split), ranks)
    _refuse_single_values(recipe, network.spec, len(split), ranks)
    transfer = load_transfer(recipe.init_from, network, split.labels) if recipe.init_from else None
    execution = recipe.execution
    if execution.sync_batch_norm:
        network = cast(Network, synchronize_batch_norm(network, ranks))
    network = network.to(device)
    if execution.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = max(1, len(split) // recipe.batch_size)
    _refuse_long_warmup(recipe, steps, len(split))
    if recipe.tune_decision:
        classifier_bias(network)
    return TrainingRun(
        recipe=recipe,
        network=network,
        forward=_forward(recipe, network, device),
        averaged=start_average(network) if recipe.ema_decay else None,
        optimizer=build_optimizer(network, recipe.optimizer),
        scaler=GradScaler(device.type, enabled=execution.precision == "float16"),
        loss=build_loss(recipe.loss, split.labels, split.pixel_counts, device, network.spec.output_stride),
        teacher=load_teacher(recipe.loss.distillation, split.labels, device),
        transfer=transfer,
        device=device,
        ranks=ranks,
        progress=Progress(seed=recipe.seed, batch_size=recipe.batch_size, samples=len(split)),
        steps_per_epoch=steps,
        started_s=time.monotonic(),
    )


def resume_run(
    recipe: Recipe,
    split: DecodedSplit,
    device: torch.device,
    checkpoints: Checkpoints,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> TrainingRun:
    """Build a run and bring it to where its newest sound state left it; ``say`` is told of damaged ones.

    Raises ``WeightsError`` where every state is damaged, and ``RunError`` where the recipe or the data makes other
    steps than those that were taken.
    """
    # The state holds every weight, so that those which the run once started from are not needed again.
    run = start_run(recipe.model_copy(update={"init_from": None}), split, device, ranks)
    run.recipe = recipe
    path = value_of_first(checkpoints.newest_sound(say) if ranks.is_first else Path(), ranks)
    progress = load_state(path, run.network, run.averaged, run.optimizer)
    _refuse_other_steps(path, progress, run)
    run.progress = progress
    if run.scaler.is_enabled() and progress.loss_scale is not None:
        scale = {"scale": progress.loss_scale, "_growth_tracker": progress.scale_growth}
        run.scaler.load_state_dict(run.scaler.state_dict() | scale)
    run.started_s = time.monotonic() - progress.seconds
    return run


def _refuse_other_steps(path: Path, progress: Progress, run: TrainingRun) -> None:
    """Raise ``RunError`` where the recipe or the data would take other steps than those in the state."""
    epochs = run.recipe.epochs
    if progress.epoch > epochs:
        raise RunError(
            f"{path}: already has {progress.epoch} epochs, more than the {epochs} asked for; "
            f"give 'epochs' of {progress.epoch} or more"
        )
    now = run.progress
    for name, was, wanted in (
        ("seed", progress.seed, now.seed),
        ("batch_size", progress.batch_size, now.batch_size),
        ("samples in the training split", progress.samples, now.samples),
    ):
        if was not in {None, wanted}:
            raise RunError(f"{path}: was made with '{name}' {was}, now it is {wanted}; resume as the run was started")
    if not 0 <= progress.step - progress.epoch * run.steps_per_epoch <= run.steps_per_epoch:
        raise RunError(
            f"{path}: {progress.epoch} whole epochs and {progress.step} steps, but an epoch now has "
            f"{run.steps_per_epoch}; resume with the run's own 'batch_size' and data"
        )


def _forward(recipe: Recipe, network: Network, device: torch.device) -> Callable[[Tensor], NetworkOutput]:
    if recipe.quantization_aware:
        if not isinstance(network, ContextNet):
            raise TrainingError(
                f"'quantization_aware' rounds as ContextNet's INT8 form does, and '{network.spec.name}' is another "
                "network; leave it out"
            )
        return QuantizationAwareForward(network)
    return _compiled(network, device) if recipe.execution.compile else network


def _compiled(network: Network, device: torch.device) -> Callable[[Tensor], NetworkOutput]:
    compiler = os.environ.get("CXX", "g++")
    if device.type == "cpu" and shutil.which(compiler) is None:
        raise TrainingError(
            f"'execution.compile' needs a C++ compiler, and there is no '{compiler}'; install one, or set it to false"
        )
    return cast(Callable[[Tensor], NetworkOutput], torch.compile(network))


def _refuse_uneven_parts(recipe: Recipe, num_samples: int, ranks: Ranks) -> None:
    part_of(min(recipe.batch_size, num_samples), ranks, recipe.execution.accumulation)


def _refuse_long_warmup(recipe: Recipe, steps_per_epoch: int, num_samples: int) -> None:
    total = steps_per_epoch * recipe.epochs
    if recipe.schedule.warmup_steps >= total:
        raise TrainingError(
            f"'schedule.warmup_steps' is {recipe.schedule.warmup_steps}, but {recipe.epochs} epochs of {num_samples} "
            f"samples are only {total} steps; give {max(0, total // 10)} or train for more epochs"
        )


def _refuse_single_values(recipe: Recipe, spec: NetworkSpec, num_samples: int, ranks: Ranks) -> None:
    """Raise ``TrainingError`` where batch norm would get a single value a channel, which has no variance."""
    images = min(recipe.batch_size, num_samples) // recipe.execution.accumulation
    if not recipe.execution.sync_batch_norm:
        images //= ranks.world_size
    cells = 1
    if not spec.has_pyramid:
        cells = math.prod(-(-side // spec.size_multiple) for side in recipe.augmentation.crop_hw)
    if images * cells == 1:
        what = "pyramid pooling" if spec.has_pyramid else f"a crop of {recipe.augmentation.crop_hw}"
        raise TrainingError(
            f"a batch of one image with {what} leaves batch norm a single value a channel "
            f"('batch_size' is {recipe.batch_size}, the split has {num_samples} samples); "
            "train with two images a batch or more, or with a larger 'augmentation.crop_hw' and no pyramid pooling"
        )
