from __future__ import annotations

import pytest

from contextnet.training.schedule import Schedule, constant, cosine, poly, rate_at


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        # 0.5 ^ 0.98 = exp(0.98 · ln 0.5) = exp(-0.679284…)
        (poly(0.98), 0.0, 1.0),
        (poly(0.98), 0.5, 0.5069797),
        (poly(0.98), 0.9, 0.1047129),
        (poly(0.98), 1.0, 0.0),
        (poly(1.0), 0.25, 0.75),
        (poly(2.0), 0.25, 0.5625),
        (cosine(), 0.0, 1.0),
        (cosine(), 1 / 3, 0.75),
        (cosine(), 0.5, 0.5),
        (cosine(), 1.0, 0.0),
        (constant(), 0.0, 1.0),
        (constant(), 0.7, 1.0),
    ],
)
def test_schedules_against_literal_numbers(schedule: Schedule, progress: float, expected: float) -> None:
    assert schedule(progress) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("step", "total", "warmup", "expected"),
    [
        (0, 10, 0, 1.0),
        (5, 10, 0, 0.5),
        (9, 10, 0, 0.1),
        # Four steps of warm-up rise by fifths, the fifth step is the first of the schedule.
        (0, 14, 4, 0.2),
        (3, 14, 4, 0.8),
        (4, 14, 4, 1.0),
        (9, 14, 4, 0.5),
        (13, 14, 4, 0.1),
        # Warm-up longer than the run: the rate still rises.
        (2, 3, 9, 0.3),
        (0, 1, 0, 1.0),
    ],
)
def test_rate_rises_and_then_follows_the_schedule(step: int, total: int, warmup: int, expected: float) -> None:
    assert rate_at(step, total, warmup, poly(1.0)) == pytest.approx(expected)


def test_paper_rate_in_the_middle_of_the_run() -> None:
    # Base rate 0.045 and power 0.98, halfway through 1000 epochs of 185 steps.
    assert 0.045 * rate_at(92_500, 185_000, 0, poly(0.98)) == pytest.approx(0.0228140865)


@pytest.mark.parametrize("schedule", [poly(0.98), cosine()])
def test_rate_never_rises_after_warmup_and_stays_positive(schedule: Schedule) -> None:
    rates = [rate_at(step, 50, 5, schedule) for step in range(5, 50)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
