"""Standard input as a source: a video in any form that tells what it is, or raw pixels."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from threading import Thread

from contextnet.errors import StreamError
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.sources.video import DEFAULT_RATE, VideoSource

POLL_S = 0.1
OPENING_POLL_S = 0.005
NAME = "standard input"

_REMEDY = (
    "make an MP4 for streaming (ffmpeg -movflags frag_keyframe+empty_moov) or give it as a file; "
    "for raw RGB give --size HEIGHTxWIDTH"
)
_RAW_REMEDY = "check that whole pictures of that size come, 3 bytes a pixel"


class StandardInput:
    """Frames that another program writes to this one.

    ``raw_hw`` says that they are bare pixels, uint8 RGB of this height and width, ``rate`` a second; otherwise the
    video tells what it is: MJPEG, MPEG-TS, Matroska, MP4 made for streaming, and so on. ``descriptor`` is the pipe.
    Raises ``StreamError`` when it is closed, or holds no video.
    """

    def __init__(
        self, raw_hw: tuple[int, int] | None = None, rate: Fraction = DEFAULT_RATE, descriptor: int | None = None
    ) -> None:
        if descriptor is None and sys.stdin is None:
            raise StreamError.at(NAME, "is closed", "pipe a video into it")
        self._pipe = _Pipe(sys.stdin.fileno() if descriptor is None else descriptor)
        self._video = self._open_aside(raw_hw, rate)

    @property
    def info(self) -> SourceInfo:
        """What the video tells of itself."""
        return self._video.info

    @property
    def counts(self) -> SourceCounts:
        """How many pictures were damaged so far."""
        return self._video.counts

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames; raises ``StreamError`` when they cannot be read on, or there are none."""
        return iter(self._video)

    def close(self) -> None:
        """End the frames, also while the other program is silent."""
        self._video.close()
        self._pipe.is_wanted = False

    def _open_aside(self, raw_hw: tuple[int, int] | None, rate: Fraction) -> VideoSource:
        """Open the video in another thread: FFmpeg would swallow a Ctrl-C that comes while it asks for the first bytes.

        The main thread, which is the one that is interrupted, only sleeps: an interrupted wait for a lock may keep it.
        """
        opened: list[VideoSource | Exception] = []

        def open_or_fail() -> None:
            try:
                opened.append(self._open(raw_hw, rate))
            except Exception as error:  # is raised to the caller
                opened.append(error)

        try:
            Thread(target=open_or_fail, name="first bytes", daemon=True).start()
            while not opened:
                time.sleep(OPENING_POLL_S)
        except BaseException:
            self._pipe.is_wanted = False
            raise
        if isinstance(opened[0], Exception):
            raise opened[0]
        return opened[0]

    def _open(self, raw_hw: tuple[int, int] | None, rate: Fraction) -> VideoSource:
        if raw_hw is None:
            return VideoSource(NAME, self._pipe, remedy=_REMEDY)
        size = f"{raw_hw[1]}x{raw_hw[0]}"
        options = {"video_size": size, "pixel_format": "rgb24", "framerate": str(rate)}
        return VideoSource(NAME, self._pipe, "rawvideo", options, _RAW_REMEDY)


class _Pipe:
    """A pipe that is read until it ends or is no longer wanted: nobody waits for a writer that has gone quiet."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_wanted = True

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; none at the end."""
        while self.is_wanted:
            # Windows cannot wait for a pipe for a while.
            if sys.platform == "win32" or select.select([self._descriptor], [], [], POLL_S)[0]:
                return os.read(self._descriptor, size)
        return b""
