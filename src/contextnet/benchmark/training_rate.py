"""How fast a recipe trains on this machine: with its data, on one fixed batch, and the plain way, in one run."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch

from contextnet.benchmark.plain_step import draw_plain_batch
from contextnet.data.batches import AUGMENTATION_STREAM, Batch, draw_batch, generator_for
from contextnet.data.decoding import DecodedSplit
from contextnet.labels import LabelSet
from contextnet.training.allocator import retained_memory
from contextnet.training.recipe.execution import ExecutionOptions
from contextnet.training.recipe.recipe import Recipe
from contextnet.training.run import TrainingRun, start_run
from contextnet.training.step import take_step

PLAIN = ExecutionOptions(precision="float32", channels_last=False)
WARM_UP_STEPS = 3
NOISE_IMAGES = 64


@dataclass(frozen=True)
class TrainingRate:
    """What was measured, medians over rounds; images a second unless the name says otherwise.

    ``fixed_batch_images_per_s`` is the rate of the same step on one batch that is already there, ``plain_images_per_s``
    that in float32 and PyTorch's default layout with images augmented one by one in NumPy, and with the C library's
    own way of handing back memory, which training on a CPU changes. ``data_wait_share`` is the share of a step's time
    that passes before its batch is drawn; on a GPU, which draws while the processor goes on, what a step takes longer
    than on the fixed batch. ``peak_memory_mb`` is the most that the process held before the plain way began, on a GPU
    the most that was allocated there, in 10⁶ bytes. ``device_busy_share`` is how much of the time a GPU's kernels ran,
    None on a CPU.
    """

    network: str
    device: str
    crop_hw: tuple[int, int]
    batch_size: int
    precision: str
    images_per_s: float
    fixed_batch_images_per_s: float
    plain_images_per_s: float
    data_wait_share: float
    peak_memory_mb: float
    device_busy_share: float | None

    def to_json(self) -> dict[str, object]:
        """Describe the figures as plain JSON values."""
        return asdict(self)


def measure_training(
    recipe: Recipe, split: DecodedSplit, device: torch.device, *, steps: int = 6, rounds: int = 5
) -> TrainingRate:
    """Train for ``rounds`` times ``steps`` steps in each of the three ways, taking turns, and time them.

    Taking turns lets whatever else the machine does fall on all three alike. Raises what starting a run raises.
    """
    drawn = _Drawn(start_run(recipe, split, device), split)
    with retained_memory(device):
        _repeat(drawn.step, WARM_UP_STEPS)
        _repeat(drawn.step_on_fixed, WARM_UP_STEPS)
    peak_memory_mb = _peak_memory_mb(device)
    plain = _Plain(start_run(recipe.model_copy(update={"execution": PLAIN}), split, device), split)
    _repeat(plain.step, WARM_UP_STEPS)
    images = steps * min(recipe.batch_size, len(split))
    ways: dict[str, Callable[[], None]] = {"drawn": drawn.step, "fixed": drawn.step_on_fixed, "plain": plain.step}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    drawn.wait_s = 0.0
    for _ in range(rounds):
        for name, step in ways.items():
            with retained_memory(device) if name != "plain" else nullcontext():
                rates[name].append(images / _seconds(step, steps, device))
    drawn_s = sum(images / rate for rate in rates["drawn"])
    median = {name: statistics.median(values) for name, values in rates.items()}
    is_cuda = device.type == "cuda"
    wait_share = max(0.0, 1 - median["drawn"] / median["fixed"]) if is_cuda else drawn.wait_s / drawn_s
    return TrainingRate(
        network=drawn.run.network.spec.name,
        device=str(device),
        crop_hw=recipe.augmentation.crop_hw,
        batch_size=recipe.batch_size,
        precision=recipe.execution.precision,
        images_per_s=round(median["drawn"], 2),
        fixed_batch_images_per_s=round(median["fixed"], 2),
        plain_images_per_s=round(median["plain"], 2),
        data_wait_share=round(wait_share, 4),
        peak_memory_mb=round(peak_memory_mb, 1),
        device_busy_share=_busy_share(drawn.step, steps) if is_cuda else None,
    )


def noise_split(labels: LabelSet, size_hw: tuple[int, int], count: int = NOISE_IMAGES) -> DecodedSplit:
    """Make ``count`` images of noise with labels of noise: as good as streets where only time is measured."""
    generator = torch.Generator().manual_seed(0)
    height, width = size_hw
    images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    masks = torch.randint(0, labels.num_classes, (count, height, width), dtype=torch.uint8, generator=generator)
    return DecodedSplit("noise", labels, "", tuple(images), tuple(masks), ())


class _Drawn:
    """The recipe's own step, with a new batch each time or always on the first one."""

    def __init__(self, run: TrainingRun, split: DecodedSplit) -> None:
        self.run = run
        self.wait_s = 0.0
        self._split = split
        self._drawn = 0
        self._fixed = self._draw()
        run.network.train()

    def _draw(self) -> Batch:
        recipe, number = self.run.recipe, self._drawn
        self._drawn += 1
        generator = generator_for(recipe.seed, number, stream=AUGMENTATION_STREAM, device=self.run.device)
        indices = _indices(number, recipe, self._split)
        return draw_batch(self._split, indices, recipe.augmentation.crop_hw, recipe.augmentation.ranges(), generator)

    def step(self) -> None:
        began_s = time.perf_counter()
        batch = self._draw()
        self.wait_s += time.perf_counter() - began_s
        take_step(self.run, batch, 0)

    def step_on_fixed(self) -> None:
        take_step(self.run, self._fixed, 0)


class _Plain:
    """The same step in float32 and the default layout, its images augmented one by one."""

    def __init__(self, run: TrainingRun, split: DecodedSplit) -> None:
        self._run = run
        self._split = split.to(torch.device("cpu"))
        self._drawn = 0
        run.network.train()

    def step(self) -> None:
        recipe = self._run.recipe
        random = np.random.default_rng([recipe.seed, self._drawn])
        indices = _indices(self._drawn, recipe, self._split)
        self._drawn += 1
        batch = draw_plain_batch(
            self._split, indices, recipe.augmentation.crop_hw, recipe.augmentation.ranges(), random
        )
        device = self._run.device
        take_step(self._run, Batch(batch.images.to(device), batch.labels.to(device)), 0)


def _indices(number: int, recipe: Recipe, split: DecodedSplit) -> list[int]:
    """Go through the split batch by batch, and again from its start."""
    size = min(recipe.batch_size, len(split))
    return [(number * size + place) % len(split) for place in range(size)]


def _repeat(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()


def _seconds(step: Callable[[], None], times: int, device: torch.device) -> float:
    began_s = time.perf_counter()
    _repeat(step, times)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began_s


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _busy_share(step: Callable[[], None], steps: int) -> float:
    """Add up the time that kernels ran, as PyTorch's profiler saw it, over the time that passed."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        began_s = time.perf_counter()
        _repeat(step, steps)
        torch.cuda.synchronize()
        passed_s = time.perf_counter() - began_s
    kernels_s: float = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return round(min(1.0, kernels_s / passed_s), 4)
