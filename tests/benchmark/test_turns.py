from __future__ import annotations

import pytest

from contextnet.benchmark.turns import WARM_UP_RUNS, Timings, take_turns

# Medians of 20, 10, 40 and 30 ms; over all runs the mean is 25 ms.
FOUR = Timings(((0.01, 0.02, 0.03), (0.01,), (0.05, 0.03), (0.03, 0.03, 0.035)))


def test_figures_of_four_rounds_worked_out_by_hand() -> None:
    assert FOUR.medians_ms == pytest.approx((20, 10, 40, 30))
    assert FOUR.median_ms == pytest.approx(25)
    assert FOUR.fps == 40
    assert FOUR.mean_ms == pytest.approx((60 + 10 + 80 + 95) / 9)
    # Quartiles of 10, 20, 30, 40 lie 3/4 of the way from 10 to 20 and 1/4 of the way from 30 to 40.
    assert FOUR.spread == pytest.approx((32.5 - 17.5) / 25)


@pytest.mark.parametrize(
    ("percent", "expected_ms"),
    [
        pytest.param(0, 1, id="least"),
        pytest.param(50, 3, id="median"),
        pytest.param(99, 99.2, id="96/100 of the way from the fourth of five to the fifth"),
        pytest.param(100, 103, id="greatest"),
    ],
)
def test_percentiles_are_those_of_all_runs(percent: float, expected_ms: float) -> None:
    timings = Timings(((0.103, 0.001), (0.003, 0.002), (0.008,)))
    assert timings.percentile_ms(percent) == pytest.approx(expected_ms)


@pytest.mark.parametrize(
    ("ours_ms", "theirs_ms", "expected"),
    [
        pytest.param((10, 10, 10), (20, 20, 20), 2, id="steady"),
        pytest.param((10, 20, 40), (20, 40, 80), 2, id="a machine that slows down changes no ratio"),
        pytest.param((10, 10, 10), (5, 30, 90), 3, id="the median of the ratios"),
    ],
)
def test_speedups_are_taken_round_by_round(
    ours_ms: tuple[int, ...], theirs_ms: tuple[int, ...], expected: float
) -> None:
    ours, theirs = (Timings(tuple((ms / 1e3,) for ms in rounds)) for rounds in (ours_ms, theirs_ms))
    assert ours.speedup_over(theirs) == pytest.approx(expected)


def test_everything_has_its_turn_in_every_round_with_the_runs_that_fit() -> None:
    asked: list[tuple[str, int]] = []

    def timer(name: str, run_s: float, runs: int) -> list[float]:
        asked.append((name, runs))
        return [run_s] * runs

    done: list[tuple[int, int]] = []
    timings = take_turns(
        {"fast": lambda runs: timer("fast", 0.125, runs), "slow": lambda runs: timer("slow", 3.0, runs)},
        rounds=3,
        turn_s=1.0,
        progress=lambda number, rounds: done.append((number, rounds)),
    )
    warm_up = [("fast", WARM_UP_RUNS)] * 2 + [("slow", WARM_UP_RUNS)] * 2
    # Eight runs of an eighth of a second fit into a second; of the slow one, two are run all the same.
    assert asked == [*warm_up, *[("fast", 8), ("slow", 2)] * 3]
    assert timings["fast"].rounds_s == ((0.125,) * 8,) * 3
    assert timings["slow"].rounds_s == ((3.0,) * 2,) * 3
    assert done == [(1, 3), (2, 3), (3, 3)]
