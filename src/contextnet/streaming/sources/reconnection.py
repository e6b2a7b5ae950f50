"""Reading a live source on for good: whenever it stalls, breaks or ends, it is opened again."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event

from av.container import InputContainer
from av.error import BlockingIOError as NothingYetError
from av.error import FFmpegError

from contextnet.errors import StreamError
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sources.catching_up import catching_up
from contextnet.streaming.sources.decoding import LIVE_THREADS, Picture, decode_pictures, read_packets
from contextnet.streaming.sources.source import SourceCounts, SourceInfo

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


class ReconnectingSource(ABC):
    """Frames of a live source that is opened again and again, until ``close``.

    Numbers and times of the frames go on over the gaps: times are those of arrival, counted from the first frame,
    because the clocks of cameras jump.
    """

    def __init__(self, info: SourceInfo, patience: Patience) -> None:
        self._info = info
        self._counts = SourceCounts()
        self._patience = patience
        self._closed = Event()
        self._next_index = 0
        self._first_s = 0.0
        self._last_pts = -1

    @property
    def info(self) -> SourceInfo:
        """What the source is called, without what is secret."""
        return self._info

    @property
    def counts(self) -> SourceCounts:
        """How many pictures were damaged or came too fast to be decoded, and how often the source came back."""
        return self._counts

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames until ``close``. Raises ``StreamError`` when no first one comes."""
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

    @abstractmethod
    def _open(self) -> InputContainer:
        """Open the source; raises ``FFmpegError`` when it is not to be had."""

    @abstractmethod
    def _find_fault(self, error: FFmpegError | None) -> Fault:
        """Explain why it could not be opened or read, or with None why it ended without a frame."""

    def _require_hope(self, fault: Fault, attempts: int) -> None:
        if fault.is_final or attempts >= self._patience.first_attempts:
            raise StreamError.at(self._info.name, fault.found, fault.remedy)

    def _connection(self) -> Iterator[Frame]:
        """Give the frames of one connection, until it breaks or ends."""
        is_first = True
        with self._open() as container:
            for picture in self._pictures(container):
                if self._closed.is_set():
                    return
                if is_first and self._next_index:
                    self._counts.reconnections += 1
                is_first = False
                yield self._timed(picture)

    def _pictures(self, container: InputContainer) -> Iterator[Picture]:
        if not container.streams.video or container.streams.video[0].codec_context is None:
            return
        stream = container.streams.video[0]
        stream.thread_type = LIVE_THREADS
        until_s = time.monotonic() + self._patience.stall_s
        while not self._closed.is_set():
            try:
                packets = catching_up(read_packets(container, stream, self._counts), self._counts)
                for picture in decode_pictures(packets, self._counts, self._closed.is_set):
                    yield picture
                    until_s = time.monotonic() + self._patience.stall_s
                return
            except NothingYetError:
                if time.monotonic() > until_s:
                    raise
                self._closed.wait(POLL_S)

    def _timed(self, picture: Picture) -> Frame:
        arrived_s = time.monotonic()
        if self._next_index == 0:
            self._first_s = arrived_s
        self._last_pts = max(self._last_pts + 1, round((arrived_s - self._first_s) / CLOCK))
        picture.video.pts, picture.video.time_base = self._last_pts, CLOCK
        frame = Frame(picture.video, self._next_index, arrived_s, picture.pixel_aspect)
        self._next_index += 1
        return frame
