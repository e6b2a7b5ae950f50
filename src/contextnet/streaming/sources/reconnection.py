"""Reading a live source on for good: whenever it stalls, breaks or ends, it is opened again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event

from av import VideoFrame
from av.container import InputContainer
from av.error import BlockingIOError as NothingYetError
from av.error import FFmpegError

from contextnet.errors import StreamError
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sources.decoding import decode_pictures
from contextnet.streaming.sources.source import SourceCounts

POLL_S = 0.005
"""How long a device is left alone that answers at once that it has no picture yet."""


@dataclass(frozen=True)
class Patience:
    """How long a live source is waited for.

    ``stall_s`` without data end a connection, and an attempt at one. Between attempts it waits ``back_off_s``, twice
    as long after each, at most ``longest_back_off_s``. ``first_attempts`` may fail before the first frame; once one has
    come, there is no limit.
    """

    stall_s: float = 5.0
    back_off_s: float = 0.5
    longest_back_off_s: float = 10.0
    first_attempts: int = 3

    def wait_s(self, failures: int) -> float:
        """Give the seconds to wait after so many attempts in a row that gave no frame."""
        # The exponent is bounded: a camera may be away for days.
        return min(self.longest_back_off_s, self.back_off_s * 2.0 ** min(failures, 60))


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True)
class Fault:
    """Why a source gives no frames: what was found, what mends it, and whether trying again is of no use."""

    found: str
    remedy: str
    is_final: bool = False


class Reconnection:
    """The frames of a source that is opened again and again.

    ``open_source`` opens it and may raise ``FFmpegError``; ``find_fault`` explains such an error, or None where the
    source ended without a frame. Numbers and times of the frames go on over the gaps: times are those of arrival,
    counted from the first frame, because the clocks of cameras jump.
    """

    def __init__(
        self,
        name: str,
        open_source: Callable[[], InputContainer],
        find_fault: Callable[[FFmpegError | None], Fault],
        patience: Patience,
    ) -> None:
        self.counts = SourceCounts()
        self._name = name
        self._open_source = open_source
        self._find_fault = find_fault
        self._patience = patience
        self._closed = Event()
        self._next_index = 0
        self._first_s = 0.0
        self._last_pts = -1

    def frames(self) -> Iterator[Frame]:
        """Give the frames until ``close``; raises ``StreamError`` when no first one comes."""
        failures = 0
        while not self._closed.is_set():
            index_before = self._next_index
            failure: FFmpegError | None = None
            try:
                yield from self._connection()
            except FFmpegError as error:
                failure = error
            if self._next_index > index_before:
                failures = 0
            elif self._next_index == 0 and not self._closed.is_set():
                # Not within the handler: FFmpeg's errors quote the address with its password, and tracebacks show them.
                self._require_hope(self._find_fault(failure), failures + 1)
            self._closed.wait(self._patience.wait_s(failures))
            failures += 1

    def close(self) -> None:
        """End the frames: at once while waiting, else with the next packet or time-out."""
        self._closed.set()

    def _require_hope(self, fault: Fault, attempts: int) -> None:
        if fault.is_final or attempts >= self._patience.first_attempts:
            raise StreamError.at(self._name, fault.found, fault.remedy)

    def _connection(self) -> Iterator[Frame]:
        """Give the frames of one connection, until it breaks or ends."""
        is_first = True
        with self._open_source() as container:
            for video in self._pictures(container):
                if self._closed.is_set():
                    return
                if is_first and self._next_index:
                    self.counts.reconnections += 1
                is_first = False
                yield self._timed(video)

    def _pictures(self, container: InputContainer) -> Iterator[VideoFrame]:
        if not container.streams.video or container.streams.video[0].codec_context is None:
            return
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads that take a frame each would hold back as many frames
        until_s = time.monotonic() + self._patience.stall_s
        while not self._closed.is_set():
            try:
                for video in decode_pictures(container, stream, self.counts, self._closed.is_set):
                    yield video
                    until_s = time.monotonic() + self._patience.stall_s
                return
            except NothingYetError:
                if time.monotonic() > until_s:
                    raise
                self._closed.wait(POLL_S)

    def _timed(self, video: VideoFrame) -> Frame:
        arrived_s = time.monotonic()
        if self._next_index == 0:
            self._first_s = arrived_s
        self._last_pts = max(self._last_pts + 1, round((arrived_s - self._first_s) / CLOCK))
        video.pts, video.time_base = self._last_pts, CLOCK
        frame = Frame(video, self._next_index, arrived_s)
        self._next_index += 1
        return frame
