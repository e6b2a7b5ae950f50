from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from contextnet.streaming.frame import Frame
from contextnet.streaming.planes import blank_like, in_planes, plane_views
from counted_videos import counted_picture, timed_picture


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 2), (3, 5), (127, 131)])
def test_views_are_the_planes_without_their_padding(size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    picture = VideoFrame(width, height, "yuv420p")
    half = ((height + 1) // 2, (width + 1) // 2)
    assert [plane.shape for plane in plane_views(picture)] == [size_hw, half, half]
    for number, plane in enumerate(plane_views(picture)):
        plane[:] = np.arange(plane.size).reshape(plane.shape) % 200 + number
    for number, plane in enumerate(plane_views(picture)):
        np.testing.assert_array_equal(plane, np.arange(plane.size).reshape(plane.shape) % 200 + number)


def test_a_picture_in_planes_is_the_same_one() -> None:
    picture = timed_picture(counted_picture(3), 5)
    assert in_planes(picture) is picture


@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray"])
def test_a_converted_picture_keeps_its_time_and_shows_the_same(pixel_format: str) -> None:
    picture = timed_picture(counted_picture(5, (16, 24)), 11, Fraction(1, 30), pixel_format)
    converted = in_planes(picture)
    assert (converted.format.name, converted.pts, converted.time_base) == ("yuv420p", 11, Fraction(1, 30))
    luma = plane_views(in_planes(timed_picture(counted_picture(5, (16, 24)), 11)))[0]
    np.testing.assert_allclose(plane_views(converted)[0].astype(int), luma, rtol=0, atol=3)


def test_a_picture_without_a_time_is_converted() -> None:
    picture = VideoFrame.from_ndarray(counted_picture(0), format="rgb24")
    assert (picture.pts, picture.time_base) == (None, None)
    for made in (in_planes(picture), blank_like(picture)):
        assert (made.format.name, made.pts, made.time_base) == ("yuv420p", None, None)


@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
def test_red_green_and_blue_become_what_they_are_described_as(color_range: int) -> None:
    picture = timed_picture(np.full((8, 8, 3), (255, 0, 0), np.uint8), 0, pixel_format="gbrp")
    picture.colorspace, picture.color_range = 0, color_range
    converted = in_planes(picture)
    assert converted.colorspace == Colorspace.ITU601
    assert converted.color_range == color_range
    red = {ColorRange.MPEG: [81, 90, 240], ColorRange.JPEG: [76, 85, 255]}[ColorRange(color_range)]
    assert [int(plane[2, 2]) for plane in plane_views(converted)] == pytest.approx(red, abs=1)


@pytest.mark.parametrize("size_hw", [None, (6, 4)])
def test_a_blank_has_the_time_and_the_colours(size_hw: tuple[int, int] | None) -> None:
    picture = timed_picture(counted_picture(0, (16, 24)), 3)
    picture.colorspace, picture.color_range = Colorspace.ITU709, ColorRange.JPEG
    picture.color_primaries, picture.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    blank = blank_like(picture, size_hw)
    assert (blank.height, blank.width) == (size_hw or (16, 24))
    for name in ("pts", "time_base", "colorspace", "color_range", "color_primaries", "color_trc"):
        assert getattr(blank, name) == getattr(picture, name)


@pytest.mark.parametrize(
    ("colorspace", "color_range", "yuv"),
    [
        (Colorspace.ITU601, ColorRange.MPEG, (81, 90, 240)),
        (Colorspace.ITU709, ColorRange.MPEG, (63, 102, 240)),
        (Colorspace.ITU601, ColorRange.JPEG, (76, 85, 255)),
        (Colorspace.ITU709, ColorRange.JPEG, (54, 99, 255)),
    ],
)
def test_a_frame_gives_the_pixels_in_the_colours_that_are_described(
    colorspace: int, color_range: int, yuv: tuple[int, int, int]
) -> None:
    picture = VideoFrame(16, 8, "yuv420p")
    picture.colorspace, picture.color_range = colorspace, color_range
    for plane, value in zip(plane_views(picture), yuv, strict=True):
        plane[:] = value
    frame = Frame(picture, 0)
    assert (frame.image.shape, frame.size_hw) == ((8, 16, 3), (8, 16))
    np.testing.assert_allclose(frame.image.astype(int), np.full((8, 16, 3), (255, 0, 0)), rtol=0, atol=3)


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 5), (64, 96)])
@pytest.mark.parametrize("view", ["whole", "mirrored"])
def test_a_frame_of_pixels_gives_them_back(size_hw: tuple[int, int], view: str) -> None:
    image = counted_picture(9, size_hw)
    image = image if view == "whole" else image[:, ::-1]
    frame = Frame.of_image(image, 4, Fraction(1, 3))
    np.testing.assert_array_equal(frame.image, image)
    assert (frame.index, frame.video.pts, frame.time_s) == (4, 30_000, pytest.approx(1 / 3))
