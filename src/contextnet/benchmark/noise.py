"""Whether a measurement can be trusted: what other processes take, and how much its rounds differ."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from contextnet.benchmark.machine import PROC

MAX_OTHERS_SHARE = 0.15
MAX_SPREAD = 0.15

WATCHED_S = 0.5


def others_share(watched_s: float = WATCHED_S, proc: Path = PROC) -> float | None:
    """Rest, and give the time that other processes work meanwhile, in shares of one core; None if it is not told.

    2.0 is two whole cores. The hypervisor's share, which is lost here as well, counts.
    """
    began_s, before_s = time.perf_counter(), _others_s(proc)
    time.sleep(watched_s)
    passed_s, after_s = time.perf_counter() - began_s, _others_s(proc)
    if before_s is None or after_s is None:
        return None
    # The two clocks differ by a few milliseconds.
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
    """Give the processor time that everything but this process has taken since the machine was started."""
    try:
        words = (proc / "stat").read_text(encoding="utf-8").split("\n", 1)[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(ticks) for ticks in words[1:9])
    except (OSError, ValueError):
        return None
    busy_s = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy_s - time.process_time()
