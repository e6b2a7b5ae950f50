from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.paced import Paced
from contextnet.streaming.sources.source import SourceCounts, SourceInfo

pytestmark = pytest.mark.timeout(30)


class Recording:
    """A recorded source whose frames have the given times."""

    def __init__(self, times_s: list[float]) -> None:
        self.info = SourceInfo("recording", is_live=False, frame_count=len(times_s))
        self.counts = SourceCounts(damaged=2)
        self.is_closed = False
        self._times_s = times_s

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in enumerate(self._times_s):
            yield Frame.of_image(np.zeros((2, 2, 3), np.uint8), index, time_s)

    def close(self) -> None:
        self.is_closed = True


class ToldClock:
    """A clock that only moves when it is told to, or when somebody waits by it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return False


@pytest.mark.parametrize(
    ("times_s", "work_s", "arrivals_s"),
    [
        ([0.0, 0.5, 1.0], 0.0, [100.0, 100.5, 101.0]),
        ([7.0, 7.5, 8.5], 0.0, [100.0, 100.5, 101.5]),  # the first one is due at once, whatever its time
        ([0.0, 0.5, 1.0], 0.25, [100.0, 100.5, 101.0]),  # work between the frames takes nothing from the pace
        ([0.0, 0.5, 1.0, 3.0], 0.75, [100.0, 100.75, 101.5, 103.0]),  # late frames come when they are asked for
        ([0.0, 0.5, 0.5, 0.25], 0.0, [100.0, 100.5, 100.5, 100.5]),  # times that stand or jump back are not waited for
        ([], 0.0, []),
    ],
)
def test_frames_come_when_they_are_due(times_s: list[float], work_s: float, arrivals_s: list[float]) -> None:
    clock = ToldClock()
    found = []
    for frame in Paced(Recording(times_s), clock, clock.wait):
        found.append((frame.index, frame.time_s, frame.arrived_s))
        clock.now_s += work_s
    expected = zip(times_s, arrivals_s, strict=True)
    assert found == [(i, pytest.approx(s), pytest.approx(a, abs=1e-4)) for i, (s, a) in enumerate(expected)]


def test_it_passes_for_a_camera() -> None:
    paced = Paced(Recording([0.0]))
    assert paced.info == SourceInfo("recording", is_live=True, frame_count=1)
    assert paced.counts == SourceCounts(damaged=2)


def test_it_keeps_time_by_the_real_clock() -> None:
    started_s = time.monotonic()
    arrivals_s = [frame.arrived_s - started_s for frame in Paced(Recording([0.0, 0.05, 0.1]))]
    for arrived_s, due_s in zip(arrivals_s, [0.0, 0.05, 0.1], strict=True):
        assert due_s - 0.001 <= arrived_s < due_s + 1


def test_closing_ends_a_wait_at_once() -> None:
    recording = Recording([0.0, 3600.0])
    is_waiting = Event()
    paced = Paced(recording)
    frames = iter(paced)
    assert next(frames).index == 0

    def wait_for_next() -> Frame | None:
        is_waiting.set()
        return next(frames, None)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_next)
        assert is_waiting.wait(5)
        paced.close()
        assert waiting.result(timeout=1) is None
    assert recording.is_closed
    assert list(paced) == []
