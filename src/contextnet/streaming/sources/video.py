"""A video file, or what comes through a pipe, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av import VideoFrame
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.stream import VideoStream

from contextnet.errors import StreamError
from contextnet.runtime.engines.cores import usable_threads
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sources.decoding import decode_pictures
from contextnet.streaming.sources.source import SourceCounts, SourceInfo

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
    """The frames of a recorded video: all of them, in order, upright, with their own times.

    ``opened`` is a pipe or an address to read in place of the file; ``path`` is what it is called then.
    ``format_name`` and ``options`` are FFmpeg's, for what does not tell by itself what it is.
    """

    def __init__(
        self,
        path: Path | str,
        opened: Readable | str | None = None,
        format_name: str | None = None,
        options: dict[str, str] | None = None,
    ) -> None:
        self._path = path
        self._counts = SourceCounts()
        self._is_closed = False
        self._container = _open(path, opened, format_name, options or {})
        self._stream = _video_stream(path, self._container)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._info = SourceInfo(str(path), False, rate, self._stream.frames or None)

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
        index = 0
        last_s = Fraction(-1) / (self._info.rate or DEFAULT_RATE)
        try:
            for video in decode_pictures(self._container, self._stream, self._counts, lambda: self._is_closed):
                last_s = self._time(video, last_s)
                yield Frame(video, index)
                index += 1
        except FFmpegError as error:
            raise StreamError.at(
                self._path, f"cannot be read on after frame {index}: {_reason(error)}", _COPY
            ) from None
        finally:
            self._container.close()
        if index == 0 and not self._is_closed:
            damaged = f"; {self._counts.damaged} were damaged" if self._counts.damaged else ""
            raise StreamError.at(self._path, f"holds no frame that can be decoded{damaged}", _COPY)

    def close(self) -> None:
        """End the frames with the next one."""
        self._is_closed = True

    def _time(self, video: VideoFrame, last_s: Fraction) -> Fraction:
        """Give a picture's time; one that has none is given the next one after the last."""
        if video.pts is None or not video.time_base:
            video.time_base = CLOCK
            video.pts = round((last_s + 1 / (self._info.rate or DEFAULT_RATE)) / CLOCK)
        assert video.pts is not None
        assert video.time_base is not None
        return video.pts * video.time_base


_COPY = "check that it plays, or copy it again"


def _open(
    path: Path | str, opened: Readable | str | None, format_name: str | None, options: dict[str, str]
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
        raise StreamError.at(path, f"is no video that can be read: {_reason(error)}", _COPY) from None


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
