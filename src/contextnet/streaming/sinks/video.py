"""A video file as a sink."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.frame import Frame
from contextnet.streaming.planes import FORMAT, blank_like, in_planes, plane_views

CODEC = "libx264"
CODEC_OPTIONS = {"preset": "ultrafast", "crf": "21", "g": "50"}
"""The fastest there is, at a quality that shows the boundaries; slower presets make files smaller, not better.

A key frame every 50 frames lets players jump."""

# What is complete goes to the disk each second: fragments are measured in µs, clusters in ms. The header waits for the
# first of them, since the edit list that keeps the time of the first picture needs its length.
_MP4 = {"movflags": "+hybrid_fragmented+delay_moov", "frag_duration": "1000000", "flush_packets": "1"}
_MATROSKA = {"cluster_time_limit": "1000", "flush_packets": "1"}
SUFFIXES: dict[str, dict[str, str]] = {".mp4": _MP4, ".mov": _MP4, ".m4v": _MP4, ".mkv": _MATROSKA}
"""Suffix and options of its container. A file that a crash cut off plays up to there; a whole one plays anywhere."""


class VideoSink:
    """Writes the drawn results as H.264 in YUV 4:2:0, which browsers play, each at its frame's own time.

    A time that is not later than the last one comes a tick after it. ``rate`` is the frames a second that the file
    announces. The first picture sets the size, made even at the bottom and the right, and the shape of the pixels;
    pictures of another size are fitted into it.
    """

    needs_picture = True

    def __init__(self, path: Path, rate: Fraction | None = None) -> None:
        self._path = path
        self._rate = rate or Fraction(25)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._last_pts: int | None = None
        self._has_failed = False

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self._path)

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Encode one picture. Raises ``StreamError`` when it cannot be written, as on a full disk."""
        assert picture is not None
        try:
            container, stream = self._opened(picture, _pixel_aspect(result))
            fitted = _fitted(picture, (stream.height, stream.width))
            pts, time_base = self._later(picture, stream), stream.codec_context.time_base
            if fitted is picture and (picture.pts, picture.time_base) != (pts, time_base):
                fitted = _on_canvas(picture, (stream.height, stream.width))  # other sinks read the picture's times
            fitted.pts, fitted.time_base = pts, time_base
            container.mux(stream.encode(fitted))
        except (FFmpegError, OSError) as error:
            self._has_failed = True
            raise self._failure(error) from None

    def close(self) -> None:
        """Write what the encoder still holds, and the file's index; without a picture there is no file."""
        if self._container is None or self._stream is None:
            return
        container, self._container = self._container, None
        try:
            try:
                # FFmpeg crashes where a header that could not be written is tried once more.
                if not self._has_failed:
                    container.mux(self._stream.encode(None))
            finally:
                container.close()
        except (FFmpegError, OSError) as error:
            raise self._failure(error) from None

    def _opened(self, picture: VideoFrame, pixel_aspect: Fraction) -> tuple[OutputContainer, VideoStream]:
        if self._container is None or self._stream is None:
            options = SUFFIXES[self._path.suffix.lower()]
            self._container = av.open(str(self._path), "w", container_options=options)
            stream = self._container.add_stream(CODEC, rate=self._rate, options=CODEC_OPTIONS)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = _even(picture.height), _even(picture.width)
            stream.pix_fmt = FORMAT
            assert picture.time_base is not None
            stream.codec_context.time_base = stream.time_base = picture.time_base
            stream.codec_context.sample_aspect_ratio = pixel_aspect
            _describe_colors(stream, picture)
            self._stream = stream
        return self._container, self._stream

    def _later(self, picture: VideoFrame, stream: VideoStream) -> int:
        """Give the picture's time in the file's ticks; one that is not later than the last comes a tick after it."""
        assert picture.pts is not None
        assert picture.time_base is not None
        assert stream.codec_context.time_base is not None
        pts = round(picture.pts * picture.time_base / stream.codec_context.time_base)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        self._last_pts = pts
        return pts

    def _failure(self, error: Exception) -> StreamError:
        reason = getattr(error, "strerror", None) or str(error)
        return StreamError.at(self._path, f"cannot be written: {reason}", "free some space, or give another file")


def _describe_colors(stream: VideoStream, picture: VideoFrame) -> None:
    """Have players show the colours as the source's are shown."""
    context = stream.codec_context
    context.color_range, context.colorspace = picture.color_range, picture.colorspace
    context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc


def _pixel_aspect(result: Segmentation) -> Fraction:
    return result.frame.pixel_aspect if isinstance(result.frame, Frame) else Fraction(1)


def _even(length: int) -> int:
    return length + length % 2


def _fitted(picture: VideoFrame, size_hw: tuple[int, int]) -> VideoFrame:
    """Fit a picture into a video of ``size_hw``, even numbers: scaled to touch its borders, in the middle, on black."""
    if (picture.height, picture.width) == size_hw:
        return in_planes(picture)
    if (_even(picture.height), _even(picture.width)) != size_hw:
        scale = min(size_hw[0] / picture.height, size_hw[1] / picture.width)
        height, width = (max(2, 2 * round(side * scale / 2)) for side in (picture.height, picture.width))
        picture = picture.reformat(width=width, height=height, format=FORMAT)
    return _on_canvas(in_planes(picture), size_hw)


def _on_canvas(picture: VideoFrame, size_hw: tuple[int, int]) -> VideoFrame:
    """Put a picture in the middle of black; a last row or column that makes the size even repeats the one before."""
    canvas = blank_like(picture, size_hw)
    for target, plane, black in zip(plane_views(canvas), plane_views(picture), (16, 128, 128), strict=True):
        height, width = plane.shape
        top, left = (target.shape[0] - height) // 2, (target.shape[1] - width) // 2
        if target.shape[0] - height <= 1 and target.shape[1] - width <= 1:
            target[:] = np.pad(plane, ((0, target.shape[0] - height), (0, target.shape[1] - width)), "edge")
        else:
            target[:] = black
            target[top : top + height, left : left + width] = plane
    return canvas
