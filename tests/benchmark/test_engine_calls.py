from __future__ import annotations

import numpy as np
import pytest
from timed_engines import Clock, TimedEngine

from contextnet.benchmark.engine_calls import OverlappingCalls, SingleCalls

IMAGE = np.zeros((8, 8, 3), np.uint8)


def test_single_calls_are_timed_to_the_labels_or_to_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TimedEngine(Clock.installed(monkeypatch))
    calls = SingleCalls(engine, IMAGE)
    assert calls.labelled_s(3) == [2.75] * 3
    assert calls.label_times_s == []
    assert calls.scored_s(2) == [2.25] * 2
    assert calls.label_times_s == [0.5] * 2
    assert engine.events == [f"{what} {number}" for number in range(5) for what in ("submit", "labels")]


@pytest.mark.parametrize(
    ("in_flight", "expected"),
    [
        pytest.param(1, "s0 l0 s1 l1 s2 l2", id="one at a time"),
        pytest.param(2, "s0 s1 l0 s2 l1 s3 l2 l3", id="two"),
        pytest.param(3, "s0 s1 s2 l0 s3 l1 s4 l2 l3 l4", id="three"),
    ],
)
def test_overlapping_calls_keep_the_engine_full(monkeypatch: pytest.MonkeyPatch, in_flight: int, expected: str) -> None:
    engine = TimedEngine(Clock.installed(monkeypatch), in_flight)
    # Filling and emptying take time as well, which no image is charged with.
    assert OverlappingCalls(engine, IMAGE).labelled_s(2) == [2.75]
    assert [event.replace("submit ", "s").replace("labels ", "l") for event in engine.events] == expected.split()


def test_images_timed_from_the_first_ones_beginning_to_the_last_ones_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TimedEngine(Clock.installed(monkeypatch), in_flight=3)
    assert OverlappingCalls(engine, IMAGE).drained_s(4) == [2.75]
    assert engine.events[:5] == ["submit 0", "submit 1", "submit 2", "labels 0", "submit 3"]
    assert engine.events[5:] == ["labels 1", "labels 2", "labels 3"]
    assert OverlappingCalls(engine, IMAGE).drained_s(1) == [2.75], "nothing was left on its way"
