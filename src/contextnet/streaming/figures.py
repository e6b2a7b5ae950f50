"""The figures of a stream: what a run tells while it goes on and when it has ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from contextnet.streaming.sources.source import SourceCounts

SATURATED_SHARE = 0.9
"""A stage, or the processor, that is at work for so much of the time cannot take more frames."""


@dataclass(frozen=True)
class StageFigure:
    """One stage: how long it works on a frame, and for which share (0..1) of the time it is at work."""

    name: str
    ms_per_frame: float
    busy_share: float


@dataclass(frozen=True)
class StreamFigures:
    """A stream so far. Figures that need a frame are None before the first.

    ``rate`` is frames a second from the first result to the last. ``latency_ms`` runs from a frame's arrival until
    every sink has its result; ``age_ms``, of live sources, is how old the newest result had become when the next one
    came, by arrival too. Both give p50 and p99 over the last frames, the age also its maximum over all.
    ``first_result_s`` is when the first one came, after the network was fitted to the size of the frames.
    ``processor_share`` is how much of the usable cores' time the whole process took.
    """

    source: str
    is_live: bool
    frames: int
    seconds: float
    rate: float | None
    latency_ms: dict[str, float] | None
    age_ms: dict[str, float] | None
    counts: SourceCounts
    stages: tuple[StageFigure, ...]
    processor_share: float
    first_result_s: float | None = None

    @property
    def bounded_by(self) -> str:
        """What keeps the rate from being higher: the processor, a stage, or a live source that the rest waits for."""
        shares = {stage.name: stage.busy_share for stage in self.stages} | {"processor": self.processor_share}
        busiest = max(shares, key=lambda name: shares[name])
        return "source" if self.is_live and shares[busiest] < SATURATED_SHARE else busiest

    def to_json(self) -> dict[str, Any]:
        """Give the figures as plain JSON values."""
        return asdict(self) | {"bounded_by": self.bounded_by}
