"""A recorded source played as a camera would give it: each frame when it is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import Source, SourceCounts, SourceInfo


class Paced:
    """Gives the frames of a source at their own times; the first one is due at once, a late one when it is asked for.

    ``clock`` tells the seconds; ``wait`` waits so many of them, and tells whether the source was closed meanwhile.
    """

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._source = source
        self._closed = Event()
        self._clock = clock
        self._wait = wait or self._closed.wait

    @property
    def info(self) -> SourceInfo:
        """What the source tells of itself; its frames do not wait."""
        return replace(self._source.info, is_live=True)

    @property
    def counts(self) -> SourceCounts:
        """What the source lost."""
        return self._source.counts

    def __iter__(self) -> Iterator[Frame]:
        """Give each frame when it is due, as one that came then; raises what the source raises."""
        start_s: float | None = None
        for frame in self._source:
            now_s = self._clock()
            if start_s is None:
                start_s = now_s - frame.time_s
            early_s = start_s + frame.time_s - now_s
            if (early_s > 0 and self._wait(early_s)) or self._closed.is_set():
                return
            yield replace(frame, arrived_s=self._clock())

    def close(self) -> None:
        """End the frames at once, also one that is waited for."""
        self._closed.set()
        self._source.close()
