"""Standard input as a source: a video in any form that tells what it is, or raw pixels."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from fractions import Fraction

from contextnet.errors import StreamError
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.sources.video import DEFAULT_RATE, VideoSource

POLL_S = 0.1
NAME = "standard input"


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
        try:
            self._video = self._open(raw_hw, rate)
        except StreamError:
            if self._pipe.interruption is not None:
                raise self._pipe.interruption from None
            raise

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

    def _open(self, raw_hw: tuple[int, int] | None, rate: Fraction) -> VideoSource:
        if raw_hw is None:
            return VideoSource(NAME, self._pipe)
        size = f"{raw_hw[1]}x{raw_hw[0]}"
        options = {"video_size": size, "pixel_format": "rgb24", "framerate": str(rate)}
        return VideoSource(NAME, self._pipe, "rawvideo", options)


class _Pipe:
    """A pipe that is read until it ends or is no longer wanted: nobody waits for a writer that has gone quiet.

    ``interruption`` is what ended a wait, such as Ctrl-C, which PyAV does not let through.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_wanted = True
        self.interruption: KeyboardInterrupt | SystemExit | None = None

    def read(self, size: int) -> bytes:
        """Read up to ``size`` bytes; none at the end."""
        try:
            while self.is_wanted:
                # Windows cannot wait for a pipe for a while.
                if sys.platform == "win32" or select.select([self._descriptor], [], [], POLL_S)[0]:
                    return os.read(self._descriptor, size)
        except (KeyboardInterrupt, SystemExit) as interruption:
            self.interruption = interruption
            self.is_wanted = False
        return b""
