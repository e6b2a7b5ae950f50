"""How many processor cores this process may use, and how an engine divides them."""

from __future__ import annotations

import os
from pathlib import Path

from contextnet.errors import ContextNetError

MAX_IN_FLIGHT = 8
"""Beyond so many calls in flight no engine computes faster, and PyTorch would run out of streams on a GPU.

It hands out 32 before it gives the same one twice, and a call has two.
"""

GPU_CALLS = 3
"""One comes, one is computed, one goes."""

_CGROUP = Path("/sys/fs/cgroup")


def usable_threads(asked: int | None) -> int:
    """Give the number of threads asked for, or one for each core that this process may use.

    Raises ``ContextNetError`` when fewer than one is asked for.
    """
    if asked is not None:
        return at_least_one("threads", asked)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota_cores()
    # Threads beyond a quota of time stop all others when it is used up, so that a part of a core counts for nothing.
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def streaming_calls(device: str, threads: int | None) -> int:
    """Give how many calls in flight make the highest rate on ``cpu`` or a GPU; more only take memory.

    On a CPU one more than there are threads: while the oldest scores are turned into labels, every thread has a call.
    """
    return min(usable_threads(threads) + 1, MAX_IN_FLIGHT) if device == "cpu" else GPU_CALLS


def at_least_one(what: str, number: int) -> int:
    """Give a number back; raises ``ContextNetError`` when it is below one."""
    if number < 1:
        raise ContextNetError(f"{what} {number}: expected 1 or more")
    return number


def _quota_cores() -> float | None:
    """Read how many cores' time a container is given, of either version of Linux' control groups; None is no limit."""
    texts = _read("cpu.max").split() or [_read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us")]
    try:
        quota, period = (int(text) for text in texts)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(name: str) -> str:
    try:
        return (_CGROUP / name).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
