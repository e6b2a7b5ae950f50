"""Pictures as their planes: YUV 4:2:0, the form that cameras give and videos hold."""

from __future__ import annotations

import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

FORMAT = "yuv420p"
"""Brightness in full size, two colour differences in half, rounded up; 8 bits each."""

_NO_DIFFERENCES = 0
"""The colour space of pictures that hold red, green and blue; FFmpeg turns them into BT.601 where none is said."""


def in_planes(video: VideoFrame) -> VideoFrame:
    """Give a picture in YUV 4:2:0, converted only if it is not, with its times and its description of the colours."""
    if video.format.name == FORMAT:
        return video
    converted = video.reformat(format=FORMAT)
    _copy_time(video, converted)
    if converted.colorspace == _NO_DIFFERENCES:
        converted.colorspace = Colorspace.ITU601
    return converted


def blank_like(video: VideoFrame, size_hw: tuple[int, int] | None = None) -> VideoFrame:
    """Make a picture in YUV 4:2:0, not yet written to, of a picture's size or another, with its times and colours."""
    height, width = size_hw or (video.height, video.width)
    blank = VideoFrame(width, height, FORMAT)
    _copy_time(video, blank)
    blank.color_range, blank.colorspace = video.color_range, video.colorspace
    blank.color_primaries, blank.color_trc = video.color_primaries, video.color_trc
    return blank


def plane_views(video: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """View the planes of a picture in YUV 4:2:0 where they lie: Y (H, W), U and V of half the size, rounded up."""
    y, u, v = video.planes
    return _view(y), _view(u), _view(v)


def _copy_time(source: VideoFrame, target: VideoFrame) -> None:
    target.pts = source.pts
    if source.time_base is not None:
        target.time_base = source.time_base


def _view(plane: VideoPlane) -> Plane:
    data: Plane = np.frombuffer(memoryview(plane), np.uint8)
    rows = data[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
