"""What every source of frames is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from contextnet.streaming.frame import Frame


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source before its frames are read.

    ``is_live`` says that frames come at their own pace and cannot wait. ``rate`` is frames a second, on the mean, where
    the source tells it; ``frame_count`` likewise.
    """

    name: str
    is_live: bool
    rate: Fraction | None = None
    frame_count: int | None = None


@dataclass
class SourceCounts:
    """What was lost on the way so far.

    ``dropped`` frames came while the machine was at work and were passed over for newer ones; ``damaged`` ones could
    not be decoded; ``reconnections`` is how many times a source came back after a stall or a break.
    """

    dropped: int = 0
    damaged: int = 0
    reconnections: int = 0


class Source(Protocol):
    """Frames in their order, read once, by one thread."""

    @property
    def info(self) -> SourceInfo:
        """What is known beforehand."""
        ...

    @property
    def counts(self) -> SourceCounts:
        """What was lost so far."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames; raises ``StreamError`` when the source cannot be read on."""
        ...

    def close(self) -> None:
        """End the frames soon, and give back what the source holds; any thread may call it, more than once."""
        ...
