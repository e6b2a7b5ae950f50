from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contextnet.streaming import statistics
from contextnet.streaming.figures import StageFigure, StreamFigures
from contextnet.streaming.frame import Frame
from contextnet.streaming.pipeline import StageClock
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.statistics import StreamStatistics


class FakeTime:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.worked_s = 50.0

    def monotonic(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.worked_s


class Nothing:
    """A source of which only the description is asked for."""

    def __init__(self, *, is_live: bool = True) -> None:
        self.info = SourceInfo("nothing", is_live)
        self.counts = SourceCounts(damaged=2)

    def __iter__(self) -> Iterator[Frame]:
        return iter(())

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(statistics, "time", fake)
    monkeypatch.setattr(statistics, "usable_threads", lambda threads: 2)
    return fake


def begun(source: Nothing | None = None) -> StreamStatistics:
    made = StreamStatistics(source or Nothing())
    made.begin()
    return made


def test_before_the_first_frame_there_are_no_figures_of_frames(clock: FakeTime) -> None:
    figures = begun().figures([StageClock("source")])
    assert (figures.frames, figures.rate, figures.latency_ms, figures.age_ms) == (0, None, None, None)


def test_figures_may_be_asked_for_before_the_beginning(clock: FakeTime) -> None:
    made = StreamStatistics(Nothing())
    clock.now_s += 3
    assert made.figures([StageClock("source")]).seconds == 3
    made.begin()
    clock.now_s += 1
    assert made.figures([StageClock("source")]).seconds == 1


def test_one_frame_has_a_latency_and_no_rate(clock: FakeTime) -> None:
    made = begun()
    clock.now_s = 1010.5
    made.note(1010.0)
    figures = made.figures([StageClock("source")])
    assert (figures.frames, figures.rate, figures.age_ms) == (1, None, None)
    assert figures.latency_ms == {"p50": 500, "p99": 500}


def test_the_rate_counts_from_the_first_result_to_the_last(clock: FakeTime) -> None:
    made = begun()
    for done_s in (1100.0, 1100.5, 1102.0):
        clock.now_s = done_s
        made.note(done_s - 0.25)
    clock.now_s = 2000.0
    assert made.figures([StageClock("source")]).rate == pytest.approx(2 / 2.0)


def test_results_at_the_same_moment_have_no_rate(clock: FakeTime) -> None:
    made = begun()
    made.note(1000.0)
    made.note(1000.0)
    assert made.figures([StageClock("source")]).rate is None


@pytest.mark.parametrize("is_live", [True, False])
def test_distributions(clock: FakeTime, is_live: bool) -> None:
    """Frames arrive each 100 ms and take 30 ms, but for the third, which takes 90 ms; the fourth never came."""
    made = begun(Nothing(is_live=is_live))
    for arrived_s, took_s in ((0.0, 0.03), (0.1, 0.03), (0.2, 0.09), (0.4, 0.03)):
        clock.now_s = 1000 + arrived_s + took_s
        made.note(1000 + arrived_s)
    figures = made.figures([StageClock("source")])
    assert figures.is_live == is_live
    # Latencies 30, 30, 30, 90: the 99th percentile lies 0.97 of the way between the two greatest.
    assert figures.latency_ms == pytest.approx({"p50": 30, "p99": 30 + 0.97 * 60})
    if is_live:
        # Ages 130 - 0, 290 - 100, 430 - 200.
        assert figures.age_ms == pytest.approx({"p50": 190, "p99": 190 + 0.98 * 40, "max": 230})
    else:
        assert figures.age_ms is None


def test_memory_is_bounded_and_the_greatest_age_stays(clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REMEMBERED", 10)
    made = begun()
    for number in range(1000):
        clock.now_s = 1000 + number + (5 if number == 1 else 0)
        made.note(1000 + number - 0.5)
    figures = made.figures([StageClock("source")])
    assert (len(made._latencies_ms), len(made._ages_ms)) == (10, 10)
    assert figures.frames == 1000
    assert figures.latency_ms == {"p50": 500, "p99": 500}
    assert figures.age_ms == {"p50": 1500, "p99": 1500, "max": 6500}
    assert figures.rate == pytest.approx(1)


def test_time_ends_once(clock: FakeTime) -> None:
    made = begun()
    clock.now_s, clock.worked_s = 1010.0, 55.0
    before = made.figures([StageClock("source")])
    made.end()
    clock.now_s, clock.worked_s = 5000.0, 500.0
    made.end()
    after = made.figures([StageClock("source")])
    assert (before.seconds, before.processor_share) == (10, pytest.approx(5 / 10 / 2))
    assert (after.seconds, after.processor_share) == (before.seconds, before.processor_share)


def test_of_stages_of_one_name_the_busiest_speaks(clock: FakeTime) -> None:
    made = begun(Nothing(is_live=False))
    clock.now_s = 1010.0
    clocks = [StageClock("source", 5, 1.0), StageClock("network", 5, 0.5), StageClock("network", 4, 2.0)]
    stages = made.figures([*clocks, StageClock("labels")]).stages
    assert stages == (
        StageFigure("source", 200, 0.1),
        StageFigure("network", 500, 0.2),
        StageFigure("labels", 0, 0),
    )


def test_a_live_source_is_no_stage(clock: FakeTime) -> None:
    made = begun()
    assert [stage.name for stage in made.figures([StageClock("source"), StageClock("network")]).stages] == ["network"]


def test_counts_are_those_of_that_moment(clock: FakeTime) -> None:
    source = Nothing()
    made = begun(source)
    figures = made.figures([StageClock("source")])
    source.counts.damaged = 9
    assert figures.counts.damaged == 2


def figures_of(processor: float, *, is_live: bool = True, **stages: float) -> StreamFigures:
    made = StreamStatistics(Nothing(is_live=is_live))
    figures = made.figures([StageClock("source")])
    shares = tuple(StageFigure(name, 1.0, share) for name, share in stages.items())
    return replace(figures, processor_share=processor, stages=shares)


@pytest.mark.parametrize(
    ("figures", "bound"),
    [
        (figures_of(0.3, network=0.95, labels=0.4), "network"),
        (figures_of(0.3, network=0.89, labels=0.4), "source"),
        (figures_of(0.96, network=0.92), "processor"),
        (figures_of(0.92, network=0.96), "network"),
        (figures_of(0.3, is_live=False, source=0.2, network=0.6), "network"),
        (figures_of(0.7, is_live=False, source=0.2, network=0.6), "processor"),
        (figures_of(0.3, is_live=False, source=0.8, network=0.6), "source"),
    ],
)
def test_what_bounds_the_rate(figures: StreamFigures, bound: str) -> None:
    assert figures.bounded_by == bound
    assert figures.to_json()["bounded_by"] == bound


def test_figures_are_json(clock: FakeTime) -> None:
    made = begun(Nothing(is_live=False))
    for _ in range(3):
        clock.now_s += 0.5
        made.note(clock.now_s - 0.1)
    document = json.loads(json.dumps(made.figures([StageClock("source", 3, 0.3)]).to_json()))
    assert document["frames"] == 3
    assert document["rate"] == pytest.approx(2)
    assert document["counts"] == {"dropped": 0, "damaged": 2, "reconnections": 0}
    assert document["stages"] == [
        {"name": "source", "ms_per_frame": pytest.approx(100), "busy_share": pytest.approx(0.2)}
    ]
