"""Timing several things in turns, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Timer = Callable[[int], Sequence[float]]
"""Runs something a number of times and gives seconds a run: of each run, or their mean where they overlap."""

Progress = Callable[[int, int], None]
"""Called after each round with the number of rounds done and the number of all."""

TURN_S = 0.5
WARM_UP_RUNS = 3
MIN_RUNS = 2


@dataclass(frozen=True)
class Timings:
    """The times of one thing, in seconds a run, round by round."""

    rounds_s: tuple[tuple[float, ...], ...]

    @property
    def medians_ms(self) -> tuple[float, ...]:
        """The median of each round."""
        return tuple(float(np.median(times_s)) * 1e3 for times_s in self.rounds_s)

    @property
    def median_ms(self) -> float:
        """The median of the rounds' medians."""
        return float(np.median(self.medians_ms))

    @property
    def fps(self) -> float:
        """Runs a second, by the median."""
        return round(1e3 / self.median_ms, 2)

    @property
    def mean_ms(self) -> float:
        """The mean over all runs."""
        return float(np.mean(self._all_s())) * 1e3

    @property
    def spread(self) -> float:
        """How much the rounds differ: the interquartile range of their medians over the median of these."""
        low, high = np.quantile(self.medians_ms, (0.25, 0.75))
        return float(high - low) / self.median_ms

    def percentile_ms(self, percent: float) -> float:
        """Give a percentile over all runs, interpolated between the nearest two."""
        return float(np.percentile(self._all_s(), percent)) * 1e3

    def speedup_over(self, other: Timings) -> float:
        """Give how many times faster this is, the median over the rounds: in a round both saw the same machine."""
        pairs = zip(other.medians_ms, self.medians_ms, strict=True)
        return float(np.median([theirs / ours for theirs, ours in pairs]))

    def _all_s(self) -> list[float]:
        return [time_s for times_s in self.rounds_s for time_s in times_s]


_Name = TypeVar("_Name", bound=str)


def take_turns(
    timers: Mapping[_Name, Timer],
    rounds: int,
    turn_s: float = TURN_S,
    progress: Progress | None = None,
    *,
    slow_s: float | None = None,
) -> dict[_Name, Timings]:
    """Warm up, then time everything in each of ``rounds``, with as many runs as fit into about ``turn_s``.

    What takes longer than ``slow_s`` when it first runs is warm then, and has one run a round.
    """
    runs = {name: _runs_in(turn_s, timer, slow_s) for name, timer in timers.items()}
    rounds_s: dict[_Name, list[tuple[float, ...]]] = {name: [] for name in timers}
    for number in range(rounds):
        for name, timer in timers.items():
            rounds_s[name].append(tuple(timer(runs[name])))
        if progress:
            progress(number + 1, rounds)
    return {name: Timings(tuple(times_s)) for name, times_s in rounds_s.items()}


def _runs_in(turn_s: float, timer: Timer, slow_s: float | None) -> int:
    if slow_s is not None and max(timer(1)) > slow_s:
        return 1
    timer(WARM_UP_RUNS)
    return max(MIN_RUNS, round(turn_s / float(np.median(timer(WARM_UP_RUNS)))))
