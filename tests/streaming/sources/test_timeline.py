from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextnet.streaming.sources.timeline import Timeline

TICK_S = Fraction(1, 1000)
STEP_S = Fraction(1, 25)


def placed(times_ms: list[int | None]) -> list[Fraction]:
    timeline = Timeline(STEP_S)
    return [1000 * timeline.place(None if ms is None else ms * TICK_S, TICK_S) for ms in times_ms]


@pytest.mark.parametrize(
    ("own_ms", "times_ms"),
    [
        ([], []),
        ([0, 40, 81, 5000, 90_000], [0, 40, 81, 5000, 90_000]),
        ([7000, 7040], [7000, 7040]),
        ([-80, -40, 0, 40], [-80, -40, 0, 40]),
        ([None, None, 90, None], [0, 40, 90, 130]),
        # A little back: a tick after the last.
        ([0, 40, 40, 20, 80], [0, 40, 41, 42, 80]),
        # Short films that were joined.
        ([0, 40, 80, 0, 40, 80, 0, 40], [0, 40, 80, 120, 160, 200, 240, 280]),
        # Films that were joined: a step after the last, and on from there.
        ([1000, 2000, 3000, 0, 80, 2000], [1000, 2000, 3000, 3040, 3120, 5040]),
        ([0, 2000, 0, 2000, 0, 40], [0, 2000, 2040, 4040, 4080, 4120]),
        ([0, 2000, 0, 2000, 4000], [0, 2000, 2040, 4040, 6040]),
        # One wrong time among right ones.
        ([9000, 9040, 0, 9120, 9160], [9000, 9040, 9080, 9120, 9160]),
    ],
)
def test_times_grow(own_ms: list[int | None], times_ms: list[int]) -> None:
    assert placed(own_ms) == times_ms


@given(st.lists(st.one_of(st.none(), st.integers(-10_000, 10_000))))
def test_times_grow_whatever_comes(own_ms: list[int | None]) -> None:
    assert all(before < after for before, after in pairwise(placed(own_ms)))


def test_times_are_whole_ticks_of_each_picture() -> None:
    timeline = Timeline(Fraction(1, 30))
    ticks = [Fraction(1, 1000), Fraction(1, 1000), Fraction(1, 25)]
    assert [timeline.place(None, tick_s) for tick_s in ticks] == [0, Fraction(34, 1000), Fraction(2, 25)]
