"""Where values lie on a chart: a linear or logarithmic scale, and ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ROUND_STEPS = (1.0, 2.0, 5.0, 10.0)
_LOG_DIGITS = (1, 2, 5)


@dataclass(frozen=True)
class Scale:
    """A map from values ``low`` … ``high`` to pixels ``start`` … ``end``; ``end`` may be the smaller one.

    It is linear, or with ``log`` logarithmic: then all values are above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Give the pixel of a value; the middle where the scale has no extent."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        low, high, place = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (place - low) / (high - low) * (self.end - self.start)


def round_ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> tuple[float, ...]:
    """Give ticks at multiples of 1, 2 or 5 times a power of ten, from at or below ``low`` to at or above ``high``.

    About ``count`` steps, never more than ``count`` + 1; ``whole`` keeps to whole numbers. A range without extent
    is widened.
    """
    if high <= low:
        margin = abs(low) * 0.1 or 1.0
        low, high = (low - margin, high + margin) if low else (0.0, 1.0)
    step = _round_step((high - low) / count)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def inner_ticks(low: float, high: float, count: int = 8, *, whole: bool = False) -> tuple[float, ...]:
    """Give round ticks that lie within ``low`` … ``high``, for an axis that ends where its data end."""
    return tuple(tick for tick in round_ticks(low, high, count, whole=whole) if low <= tick <= high)


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Give 1, 2 and 5 times the powers of ten that lie within ``low`` … ``high``, which are above 0."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (float(f"{digit}e{power}") for power in powers for digit in _LOG_DIGITS)
    return tuple(step for step in steps if low <= step <= high)


def tick_label(value: float) -> str:
    """Write a tick's value short: no noise of binary fractions, powers of ten for very small ones."""
    return f"{value:.6g}"


def _round_step(raw: float) -> float:
    """Give the smallest round step that is at least ``raw``."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next((step * power for step in _ROUND_STEPS if step * power >= raw * (1 - 1e-9)), 10 * power)
