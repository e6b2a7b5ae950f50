"""How long a recipe's training step takes on this machine, measured by a few of them."""

from __future__ import annotations

import math
import statistics
import time

import torch

from contextnet.data.batches import AUGMENTATION_STREAM, draw_batch, generator_for
from contextnet.data.decoding import DecodedSplit
from contextnet.training.allocator import lacks_memory, retained_memory
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.run import TrainingRun, start_run
from contextnet.training.step import take_step

LEAST_S, LEAST_STEPS, MOST_STEPS = 6.0, 3, 20
SLOW_S = 20.0
"""A first step that takes longer stands for all, unless it also compiled the network."""


def measure_step_s(recipe: Recipe, split: DecodedSplit, device: torch.device) -> float:
    """Give the seconds of one step, the median after a warm-up; the run that takes them is thrown away.

    Infinity where memory does not hold a batch. What the samples of ``split`` show does not matter, so that noise of
    the right size will do.
    """
    try:
        return _median_step_s(start_run(recipe, split, device), split)
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        return math.inf


def _median_step_s(run: TrainingRun, split: DecodedSplit) -> float:
    run.network.train()
    with retained_memory(run.device):
        first_s = _step_s(run, split, 0)
        if first_s > SLOW_S and not run.recipe.execution.compile:
            return first_s
        times_s: list[float] = []
        while len(times_s) < LEAST_STEPS or (sum(times_s) < LEAST_S and len(times_s) < MOST_STEPS):
            times_s.append(_step_s(run, split, len(times_s) + 1))
    return statistics.median(times_s)


def _step_s(run: TrainingRun, split: DecodedSplit, number: int) -> float:
    recipe = run.recipe
    began_s = time.perf_counter()
    indices = [(number * recipe.batch_size + place) % len(split) for place in range(recipe.batch_size)]
    generator = generator_for(recipe.seed, number, stream=AUGMENTATION_STREAM, device=run.device)
    batch = draw_batch(split, indices, recipe.augmentation.crop_hw, recipe.augmentation.ranges(), generator)
    take_step(run, batch, 0)  # its loss comes to the CPU, so that a GPU has done its work
    return time.perf_counter() - began_s
