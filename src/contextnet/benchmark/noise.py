"""Whether a measurement can be trusted: what other processes take, and how much its rounds differ."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from contextnet.benchmark.machine import PROC

MAX_OTHERS_SHARE = 0.15
MAX_SPREAD = 0.15
"""What a quiet machine stays below: on two cores that nothing else uses, others take up to 0.04 and rounds differ by up
to 0.12; with one or two other processes at work it is more than 0.9 and 0.24."""

WATCHED_S = 0.5
WATCHES = 20

_Figures = TypeVar("_Figures")


def await_quiet(watches: int = WATCHES) -> float | None:
    """Rest until other processes leave the cores alone, but no longer than so many watches; give their last share."""
    for _ in range(watches):
        share = others_share()
        if share is None or share <= MAX_OTHERS_SHARE:
            break
    return share


def watched(measure: Callable[[], _Figures]) -> tuple[_Figures, float | None]:
    """Measure when other processes leave the cores alone; also give the most that they took before or after it."""
    before = await_quiet()
    figures = measure()
    after = others_share()
    return figures, None if before is None or after is None else max(before, after)


def others_share(watched_s: float = WATCHED_S, proc: Path = PROC) -> float | None:
    """Rest, and give the time that other processes take of the cores that this one may use, in shares of one core.

    2.0 is two whole cores. What a hypervisor takes counts as well. None where the system does not tell.
    """
    began_s, before_s = time.perf_counter(), _others_s(proc)
    time.sleep(watched_s)
    passed_s, after_s = time.perf_counter() - began_s, _others_s(proc)
    if before_s is None or after_s is None:
        return None
    # The system counts in ticks and this process's own time is exact, so that the difference may fall below zero.
    return max(0.0, after_s - before_s) / passed_s


def find_noise(others: float | None, spreads: Mapping[str, float]) -> str | None:
    """Say in one sentence why figures are no result, or None if they are one.

    ``others`` is what ``others_share`` gave, ``spreads`` are those of the figures by name.
    """
    found = [
        f"the {name} figure varied by {value:.0%} from round to round (at most {MAX_SPREAD:.0%})"
        for name, value in spreads.items()
        if value > MAX_SPREAD
    ]
    if others is not None and others > MAX_OTHERS_SHARE:
        found.insert(0, f"other processes took {others:.0%} of a core (at most {MAX_OTHERS_SHARE:.0%})")
    return " and ".join(found) or None


def _others_s(proc: Path) -> float | None:
    """Give the time that everything but this process has taken of its cores since the machine was started."""
    try:
        cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = (proc / "stat").read_text(encoding="utf-8").splitlines()
        busy_ticks = [_busy_ticks(line.split()[1:]) for line in lines if line.partition(" ")[0] in cores]
    except (AttributeError, OSError, ValueError):  # a system without such a list, or such a file
        return None
    if len(busy_ticks) < len(cores):
        return None
    return sum(busy_ticks) / os.sysconf("SC_CLK_TCK") - time.process_time()


def _busy_ticks(ticks: list[str]) -> int:
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(number) for number in ticks[:8])
    return user + nice + system + irq + softirq + steal
