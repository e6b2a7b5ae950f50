"""Keeping up with a live source: the newest frame only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Condition, Thread

from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import Source, SourceCounts, SourceInfo

GRACE_S = 0.5
"""How long ``close`` waits for the reader, which FFmpeg may hold until its own time-out."""


class Newest:
    """Reads a source in a thread of its own and keeps its newest frame, so that who is slow sees the present.

    Frames that are passed over are counted as dropped. What the source raises is raised behind its last frame.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._condition = Condition()
        self._newest: Frame | None = None
        self._failure: BaseException | None = None
        self._dropped = 0
        self._has_ended = False
        self._is_closed = False
        # A daemon: FFmpeg may be waiting for a camera that has gone silent when the program wants to end.
        self._reader = Thread(target=self._read, name="newest frame", daemon=True)

    @property
    def info(self) -> SourceInfo:
        """What the source tells of itself; it is live, whatever it was."""
        return replace(self._source.info, is_live=True)

    @property
    def counts(self) -> SourceCounts:
        """What the source lost, and the frames passed over."""
        counts = self._source.counts
        return replace(counts, dropped=counts.dropped + self._dropped)

    def __iter__(self) -> Iterator[Frame]:
        """Give the newest frame that was not given yet, waiting for one; raises what the source raises."""
        self._reader.start()
        while (frame := self._next()) is not None:
            yield frame

    def close(self) -> None:
        """End the frames at once, also one that is waited for."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        self._source.close()
        if self._reader.is_alive():
            self._reader.join(GRACE_S)

    def _next(self) -> Frame | None:
        with self._condition:
            self._condition.wait_for(lambda: self._newest or self._has_ended or self._is_closed)
            if self._is_closed:
                return None
            frame, self._newest = self._newest, None
            if frame is None and self._failure is not None:
                raise self._failure
            return frame

    def _read(self) -> None:
        failure = None
        try:
            for frame in self._source:
                if not self._keep(frame):
                    break
        except BaseException as error:  # is raised to who iterates
            failure = error
        with self._condition:
            self._failure = failure
            self._has_ended = True
            self._condition.notify_all()

    def _keep(self, frame: Frame) -> bool:
        """Put a frame in the place of the one before; False when none is wanted any more."""
        with self._condition:
            self._dropped += self._newest is not None
            self._newest = frame
            self._condition.notify_all()
            return not self._is_closed
