"""Small videos whose pictures show their number, so that a test can tell which picture it got."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

SIZE_HW = (64, 96)
BITS = 8
RATE = 25


def counted_picture(number: int, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    """Draw a number as black and white stripes, the lowest bit on the left, over colours that move with it."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    image = np.stack([60 + (x + 3 * number) % 120, 60 + (y + number) % 120, np.full_like(x, 90)], axis=-1)
    for bit in range(BITS):
        image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 230 * (number >> bit & 1) + 12
    return image.astype(np.uint8)


def number_in(image: NDArray[np.uint8]) -> int:
    """Read the number that a picture shows; -1 where a stripe is neither black nor white, as in a torn picture."""
    height, width, _ = image.shape
    stripes = [image[height // 4, (2 * bit + 1) * width // (2 * BITS)].mean() for bit in range(BITS)]
    if any(80 < brightness < 175 for brightness in stripes):
        return -1
    return sum(1 << bit for bit, brightness in enumerate(stripes) if brightness > 128)


def write_counted_video(
    path: Path,
    times: Sequence[int] = range(12),
    *,
    time_base: Fraction = Fraction(1, RATE),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    size_hw: tuple[int, int] = SIZE_HW,
    first_number: int = 0,
    rotation: int = 0,
    title: str = "",
) -> Path:
    """Write a video of pictures numbered from ``first_number``, to be shown at ``times`` in ticks of ``time_base``."""
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size_hw
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = stream.time_base = time_base
        container.metadata["title"] = title
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times, first_number):
            picture = VideoFrame.from_ndarray(counted_picture(number, size_hw), format="rgb24")
            picture = picture.reformat(format=pixel_format)
            picture.pts, picture.time_base = time, time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def spoil_jpegs(path: Path, numbers: Sequence[int]) -> Path:
    """Put zeros in place of some of the JPEGs that follow each other in a file."""
    content = path.read_bytes()
    end = 0
    for number in range(max(numbers) + 1):
        start = content.index(b"\xff\xd8\xff", end)
        end = content.index(b"\xff\xd9", start) + 2
        if number in numbers:
            content = content[:start] + bytes(end - start) + content[end:]
    path.write_bytes(content)
    return path


def timed_picture(
    image: NDArray[np.uint8], time: int, time_base: Fraction = Fraction(1, RATE), pixel_format: str = "yuv420p"
) -> VideoFrame:
    """Make a picture of pixels, uint8 (H, W, 3) RGB, as a source gives it."""
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    # With several threads FFmpeg spoils a tiny picture of 10 bits now and then.
    picture = picture.reformat(format=pixel_format, threads=1)
    picture.pts, picture.time_base = time, time_base
    return picture
