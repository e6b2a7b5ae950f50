"""Turning the pictures of a camera that was held sideways."""

from __future__ import annotations

import numpy as np
from av import VideoFrame

from contextnet.streaming.planes import blank_like, in_planes, plane_views


def quarter_turns(video: VideoFrame) -> int:
    """Give by how many quarter turns (0..3) a picture is to be turned, as its file says."""
    return round(video.rotation / 90) % 4


def upright(video: VideoFrame) -> VideoFrame:
    """Turn a picture as its file says that it is to be shown, by quarter turns; others than those are left out."""
    quarters = quarter_turns(video)
    if not quarters:
        return video
    lying = in_planes(video)
    size_hw = (lying.height, lying.width)
    turned = blank_like(lying, size_hw if quarters == 2 else size_hw[::-1])
    for target, plane in zip(plane_views(turned), plane_views(lying), strict=True):
        target[:] = np.rot90(plane, quarters)
    return turned
