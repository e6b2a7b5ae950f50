"""The figures of one measurement: what is timed in turns, and whether it was quiet enough to be a result."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from contextnet.benchmark.eager_process import EagerProcess
from contextnet.benchmark.engine_calls import OverlappingCalls, SingleCalls
from contextnet.benchmark.noise import find_noise, watched
from contextnet.benchmark.turns import Progress, Timer, Timings, take_turns
from contextnet.runtime.engines.engine import Engine

TRIES = 3

Figure = Literal["sequential", "pipelined", "engine", "eager_torch", "eager_torch_end_to_end"]
FIGURES: tuple[Figure, ...] = get_args(Figure)
"""From the image to its labels, one at a time or several; to its scores; PyTorch to its scores and to its labels.

PyTorch makes labels the usual way: scores enlarged by 8, then the argmax.
"""


@dataclass(frozen=True, eq=False)
class Subjects:
    """What is measured on an image, uint8 (H, W, 3) RGB.

    ``single`` computes one call at a time, ``several`` more; ``eager`` is None where PyTorch is not installed.
    """

    single: Engine
    several: Engine
    eager: EagerProcess | None
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Figures:
    """The times of each figure, those of PyTorch only where it is installed, and what disturbed them.

    ``labels_ms`` is what labels take when the scores are there. ``others_share`` is what other processes took of the
    cores before or after the rounds, the greater of the two, in shares of one core; None where the system does not
    tell. ``noise`` says why the times are no result, and is None if they are one.
    """

    timings: Mapping[Figure, Timings]
    labels_ms: float
    others_share: float | None
    noise: str | None
    tries: int

    @property
    def rounds(self) -> int:
        """How many rounds all figures took turns in."""
        return len(self.timings["sequential"].rounds_s)

    def latency_ms(self) -> dict[str, float]:
        """Give how long one image takes from the pixels to the labels: median, 99th percentile and mean."""
        sequential = self.timings["sequential"]
        figures = {"p50": sequential.median_ms, "p99": sequential.percentile_ms(99), "mean": sequential.mean_ms}
        return {name: round(value, 3) for name, value in figures.items()}

    def stages_ms(self) -> dict[str, float]:
        """Give the medians of the parts: the network, the labels from its scores, and both."""
        network, both = self.timings["engine"].median_ms, self.timings["sequential"].median_ms
        return {"network": round(network, 3), "labels": round(self.labels_ms, 3), "end_to_end": round(both, 3)}

    def ratios(self) -> dict[str, float] | None:
        """Give how many times faster than PyTorch figures are: than its network alone, or than it end to end.

        Each is the median of the rounds' ratios. None where PyTorch is not installed.
        """
        if "eager_torch" not in self.timings:
            return None
        alone, end_to_end = self.timings["eager_torch"], self.timings["eager_torch_end_to_end"]
        compared: dict[str, tuple[Figure, Timings]] = {
            "sequential": ("sequential", alone),
            "pipelined": ("pipelined", alone),
            "engine": ("engine", alone),
            "sequential_end_to_end": ("sequential", end_to_end),
            "pipelined_end_to_end": ("pipelined", end_to_end),
        }
        return {name: round(self.timings[figure].speedup_over(other), 2) for name, (figure, other) in compared.items()}

    def spreads(self) -> dict[str, float]:
        """Give how much the rounds of each figure differ."""
        return {name: round(timings.spread, 4) for name, timings in self.timings.items()}


def measure_figures(
    subjects: Subjects, rounds: int, turn_s: float, progress: Progress | None = None, tries: int = TRIES
) -> Figures:
    """Time everything in turns, and all over again while it is noisy, up to ``tries`` times; the last one counts.

    Raises what the subjects raise.
    """
    for number in range(1, tries + 1):
        figures = _measure_once(subjects, rounds, turn_s, progress, number)
        if figures.noise is None:
            break
    return figures


def _measure_once(subjects: Subjects, rounds: int, turn_s: float, progress: Progress | None, number: int) -> Figures:
    single = SingleCalls(subjects.single, subjects.image)
    several = OverlappingCalls(subjects.several, subjects.image)
    timers: dict[Figure, Timer] = {
        "sequential": single.labelled_s,
        "pipelined": several.labelled_s,
        "engine": single.scored_s,
    }
    if subjects.eager:
        timers["eager_torch"] = partial(subjects.eager.times_s, "network")
        timers["eager_torch_end_to_end"] = partial(subjects.eager.times_s, "end_to_end")
    timings, others = watched(lambda: take_turns(timers, rounds, turn_s, progress))
    noise = find_noise(others, {name: timings[name].spread for name in ("sequential", "pipelined")})
    return Figures(timings, statistics.median(single.label_times_s) * 1e3, others, noise, number)
