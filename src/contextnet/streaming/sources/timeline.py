"""Times that only grow, also where a film's own go back."""

from __future__ import annotations

import math
from fractions import Fraction

MAX_STEPS_BACK = Fraction(3, 2)
"""A time that goes back by more pictures is one of another clock, as where films were joined end to end."""

MAX_GAP_S = 1
"""A time that is so close behind the last one by the clock of before shows that one wrong time had been taken for that.
"""


class Timeline:
    """Gives each picture a time later than the last one's: its own, if that is later.

    Where the clock begins anew, times go on one picture later, ``step_s`` seconds, and keep their distances from then
    on. One that goes back a little comes a tick after the last.
    """

    def __init__(self, step_s: Fraction) -> None:
        self._step_s = step_s
        self._shift_s = self._shift_before_s = Fraction(0)
        self._last_s: Fraction | None = None

    def place(self, own_s: Fraction | None, tick_s: Fraction) -> Fraction:
        """Give the time of the next picture by its own one, in whole ticks of so many seconds.

        One that has none comes a step after the last; the first one at 0.
        """
        if self._last_s is None:
            time_s = own_s or Fraction(0)
        elif own_s is None:
            time_s = self._last_s + self._step_s
        else:
            time_s = max(self._shifted(own_s, self._last_s), self._last_s + tick_s)
        self._last_s = math.ceil(time_s / tick_s) * tick_s
        return self._last_s

    def _shifted(self, own_s: Fraction, last_s: Fraction) -> Fraction:
        """Give a time by the clock of the first picture."""
        longest_back_s = MAX_STEPS_BACK * self._step_s
        is_before = 0 < own_s + self._shift_before_s - last_s <= MAX_GAP_S
        if is_before and own_s + self._shift_s - last_s > longest_back_s:
            self._shift_s = self._shift_before_s
        elif last_s - (own_s + self._shift_s) > longest_back_s:
            self._shift_before_s, self._shift_s = self._shift_s, last_s + self._step_s - own_s
        return own_s + self._shift_s
