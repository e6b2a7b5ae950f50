"""A video file, or what comes through a pipe, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Protocol

import av
from av import VideoFrame
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.stream import VideoStream

from contextnet.errors import StreamError
from contextnet.runtime.engines.cores import usable_threads
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sources.decoding import decode_pictures, read_packets
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.sources.timeline import Timeline

DEFAULT_RATE = Fraction(25)
"""Frames a second of films that do not tell: raw H.264 and MJPEG."""

STALL_S = 30.0
"""So long without data end the reading of an address: a server that has gone silent would never be left."""

MAX_DECODING_THREADS = 4
"""With more, a damaged picture takes sound ones along that other threads are at work on."""


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; none at the end."""
        ...


class VideoSource:
    """The frames of a recorded video: all of them, in order, upright, with their own times, which always grow.

    ``opened`` is a pipe or an address to read in place of the file; ``path`` is what it is called then.
    ``format_name`` and ``options`` are FFmpeg's, for what does not tell by itself what it is. ``remedy`` is what users
    are told where it cannot be read.
    """

    def __init__(
        self,
        path: Path | str,
        opened: Readable | str | None = None,
        format_name: str | None = None,
        options: dict[str, str] | None = None,
        remedy: str = "",
    ) -> None:
        self._path = path
        self._remedy = remedy or (_CHECK_ADDRESS if isinstance(opened, str) else _COPY)
        self._counts = SourceCounts()
        self._lock = Lock()
        self._is_read = self._is_closed = False
        self._container = _open(path, opened, format_name, options or {}, self._remedy)
        self._stream = _video_stream(path, self._container)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._info = SourceInfo(str(path), False, rate, self._stream.frames or None)
        self._timeline = Timeline(1 / (rate or DEFAULT_RATE))

    @property
    def info(self) -> SourceInfo:
        """What the file tells of itself."""
        return self._info

    @property
    def counts(self) -> SourceCounts:
        """How many pictures were damaged so far; none is ever dropped."""
        return self._counts

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames. Raises ``StreamError`` when the file cannot be read on, or held no frame at all."""
        with self._lock:
            if self._is_closed:
                return
            self._is_read = True
        index = 0
        try:
            packets = read_packets(self._container, self._stream, self._counts)
            for video, pixel_aspect in decode_pictures(packets, self._counts, lambda: self._is_closed):
                self._time(video)
                yield Frame(video, index, pixel_aspect=pixel_aspect)
                index += 1
        except FFmpegError as error:
            raise StreamError.at(
                self._path, f"cannot be read on after frame {index}: {_reason(error)}", self._remedy
            ) from None
        finally:
            self._container.close()
        if index == 0 and not self._is_closed:
            number = self._counts.damaged
            damaged = f"; {number} {'was' if number == 1 else 'were'} damaged" if number else ""
            raise StreamError.at(self._path, f"holds no frame that can be decoded{damaged}", self._remedy)

    def close(self) -> None:
        """End the frames with the next one; the file is closed then, or at once if none was taken."""
        with self._lock:
            self._is_closed = True
            if not self._is_read:
                self._container.close()

    def _time(self, video: VideoFrame) -> None:
        """Give a picture a time that is later than the last one's: its own, wherever it can be."""
        own_s, tick_s = None, CLOCK
        if video.pts is not None and video.time_base:
            own_s, tick_s = video.pts * video.time_base, video.time_base
        video.time_base = tick_s
        video.pts = int(self._timeline.place(own_s, tick_s) / tick_s)


_COPY = "check that it plays, or copy it again"
_CHECK_ADDRESS = "check the address and that its server runs"


def _open(
    path: Path | str, opened: Readable | str | None, format_name: str | None, options: dict[str, str], remedy: str
) -> InputContainer:
    if opened is None and not Path(path).exists():
        raise StreamError.at(path, "does not exist", "give a video file, a folder of images, a camera or an address")
    try:
        # Titles may be in any encoding.
        timeout = STALL_S if isinstance(opened, str) else None
        return av.open(
            opened or str(path), "r", format=format_name, options=options, metadata_errors="replace", timeout=timeout
        )
    except FFmpegError as error:
        found = "cannot be read" if isinstance(opened, str) else "is no video that can be read"
        raise StreamError.at(path, f"{found}: {_reason(error)}", remedy) from None


def _reason(error: FFmpegError) -> str | None:
    return f"nothing came for {STALL_S:g} s" if isinstance(error, ExitError) else error.strerror


def _video_stream(path: Path | str, container: InputContainer) -> VideoStream:
    if not container.streams.video:
        container.close()
        raise StreamError.at(path, "holds no pictures", "give a video")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise StreamError.at(path, "is coded in a way that cannot be decoded here", "convert it to H.264")
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(usable_threads(None), MAX_DECODING_THREADS)
    return stream
