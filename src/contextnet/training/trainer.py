"""The training loop: decode, augment, step, validate, save; reads from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from contextnet.data.batches import Batch, DecodedSplit, draw_batch, epoch_order, generator_for
from contextnet.data.sample import SegmentationData
from contextnet.errors import TrainingError
from contextnet.evaluation.evaluator import evaluate
from contextnet.evaluation.scores import Scores
from contextnet.files import write_json
from contextnet.models.contextnet import ContextNet
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, load_strictly, write_weights
from contextnet.spec import ContextNetSpec
from contextnet.training.averaging import start_average, update_average
from contextnet.training.checkpoint import Progress, load_state, save_state
from contextnet.training.logbook import Logbook
from contextnet.training.loss import SegmentationLoss, bounded_log_weights
from contextnet.training.optimizer import build_optimizer
from contextnet.training.recipe import Recipe
from contextnet.training.run_folder import RunFolder
from contextnet.training.schedule import Schedule, constant, cosine, poly, rate_at

AUGMENTATION_STREAM = 1
NETWORK_STREAM = 2


@dataclass
class TrainingRun:
    """The parts of a run that change as it goes."""

    recipe: Recipe
    network: ContextNet
    averaged: dict[str, Tensor] | None
    optimizer: Optimizer
    loss: SegmentationLoss
    device: torch.device
    progress: Progress
    nonfinite_in_a_row: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended: epochs done, and mIoU and epoch of the best validation."""

    epochs: int
    best_miou: float
    best_epoch: int
    seconds: float


def train(
    recipe: Recipe,
    split: DecodedSplit,
    validation: SegmentationData,
    folder: RunFolder,
    logbook: Logbook,
    *,
    resume: bool = False,
    device: str | torch.device = "cpu",
    command: str = "",
) -> TrainingResult:
    """Train the recipe's network on a decoded split and leave its files in ``folder``.

    The validated and saved weights are the averaged ones where the recipe averages. ``command`` is noted in the
    weights' metadata. Raises ``TrainingError`` when too many steps in a row have a loss that is not finite, and when a
    batch does not fit into memory or is too small for batch norm.
    """
    for fault in split.skipped:
        logbook.say(f"skipped: {fault}")
    run = start_run(recipe, split, torch.device(device))
    if resume:
        run.progress = load_state(folder.last_state, run.network, run.averaged, run.optimizer)
    steps_per_epoch = max(1, len(split) // recipe.batch_size)
    total_steps = steps_per_epoch * recipe.epochs
    logbook.write("start", step=run.progress.step, total_steps=total_steps, skipped_samples=list(split.skipped))
    logbook.start_bar(total_steps, run.progress.step)
    for epoch in range(run.progress.epoch, recipe.epochs):
        started = time.monotonic()
        loss = _train_epoch(run, split, epoch, steps_per_epoch, logbook)
        seconds = run.progress.seconds + time.monotonic() - started
        run.progress = replace(run.progress, epoch=epoch + 1, seconds=seconds)
        logbook.write(
            "epoch",
            epoch=epoch + 1,
            step=run.progress.step,
            loss=loss if math.isfinite(loss) else None,
            seconds=round(seconds, 1),
            skipped_steps=run.progress.skipped_steps,
        )
        if (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs:
            _validate(run, validation, split, folder, logbook, command)
        save_state(folder.last_state, run.network, run.averaged, run.optimizer, run.progress)
    return TrainingResult(run.progress.epoch, run.progress.best_miou, run.progress.best_epoch, run.progress.seconds)


def start_run(recipe: Recipe, split: DecodedSplit, device: torch.device) -> TrainingRun:
    """Build network, optimizer and loss of a recipe, seeded, before the first step."""
    torch.manual_seed(recipe.seed)
    network = ContextNet(recipe.network.spec(split.labels.num_classes))
    _refuse_single_values(recipe, network.spec, len(split))
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = start_average(network) if recipe.ema_decay else None
    optimizer = build_optimizer(network, recipe.optimizer)
    class_weights = None
    if recipe.loss.class_weighting == "bounded-log":
        class_weights = bounded_log_weights(split.pixel_counts()).to(device)
    loss = SegmentationLoss(recipe.loss.auxiliary_weight, class_weights)
    return TrainingRun(recipe, network, averaged, optimizer, loss, device, Progress())


def _train_epoch(run: TrainingRun, split: DecodedSplit, epoch: int, steps: int, logbook: Logbook) -> float:
    """Take the steps of one epoch; give the mean loss of those that counted."""
    recipe = run.recipe
    run.network.train()
    order = epoch_order(len(split), recipe.seed, epoch).tolist()
    losses = []
    for index in range(steps):
        step = run.progress.step
        indices = order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
        loss = _step_on(run, split, indices, steps * recipe.epochs)
        if loss is not None:
            losses.append(loss)
        run.progress = replace(run.progress, step=step + 1)
        logbook.advance(step + 1, f"epoch {epoch + 1}/{recipe.epochs} loss {losses[-1] if losses else math.nan:.3f}")
    return sum(losses) / len(losses) if losses else math.nan


def _step_on(run: TrainingRun, split: DecodedSplit, indices: list[int], total_steps: int) -> float | None:
    """Draw the batch of the next step and take it; memory that does not suffice is said in the recipe's terms."""
    recipe, step = run.recipe, run.progress.step
    generator = generator_for(recipe.seed, step, stream=AUGMENTATION_STREAM, device=run.device)
    crop_hw = recipe.augmentation.crop_hw
    try:
        batch = draw_batch(split, indices, crop_hw, recipe.augmentation.ranges(), generator)
        # Dropout draws from the global generator; seeding it by the step makes every step repeatable by itself.
        torch.manual_seed(generator_for(recipe.seed, step, stream=NETWORK_STREAM).initial_seed())
        return take_step(run, batch, step, total_steps)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"step {step}: a batch of {len(indices)} crops of {crop_hw[0]}×{crop_hw[1]} (height × width) does not fit "
            f"into the memory of '{run.device}'; lower 'batch_size' or 'augmentation.crop_hw'"
        ) from error


def take_step(run: TrainingRun, batch: Batch, step: int, total_steps: int) -> float | None:
    """Take one optimizer step and give its loss, or None where loss or gradient is not finite: nothing changes then."""
    recipe = run.recipe
    rate = rate_at(step, total_steps, recipe.schedule.warmup_steps, schedule_of(recipe))
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.optimizer.learning_rate * rate
    # A forward pass moves the batch norm's running statistics, also one that ends in NaN.
    statistics = [buffer.clone() for buffer in run.network.buffers()]
    images = batch.images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        output = run.network(images)
    loss = run.loss(output, batch.labels)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in run.network.parameters() if p.grad is not None]
    value, norm = torch.stack([loss.detach(), get_total_norm(gradients)]).tolist()
    if not (math.isfinite(value) and math.isfinite(norm)):
        for buffer, before in zip(run.network.buffers(), statistics, strict=True):
            buffer.copy_(before)
        _count_nonfinite(run, step)
        return None
    run.nonfinite_in_a_row = 0
    run.optimizer.step()
    if run.averaged is not None and recipe.ema_decay:
        update_average(run.averaged, run.network, recipe.ema_decay, step)
    return float(value)


