from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextnet.reporting.axes import Scale, inner_ticks, log_ticks, round_ticks, tick_label


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 100, False, (0, 20, 40, 60, 80, 100)),
        (38.9, 64.0, False, (30, 40, 50, 60, 70)),
        (0.526, 3.115, False, (0, 1, 2, 3, 4)),
        (0.001, 0.003, False, (0.001, 0.0015, 0.002, 0.0025, 0.003)),
        (0, 0, False, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (50, 50, False, (44, 46, 48, 50, 52, 54, 56)),
        (-3, 3, False, (-4, -2, 0, 2, 4)),
        (1, 3, True, (1, 2, 3)),
    ],
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, whole: bool, expected: tuple[float, ...]) -> None:
    assert round_ticks(low, high, whole=whole) == pytest.approx(expected)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_any_range_has_few_ticks_that_hold_it(low: float, extent: float) -> None:
    high = low + extent
    ticks = round_ticks(low, high)
    slack = 1e-6 * max(extent, abs(low) * 1e-6)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert all(math.isfinite(tick) for tick in ticks)


def test_inner_ticks_stay_inside() -> None:
    assert inner_ticks(1, 120, whole=True) == (20, 40, 60, 80, 100, 120)
    assert inner_ticks(1, 2, whole=True) == (1, 2)


@pytest.mark.parametrize(
    ("scale", "value", "expected"),
    [(Scale(0, 10, 100, 200), 2.5, 125), (Scale(0, 1, 200, 0), 0.25, 150), (Scale(3, 3, 0, 50), 3, 25)],
)
def test_scale(scale: Scale, value: float, expected: float) -> None:
    assert scale.at(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.1 + 0.2, "0.3"), (20.0, "20"), (0.0015, "0.0015"), (1e-7, "1e-07")])
def test_tick_labels_are_short(value: float, expected: str) -> None:
    assert tick_label(value) == expected


def test_a_logarithmic_scale_sets_equal_ratios_equally_far() -> None:
    scale = Scale(1, 100, 10, 210, log=True)
    assert [scale.at(value) for value in (1, 10, 100)] == pytest.approx([10, 110, 210])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1, 10, (1, 2, 5, 10)),
        (0.03, 0.3, (0.05, 0.1, 0.2)),
        (3, 4, ()),
        (5, 5, (5,)),
        (90, 1100, (100, 200, 500, 1000)),
    ],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert log_ticks(low, high) == ticks
