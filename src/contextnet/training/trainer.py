"""The training loop: draw, step, validate, save; reads from top to bottom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import torch

from contextnet.data.batches import AUGMENTATION_STREAM, NETWORK_STREAM, draw_batch, epoch_order, generator_for
from contextnet.data.decoding import DecodedSplit
from contextnet.data.sample import SegmentationData
from contextnet.errors import TrainingError
from contextnet.files import write_text
from contextnet.stop_signals import Stopped, StopRequest, heed_signals
from contextnet.training.allocator import lacks_memory, retained_memory
from contextnet.training.checkpoint import Checkpoints
from contextnet.training.logbook import Logbook
from contextnet.training.messages import any_rank, wait_for_all
from contextnet.training.ranks import part_of
from contextnet.training.recipe.recipe import write_recipe
from contextnet.training.run import TrainingRun
from contextnet.training.run_folder import RunFolder
from contextnet.training.step import learning_rate_at, take_step
from contextnet.training.tensorboard import TensorBoard, open_tensorboard
from contextnet.training.validation import validate

BOARD_INTERVAL = 10
"""Steps between two points of TensorBoard's curves."""


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended: epochs done, mIoU and epoch of the best validation, and the signal that stopped it, if any."""

    epochs: int
    best_miou: float
    best_epoch: int
    seconds: float
    stopped_by: int | None = None


def train(
    run: TrainingRun,
    split: DecodedSplit,
    validation: SegmentationData,
    folder: RunFolder,
    logbook: Logbook,
    *,
    command: str = "",
) -> TrainingResult:
    """Take ``run`` to its end on a decoded split, and leave its files in ``folder``.

    The validated and saved weights are the averaged ones where the recipe averages. ``command`` is noted in the
    weights' metadata. SIGTERM and SIGINT end the run after the step that is under way, with its state saved. Every
    process of a distributed run calls this; the first one writes. Raises ``TrainingError`` when too many steps in a row
    have a loss that is not finite, when a batch does not fit into memory, and when another process of the run has
    ended.
    """
    recipe, ranks = run.recipe, run.ranks
    for fault in split.skipped:
        logbook.say(f"skipped: {fault}")
    checkpoints = Checkpoints(folder.root, recipe.checkpoints.keep)
    if ranks.is_first:
        write_text(folder.recipe, write_recipe(recipe))
    _announce(run, split, logbook)
    events = open_tensorboard(folder.root, enabled=recipe.tensorboard and ranks.is_first, step=run.progress.step)
    with heed_signals() as request, events as board, retained_memory(run.device):
        try:
            while True:
                if _is_validation_due(run):
                    validate(run, validation, split, folder, logbook, board, request, command)
                    _save(run, checkpoints)
                if run.progress.epoch == recipe.epochs:
                    return _result(run)
                _train_epoch(run, split, checkpoints, logbook, board, request)
                if run.progress.epoch % recipe.checkpoints.every_epochs == 0 or _is_validation_due(run):
                    _save(run, checkpoints)
        except Stopped as stopped:
            wait_for_all(ranks)  # one that left earlier would have its launcher end the first while that saves
            logbook.say(f"stopped at step {run.progress.step} of {run.total_steps}")
            return _result(run, stopped.signal_number)


def _announce(run: TrainingRun, split: DecodedSplit, logbook: Logbook) -> None:
    if run.transfer:
        for line in run.transfer.lines():
            logbook.say(line)
    logbook.write(
        "start",
        step=run.progress.step,
        total_steps=run.total_steps,
        processes=run.ranks.world_size,
        skipped_samples=list(split.skipped),
        transfer=run.transfer.to_json() if run.transfer else None,
    )
    logbook.start_bar(run.total_steps, run.progress.step)


def _result(run: TrainingRun, stopped_by: int | None = None) -> TrainingResult:
    done = run.progress
    return TrainingResult(done.epoch, done.best_miou, done.best_epoch, run.seconds, stopped_by)


def _is_validation_due(run: TrainingRun) -> bool:
    """Tell whether the epochs done ask for a validation that was not made, also by a run that was stopped in it."""
    epoch = run.progress.epoch
    at_epochs_end = run.progress.step == epoch * run.steps_per_epoch
    at_interval = epoch > 0 and epoch % run.recipe.validate_every == 0
    is_asked_for = at_interval or epoch == run.recipe.epochs
    return at_epochs_end and is_asked_for and run.progress.validated_epoch != epoch


def _save(run: TrainingRun, checkpoints: Checkpoints) -> None:
    """Save the state of the run as it is; the first process writes for all, which have the same."""
    run.progress = replace(run.progress, seconds=run.seconds)
    if run.scaler.is_enabled():
        scale = run.scaler.state_dict()
        run.progress = replace(run.progress, loss_scale=scale["scale"], scale_growth=scale["_growth_tracker"])
    if run.ranks.is_first:
        checkpoints.save(run.network, run.averaged, run.optimizer, run.progress)


def _train_epoch(
    run: TrainingRun,
    split: DecodedSplit,
    checkpoints: Checkpoints,
    logbook: Logbook,
    board: TensorBoard,
    request: StopRequest,
) -> None:
    """Take the steps of the epoch that are still to be taken, and note the mean loss of those that counted.

    Raises ``Stopped`` after the step in which a signal came, with the state saved.
    """
    recipe, ranks, epoch = run.recipe, run.ranks, run.progress.epoch
    run.network.train()
    order = epoch_order(len(split), recipe.seed, epoch).tolist()
    first_step = epoch * run.steps_per_epoch
    began_s, began_at = time.monotonic(), run.progress.step
    for index in range(run.progress.step - first_step, run.steps_per_epoch):
        indices = order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
        _count_step(run, _step_on(run, split, indices), len(indices), logbook, board)
        if any_rank(request.signal_number is not None, ranks):
            _save(run, checkpoints)
            raise Stopped(request.signal_number)
        if recipe.checkpoints.every_steps and run.progress.step % recipe.checkpoints.every_steps == 0:
            _save(run, checkpoints)
    images = (run.progress.step - began_at) * min(recipe.batch_size, len(split))
    _finish_epoch(run, images / max(1e-9, time.monotonic() - began_s), logbook, board)


def _count_step(run: TrainingRun, loss: float | None, num_images: int, logbook: Logbook, board: TensorBoard) -> None:
    done = run.progress
    loss_sum, loss_count = (
        (done.loss_sum, done.loss_count) if loss is None else (done.loss_sum + loss, done.loss_count + 1)
    )
    run.progress = replace(done, step=done.step + 1, loss_sum=loss_sum, loss_count=loss_count)
    shown = math.nan if loss is None else loss
    logbook.advance(run.progress.step, f"epoch {done.epoch + 1}/{run.recipe.epochs}, loss {shown:.3f}", num_images)
    if run.progress.step % BOARD_INTERVAL == 0:
        rate = learning_rate_at(run.recipe, done.step, run.total_steps)
        board.scalars({"step/loss": shown, "step/learning_rate": rate}, run.progress.step)


def _finish_epoch(run: TrainingRun, images_per_s: float, logbook: Logbook, board: TensorBoard) -> None:
    """Count the epoch as done, and note the mean loss of its steps that counted."""
    done = run.progress
    loss = done.loss_sum / done.loss_count if done.loss_count else None
    run.progress = replace(done, epoch=done.epoch + 1, seconds=run.seconds, loss_sum=0.0, loss_count=0)
    logbook.write(
        "epoch",
        epoch=run.progress.epoch,
        step=done.step,
        loss=loss,
        learning_rate=learning_rate_at(run.recipe, done.step - 1, run.total_steps),
        seconds=round(run.seconds, 1),
        images_per_s=round(images_per_s, 2),
        skipped_steps=done.skipped_steps,
    )
    shown = f"epoch {run.progress.epoch}/{run.recipe.epochs}: loss {math.nan if loss is None else loss:.3f}"
    logbook.say_without_bar(f"{shown}, {images_per_s:.1f} images/s")
    board.scalars({"epoch/loss": math.nan if loss is None else loss, "epoch/images_per_s": images_per_s}, done.step)


def _step_on(run: TrainingRun, split: DecodedSplit, indices: list[int]) -> float | None:
    """Draw this process's part of the next batch and step; memory that does not suffice is said in the recipe's terms.

    The random numbers are those of the whole batch, so that it is the same batch however many processes share it.
    """
    recipe, step = run.recipe, run.progress.step
    crop_hw = recipe.augmentation.crop_hw
    part = part_of(len(indices), run.ranks, recipe.execution.accumulation)
    generator = generator_for(recipe.seed, step, stream=AUGMENTATION_STREAM, device=run.device)
    # Dropout draws from the global generator; seeding it by the step makes every step repeatable by itself.
    dropout = generator_for(recipe.seed, step, stream=NETWORK_STREAM + run.ranks.rank)
    try:
        batch = draw_batch(split, indices, crop_hw, recipe.augmentation.ranges(), generator, part)
        torch.manual_seed(dropout.initial_seed())
        return take_step(run, batch, step)
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise TrainingError(
            f"step {step}: a batch of {len(range(*part.indices(len(indices))))} crops of {crop_hw[0]}×{crop_hw[1]} "
            f"(height × width) does not fit into the memory of '{run.device}'; lower 'batch_size' or "
            "'augmentation.crop_hw', or raise 'execution.accumulation'"
        ) from error
