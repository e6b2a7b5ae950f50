"""One optimizer step: forward and backward over the parts of a batch, one gradient over all processes, one update."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from contextnet.data.batches import Batch
from contextnet.errors import TrainingError
from contextnet.training.averaging import update_average
from contextnet.training.messages import average_gradients, average_over_ranks, average_statistics, sum_over_ranks
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.run import TrainingRun
from contextnet.training.schedule import Schedule, constant, cosine, poly, rate_at

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def take_step(run: TrainingRun, batch: Batch, step: int) -> float | None:
    """Take one optimizer step and give its loss, or None where loss or gradient is not finite: nothing changes then.

    ``batch`` is this process's part of the batch. The loss is that of the whole batch, the mean over its parts.
    Raises ``TrainingError`` after too many steps in a row that are not finite.
    """
    recipe = run.recipe
    rate = learning_rate_at(recipe, step, run.total_steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    # A forward pass moves the batch norm's running statistics, also one that ends in NaN.
    buffers = list(run.network.buffers())
    before = torch._foreach_add(buffers, 0)
    run.optimizer.zero_grad(set_to_none=True)
    local_loss = _accumulate(run, batch, step)
    average_gradients(run.network, run.ranks)
    average_statistics(run.network, run.ranks)
    run.scaler.unscale_(run.optimizer)
    parameters = [p for p in run.network.parameters() if p.grad is not None]
    norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
    value, norm_value = torch.stack([local_loss, norm]).tolist()
    value = sum_over_ranks([value], run.ranks)[0] / run.ranks.world_size
    if not (math.isfinite(value) and math.isfinite(norm_value)):
        torch._foreach_copy_(buffers, before)
        run.scaler.update()
        _count_nonfinite(run, step)
        return None
    run.progress = replace(run.progress, nonfinite_in_a_row=0)
    if recipe.clip_norm is not None:
        clip_grads_with_norm_(parameters, recipe.clip_norm, norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.averaged is not None and recipe.ema_decay:
        update_average(run.averaged, run.network, recipe.ema_decay, step)
    return value


def learning_rate_at(recipe: Recipe, step: int, total_steps: int) -> float:
    """Give the learning rate of ``step``, counted from 0."""
    return recipe.optimizer.learning_rate * rate_at(step, total_steps, recipe.schedule.warmup_steps, _schedule(recipe))


def _schedule(recipe: Recipe) -> Schedule:
    schedules = {"poly": poly(recipe.schedule.power), "cosine": cosine(), "constant": constant()}
    return schedules[recipe.schedule.kind]


def _accumulate(run: TrainingRun, batch: Batch, step: int) -> Tensor:
    """Add up the gradient over the parts of this process's batch; give their mean loss, without a gradient.

    The cross-entropy divides by the labelled pixels of the whole batch, of all parts and processes, so that however
    the batch is cut its gradient is the same.
    """
    parts = _split(batch, run.recipe.execution.accumulation)
    whole = len(parts) == 1 and run.ranks.world_size == 1
    counts = None
    if not whole:
        total = torch.stack([run.loss.label_weights(part.labels) for part in parts]).mean(0)
        counts = average_over_ranks(total, run.ranks)
    losses = []
    for part in parts:
        loss = _loss(run, part, counts, step) / len(parts)
        run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _split(batch: Batch, count: int) -> list[Batch]:
    pieces = zip(batch.images.tensor_split(count), batch.labels.tensor_split(count), strict=True)
    return [Batch(images, labels) for images, labels in pieces]


def _loss(run: TrainingRun, batch: Batch, label_weights: Tensor | None, step: int) -> Tensor:
    execution = run.recipe.execution
    layout = torch.channels_last if execution.channels_last else torch.contiguous_format
    images = batch.images.contiguous(memory_format=layout)
    precision = PRECISIONS[execution.precision]
    with torch.autocast(run.device.type, precision, enabled=precision != torch.float32):
        output = run.forward(images)
        taught = run.teacher.loss(images, output.scores, run.network.spec.output_stride) if run.teacher else None
    loss = run.loss(output, batch.labels, label_weights, step)
    return loss if taught is None else loss + taught


def _count_nonfinite(run: TrainingRun, step: int) -> None:
    in_a_row = run.progress.nonfinite_in_a_row + 1
    run.progress = replace(run.progress, skipped_steps=run.progress.skipped_steps + 1, nonfinite_in_a_row=in_a_row)
    if in_a_row >= run.recipe.max_nonfinite_steps:
        raise TrainingError(
            f"the loss or its gradient was NaN or infinite in {in_a_row} steps in a row, to step {step} "
            "('max_nonfinite_steps'); lower 'optimizer.learning_rate' or train in float32"
        )
