"""Engines that compute nothing and move a clock of their own, so that what is timed is known."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from contextnet.runtime.engines.engine import EngineInfo, Images, Labels, Scores


@dataclass
class Clock:
    """A clock that stands still unless something takes its time."""

    now_s: float = 0.0

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """Take the place of the process's own clock."""
        clock = cls()
        monkeypatch.setattr(time, "perf_counter", lambda: clock.now_s)
        return clock


@dataclass
class TimedEngine:
    """Submitting takes 0.25 s, scores 2 s more, labels half a second more; ``events`` is what happened, in order."""

    clock: Clock
    in_flight: int = 1
    submitted: int = 0
    closed: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("timed", "1.0", "cpu", "fp32", self.in_flight)

    def submit(self, images: Images) -> TimedInference:
        assert (images.shape[0], images.dtype) == (1, np.uint8)
        self.clock.now_s += 0.25
        self.events.append(f"submit {self.submitted}")
        self.submitted += 1
        return TimedInference(self, self.submitted - 1)

    def close(self) -> None:
        self.closed += 1


@dataclass
class TimedInference:
    """A call of a timed engine."""

    engine: TimedEngine
    number: int
    is_scored: bool = False

    def scores(self) -> Scores:
        if not self.is_scored:
            self.engine.clock.now_s += 2.0
            self.is_scored = True
        return np.zeros((1, 2, 1, 1), np.float32)

    def labels(self) -> Labels:
        self.scores()
        self.engine.clock.now_s += 0.5
        self.engine.events.append(f"labels {self.number}")
        return np.zeros((1, 8, 8), np.uint8)
