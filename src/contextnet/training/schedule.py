"""Learning-rate schedules: pure functions of progress."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def poly(power: float) -> Schedule:
    """Fall from 1 to 0 as (1 - progress) ^ ``power``; the paper's has power 0.98 (section 3.1, after DeepLab)."""
    return lambda progress: (1 - progress) ** power


def cosine() -> Schedule:
    """Fall from 1 to 0 along half a cosine wave."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * progress))


def constant() -> Schedule:
    """Stay at 1."""
    return lambda progress: 1.0


def rate_at(step: int, total_steps: int, warmup_steps: int, schedule: Schedule) -> float:
    """Give the factor on the base rate for ``step`` of ``total_steps``, both counted from 0.

    The first ``warmup_steps`` rise linearly to 1; the schedule runs over the rest, from progress 0 to just
    under 1; beyond the last step it stays at its end.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return schedule(min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))