def schedule_of(recipe: Recipe) -> Schedule:
    """Give the schedule that a recipe names."""
    schedules = {"poly": poly(recipe.schedule.power), "cosine": cosine(), "constant": constant()}
    return schedules[recipe.schedule.kind]


def _refuse_single_values(recipe: Recipe, spec: ContextNetSpec, num_samples: int) -> None:
    """Raise ``TrainingError`` where batch norm would see a single value a channel, which has no variance."""
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


def _count_nonfinite(run: TrainingRun, step: int) -> None:
    run.nonfinite_in_a_row += 1
    run.progress = replace(run.progress, skipped_steps=run.progress.skipped_steps + 1)
    if run.nonfinite_in_a_row >= run.recipe.max_nonfinite_steps:
        raise TrainingError(
            f"the loss or its gradient was NaN or infinite in {run.nonfinite_in_a_row} steps in a row, to step {step} "
            "('max_nonfinite_steps'); lower 'optimizer.learning_rate' or train in float32"
        )


def _validate(
    run: TrainingRun, data: SegmentationData, split: DecodedSplit, folder: RunFolder, logbook: Logbook, command: str
) -> None:
    """Score the weights, note the scores, and keep the weights as last and, if they are, as best."""
    tensors = run.averaged if run.averaged is not None else run.network.state_dict()
    network = ContextNet(run.network.spec)
    load_strictly(network, tensors, "averaged weights")
    scores = evaluate(NetworkPredictor(network, run.device), data).scores
    epoch = run.progress.epoch
    accuracy = scores.pixel_accuracy
    logbook.write("validation", epoch=epoch, miou=scores.miou, pixel_accuracy=accuracy, iou=_class_iou(scores))
    training = _summary(run, split, data, scores, command)
    weights = Weights(network.spec, split.labels, network.state_dict(), training, split.licence)
    if scores.miou > run.progress.best_miou:
        run.progress = replace(run.progress, best_miou=scores.miou, best_epoch=epoch)
        write_weights(folder.best_weights, weights)
        write_json(folder.scores, scores.to_json())
    write_weights(folder.last_weights, weights)
    logbook.say(f"epoch {epoch}: mIoU {scores.miou:.4f} on {data.name}, best {run.progress.best_miou:.4f}")


def _summary(
    run: TrainingRun, split: DecodedSplit, data: SegmentationData, scores: Scores, command: str
) -> dict[str, Any]:
    """What the weights file tells of its training."""
    return {
        "recipe": run.recipe.name,
        "trained_on": split.name,
        "validated_on": data.name,
        "miou": scores.miou,
        "epochs": run.progress.epoch,
        "hours": round(run.progress.seconds / 3600, 2),
        "command": command,
    }


def _class_iou(scores: Scores) -> dict[str, float | None]:
    named = zip(scores.class_names, scores.class_iou, strict=True)
    return {name: None if math.isnan(iou) else round(iou, 4) for name, iou in named}
