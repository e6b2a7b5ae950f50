from __future__ import annotations

import numpy as np
import pytest
from timed_engines import Clock, TimedEngine, TimedInference

from contextnet.benchmark import noise as noise_module
from contextnet.benchmark.eager_process import EagerProcess
from contextnet.benchmark.inference_figures import FIGURES, Figures, Subjects, measure_figures
from contextnet.benchmark.turns import Timings
from contextnet.runtime.engines.engine import Images

IMAGE = np.zeros((8, 8, 3), np.uint8)


class TimedEager(EagerProcess):
    """PyTorch that takes 4 s for the network and 11 s to the labels, without a process."""

    def __init__(self) -> None:
        pass

    def times_s(self, way: str, runs: int) -> list[float]:
        return [{"network": 4.0, "end_to_end": 11.0}[way]] * runs


def subjects(clock: Clock, eager: EagerProcess | None = None) -> Subjects:
    return Subjects(TimedEngine(clock), TimedEngine(clock, in_flight=3), eager, IMAGE)


def others(monkeypatch: pytest.MonkeyPatch, *shares: tuple[float | None, float | None]) -> None:
    """Let other processes take these shares of a core before and after the rounds, a pair a try."""
    before, after = [share for share, _ in shares], [share for _, share in shares]
    monkeypatch.setattr(noise_module, "await_quiet", lambda: before.pop(0))
    monkeypatch.setattr(noise_module, "others_share", lambda: after.pop(0))


def test_figures_of_engines_that_take_known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    others(monkeypatch, (0.01, 0.02))
    figures = measure_figures(subjects(Clock.installed(monkeypatch), TimedEager()), rounds=3, turn_s=1.0)
    assert tuple(figures.timings) == FIGURES
    # 1 / 2.75 s, 1 / 2.75 s, 1 / 2.25 s, 1 / 4 s, 1 / 11 s
    assert [timings.fps for timings in figures.timings.values()] == [0.36, 0.36, 0.44, 0.25, 0.09]
    assert figures.latency_ms() == {"p50": 2750, "p99": 2750, "mean": 2750}
    assert figures.stages_ms() == {"network": 2250, "labels": 500, "end_to_end": 2750}
    assert figures.ratios() == {
        "sequential": 1.45,  # 4 / 2.75
        "pipelined": 1.45,
        "engine": 1.78,  # 4 / 2.25
        "sequential_end_to_end": 4.0,  # 11 / 2.75
        "pipelined_end_to_end": 4.0,
    }
    assert figures.spreads() == dict.fromkeys(FIGURES, 0)
    assert (figures.rounds, figures.tries, figures.noise, figures.others_share) == (3, 1, None, 0.02)


def test_figures_without_pytorch_are_those_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    others(monkeypatch, (None, None))
    figures = measure_figures(subjects(Clock.installed(monkeypatch)), rounds=3, turn_s=1.0)
    assert tuple(figures.timings) == FIGURES[:3]
    assert figures.ratios() is None
    assert figures.others_share is None


BUSY = "other processes took 40% of a core (at most 15%)"


@pytest.mark.parametrize(
    ("shares", "tries", "noise"),
    [
        pytest.param(((0.1, 0.1), (0.4, 0.4)), 1, None, id="quiet at once"),
        pytest.param(((0.4, 0.0), (0.0, 0.4), (0.1, 0.1)), 3, None, id="quiet in the end"),
        pytest.param(((0.4, 0.0), (0.0, 0.4), (0.4, 0.2), (0.1, 0.1)), 3, BUSY, id="noisy to the end"),
    ],
)
def test_noisy_measurements_are_made_again(
    monkeypatch: pytest.MonkeyPatch, shares: tuple[tuple[float, float], ...], tries: int, noise: str | None
) -> None:
    others(monkeypatch, *shares)
    figures = measure_figures(subjects(Clock.installed(monkeypatch)), rounds=3, turn_s=1.0)
    assert (figures.tries, figures.noise) == (tries, noise)


class Unsteady(TimedEngine):
    """Each call takes half as long again as the one before."""

    def submit(self, images: Images) -> TimedInference:
        self.clock.now_s += 1.5**self.submitted
        return super().submit(images)


@pytest.mark.parametrize(
    ("unsteady", "named"),
    [("single", "the sequential figure varied by "), ("several", "the pipelined figure varied by ")],
)
def test_rounds_that_differ_are_noise(monkeypatch: pytest.MonkeyPatch, unsteady: str, named: str) -> None:
    others(monkeypatch, *[(0, 0)] * 3)
    clock = Clock.installed(monkeypatch)
    engines = {"single": TimedEngine(clock), "several": TimedEngine(clock), unsteady: Unsteady(clock)}
    figures = measure_figures(Subjects(**engines, eager=None, image=IMAGE), rounds=3, turn_s=1.0)
    assert figures.tries == 3
    assert figures.noise is not None
    assert figures.noise.startswith(named)


def test_a_machine_that_slows_down_moves_rates_but_no_ratio() -> None:
    def slowing(first_s: float) -> Timings:
        return Timings(tuple((first_s * factor,) * 2 for factor in (1, 2, 4)))

    first_s = {"sequential": 0.1, "pipelined": 0.05, "engine": 0.08, "eager_torch": 0.4, "eager_torch_end_to_end": 0.5}
    figures = Figures({name: slowing(first_s[name]) for name in FIGURES}, 20.0, 0.0, None, 1)
    assert figures.timings["sequential"].fps == 5
    assert figures.ratios() == {
        "sequential": 4,
        "pipelined": 8,
        "engine": 5,
        "sequential_end_to_end": 5,
        "pipelined_end_to_end": 10,
    }
