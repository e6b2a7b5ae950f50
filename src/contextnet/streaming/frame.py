"""A frame: one picture on its way through a stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

CLOCK = Fraction(1, 90_000)
"""Seconds a tick of the frames that a source times itself: the clock of RTP and MPEG, which every film rate divides."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture, its number and its times.

    ``video`` is the picture upright, in any pixel format; its ``pts`` and ``time_base`` are when it is to be shown.
    ``index`` counts the source's pictures from 0, dropped ones too. ``arrived_s`` is when the picture came, by
    ``time.monotonic``. ``pixel_aspect`` is how wide a pixel is to be shown for its height.
    """

    video: VideoFrame
    index: int
    arrived_s: float = field(default_factory=time.monotonic)
    pixel_aspect: Fraction = Fraction(1)

    @classmethod
    def of_image(cls, image: NDArray[np.uint8], index: int, time_s: Fraction | float) -> Frame:
        """Make a frame of pixels, uint8 (H, W, 3) RGB, to be shown at ``time_s``."""
        video = VideoFrame.from_ndarray(image, format="rgb24")
        video.time_base = CLOCK
        video.pts = round(time_s / CLOCK)
        return cls(video, index)

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The picture as uint8 (H, W, 3) RGB, converted when it is first asked for."""
        return np.asarray(self.video.to_ndarray(format="rgb24"), np.uint8)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.video.height, self.video.width

    @property
    def time_s(self) -> float:
        """When the picture is to be shown, in seconds of the source's own clock."""
        assert self.video.time is not None
        return self.video.time
