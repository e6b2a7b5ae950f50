"""The training loop: decode, augment, step, validate, save; reads from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch
from torch.nn.utils import get_total_norm

from contextnet.data.batches import Batch, DecodedSplit, draw_batch, epoch_order, generator_for
from contextnet.data.sample import SegmentationData
from contextnet.errors import TrainingError
from contextnet.files import write_text
from contextnet.training.averaging import update_average
from contextnet.training.checkpoint import save_state
from contextnet.training.logbook import Logbook
from contextnet.training.recipe.recipe import Recipe, write_recipe
from contextnet.training.run import TrainingRun, resume_run, start_run
from contextnet.training.run_folder import RunFolder
from contextnet.training.schedule import Schedule, constant, cosine, poly, rate_at
from contextnet.training.validation import validate

AUGMENTATION_STREAM = 1
NETWORK_STREAM = 2


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
    weights' metadata. The resolved recipe is written once the run can start. Raises ``TrainingError`` when too many
    steps in a row have a loss that is not finite, and when a batch does not fit into memory or is too small for batch
    norm; ``RunError`` or ``WeightsError`` when there is nothing that can be resumed.
    """
    for fault in split.skipped:
        logbook.say(f"skipped: {fault}")
    place = torch.device(device)
    run = resume_run(recipe, split, place, folder) if resume else start_run(recipe, split, place)
    write_text(folder.recipe, write_recipe(recipe))
    logbook.write("start", step=run.progress.step, total_steps=run.total_steps, skipped_samples=list(split.skipped))
    logbook.start_bar(run.total_steps, run.progress.step)
    clock = _Clock(run.progress.seconds)
    while True:
        if _is_validation_due(run):
            validate(run, validation, split, folder, logbook, command)
            run.progress = replace(run.progress, seconds=clock.seconds())
            save_state(folder.last_state, run.network, run.averaged, run.optimizer, run.progress)
        if run.progress.epoch == recipe.epochs:
            break
        loss = _train_epoch(run, split, logbook)
        run.progress = replace(run.progress, epoch=run.progress.epoch + 1, seconds=clock.seconds())
        logbook.write(
            "epoch",
            epoch=run.progress.epoch,
            step=run.progress.step,
            loss=loss if math.isfinite(loss) else None,
            seconds=round(run.progress.seconds, 1),
            skipped_steps=run.progress.skipped_steps,
        )
        save_state(folder.last_state, run.network, run.averaged, run.optimizer, run.progress)
    return TrainingResult(run.progress.epoch, run.progress.best_miou, run.progress.best_epoch, run.progress.seconds)


def _is_validation_due(run: TrainingRun) -> bool:
    """Tell whether the epochs done ask for a validation that was not made, also by a run that was stopped in it."""
    epoch = run.progress.epoch
    at_interval = epoch > 0 and epoch % run.recipe.validate_every == 0
    return run.progress.validated_epoch != epoch and (at_interval or epoch == run.recipe.epochs)


class _Clock:
    """Seconds of a run over all its sessions."""

    def __init__(self, seconds_before: float) -> None:
        self._origin = time.monotonic() - seconds_before

    def seconds(self) -> float:
        return time.monotonic() - self._origin


def _train_epoch(run: TrainingRun, split: DecodedSplit, logbook: Logbook) -> float:
    """Take the steps of one epoch; give the mean loss of those that counted."""
    recipe, epoch = run.recipe, run.progress.epoch
    run.network.train()
    order = epoch_order(len(split), recipe.seed, epoch).tolist()
    losses = []
    for index in range(run.steps_per_epoch):
        step = run.progress.step
        indices = order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
        loss = _step_on(run, split, indices)
        if loss is not None:
            losses.append(loss)
        run.progress = replace(run.progress, step=step + 1)
        newest = losses[-1] if losses else math.nan
        logbook.advance(step + 1, f"epoch {epoch + 1}/{recipe.epochs}, loss {newest:.3f}", len(indices))
    return sum(losses) / len(losses) if losses else math.nan


def _step_on(run: TrainingRun, split: DecodedSplit, indices: list[int]) -> float | None:
    """Draw the batch of the next step and take it; memory that does not suffice is said in the recipe's terms."""
    recipe, step = run.recipe, run.progress.step
    generator = generator_for(recipe.seed, step, stream=AUGMENTATION_STREAM, device=run.device)
    crop_hw = recipe.augmentation.crop_hw
    try:
        batch = draw_batch(split, indices, crop_hw, recipe.augmentation.ranges(), generator)
        # Dropout draws from the global generator; seeding it by the step makes every step repeatable by itself.
        torch.manual_seed(generator_for(recipe.seed, step, stream=NETWORK_STREAM).initial_seed())
        return take_step(run, batch, step)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"step {step}: a batch of {len(indices)} crops of {crop_hw[0]}×{crop_hw[1]} (height × width) does not fit "
            f"into the memory of '{run.device}'; lower 'batch_size' or 'augmentation.crop_hw'"
        ) from error


def take_step(run: TrainingRun, batch: Batch, step: int) -> float | None:
    """Take one optimizer step and give its loss, or None where loss or gradient is not finite: nothing changes then."""
    recipe = run.recipe
    rate = rate_at(step, run.total_steps, recipe.schedule.warmup_steps, schedule_of(recipe))
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.optimizer.learning_rate * rate
    # A forward pass moves the batch norm's running statistics, also one that ends in NaN.
    statistics = [buffer.clone() for buffer in run.network.buffers()]
    images = batch.images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=recipe.execution.precision == "bfloat16"):
        output = run.network(images)
        taught = run.teacher.loss(images, output.scores) if run.teacher else None
    loss = run.loss(output, batch.labels)
    loss = loss if taught is None else loss + taught
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


def _count_nonfinite(run: TrainingRun, step: int) -> None:
    run.nonfinite_in_a_row += 1
    run.progress = replace(run.progress, skipped_steps=run.progress.skipped_steps + 1)
    if run.nonfinite_in_a_row >= run.recipe.max_nonfinite_steps:
        raise TrainingError(
            f"the loss or its gradient was NaN or infinite in {run.nonfinite_in_a_row} steps in a row, to step {step} "
            "('max_nonfinite_steps'); lower 'optimizer.learning_rate' or train in float32"
        )
