"""Measuring a stream while it runs, in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np

from contextnet.runtime.engines.cores import usable_threads
from contextnet.streaming.figures import StageFigure, StreamFigures
from contextnet.streaming.pipeline import StageClock
from contextnet.streaming.sources.source import Source

REMEMBERED = 10_000
"""How many of the last frames the distributions are of."""


class StreamStatistics:
    """What is noted of each frame; ``figures`` may be asked for at any time, by any thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = Lock()
        self._started_s, self._processor_s = time.monotonic(), time.process_time()
        self._ended_s: float | None = None
        self._frames = 0
        self._first_done_s = self._last_done_s = self._last_arrived_s = 0.0
        self._latencies_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._ages_ms: deque[float] = deque(maxlen=REMEMBERED)
        self._greatest_age_ms = 0.0

    def begin(self) -> None:
        """Count time from now on."""
        self._started_s, self._processor_s = time.monotonic(), time.process_time()

    def note(self, arrived_s: float) -> None:
        """Note that every sink has the result of the frame that arrived then, by ``time.monotonic``."""
        now_s = time.monotonic()
        with self._lock:
            self._latencies_ms.append(1000 * (now_s - arrived_s))
            if self._frames:
                age_ms = 1000 * (now_s - self._last_arrived_s)
                self._ages_ms.append(age_ms)
                self._greatest_age_ms = max(self._greatest_age_ms, age_ms)
            else:
                self._first_done_s = now_s
            self._frames += 1
            self._last_done_s, self._last_arrived_s = now_s, arrived_s

    def end(self) -> None:
        """Count no more time."""
        with self._lock:
            if self._ended_s is None:
                self._ended_s = time.monotonic()
                self._processor_s = time.process_time() - self._processor_s

    def figures(self, clocks: Sequence[StageClock]) -> StreamFigures:
        """Sum up what there is so far; of clocks of one name the busiest speaks for all."""
        with self._lock:
            has_ended = self._ended_s is not None
            seconds = max((time.monotonic() if self._ended_s is None else self._ended_s) - self._started_s, 1e-9)
            processor_s = self._processor_s if has_ended else time.process_time() - self._processor_s
            between = self._frames - 1
            spent_s = self._last_done_s - self._first_done_s
            is_live = self._source.info.is_live
            ages = _distribution(self._ages_ms) if is_live else None
            return StreamFigures(
                source=self._source.info.name,
                is_live=is_live,
                frames=self._frames,
                seconds=seconds,
                rate=between / spent_s if between > 0 and spent_s > 0 else None,
                latency_ms=_distribution(self._latencies_ms),
                age_ms=None if ages is None else ages | {"max": self._greatest_age_ms},
                counts=replace(self._source.counts),
                # A live source is waited for, however long its next frame takes.
                stages=_stages(clocks[1:] if is_live else clocks, seconds),
                processor_share=processor_s / seconds / usable_threads(None),
                first_result_s=self._first_done_s - self._started_s if self._frames else None,
            )


def _distribution(values: deque[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p99 = np.percentile(np.array(values), [50, 99])
    return {"p50": float(p50), "p99": float(p99)}


def _stages(clocks: Sequence[StageClock], seconds: float) -> tuple[StageFigure, ...]:
    busiest: dict[str, StageClock] = {}
    for clock in clocks:
        if clock.name not in busiest or clock.busy_s > busiest[clock.name].busy_s:
            busiest[clock.name] = clock
    return tuple(
        StageFigure(name, 1000 * clock.busy_s / max(1, clock.items), clock.busy_s / seconds)
        for name, clock in busiest.items()
    )
