from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from contextnet.streaming.planes import plane_views
from contextnet.streaming.upright import upright
from counted_videos import counted_picture, write_counted_video

SIZES_HW = [(1, 1), (2, 2), (3, 5), (64, 96), (33, 18)]


def turned_picture(folder: Path, size_hw: tuple[int, int], rotation: int, codec: str = "ffv1") -> VideoFrame:
    """Decode the first picture of a video that is to be shown turned."""
    pixel_format, options = ("yuv420p", {"level": "1"}) if codec == "ffv1" else ("yuvj420p", {})
    path = write_counted_video(
        folder / "turned.mkv",
        range(2),
        codec=codec,
        pixel_format=pixel_format,
        size_hw=size_hw,
        rotation=rotation,
        options=options,
    )
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("size_hw", SIZES_HW)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
def test_a_picture_is_turned_as_its_file_says(tmp_path: Path, size_hw: tuple[int, int], rotation: int) -> None:
    lying = turned_picture(tmp_path, size_hw, rotation)
    assert lying.rotation % 360 == rotation % 360
    turned = upright(lying)
    assert (turned.pts, turned.time_base) == (lying.pts, lying.time_base)
    for plane, source in zip(plane_views(turned), plane_views(lying), strict=True):
        # The angle is counterclockwise, as NumPy's turns are.
        np.testing.assert_array_equal(plane, np.rot90(source, rotation // 90))


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pixels_are_turned_with_their_colours(tmp_path: Path, rotation: int) -> None:
    turned = upright(turned_picture(tmp_path, (64, 96), rotation))
    expected = np.rot90(counted_picture(0), rotation // 90).astype(int)
    assert np.abs(turned.to_ndarray(format="rgb24") - expected).mean() < 8


def test_a_picture_that_is_upright_is_the_same_one(tmp_path: Path) -> None:
    picture = turned_picture(tmp_path, (16, 16), 0)
    assert upright(picture) is picture


def test_other_angles_are_left_out(tmp_path: Path) -> None:
    picture = turned_picture(tmp_path, (16, 24), 30)
    assert upright(picture) is picture


def test_the_colours_are_described_as_before(tmp_path: Path) -> None:
    picture = turned_picture(tmp_path, (16, 24), 90, codec="mjpeg")
    turned = upright(picture)
    assert (picture.color_range, turned.color_range) == (ColorRange.JPEG, ColorRange.JPEG)
    assert turned.format.name == "yuv420p"
    assert turned.time_base == Fraction(1, 1000)
    np.testing.assert_allclose(
        turned.to_ndarray(format="rgb24").astype(int),
        np.rot90(picture.to_ndarray(format="rgb24")),
        rtol=0,
        atol=40,  # colour differences are interpolated along rows, which are columns after the turn
    )


def test_red_green_and_blue_are_turned(tmp_path: Path) -> None:
    path = write_counted_video(
        tmp_path / "rgb.mp4", range(2), codec="libx264rgb", pixel_format="rgb24", options={"crf": "1"}, rotation=90
    )
    with av.open(str(path)) as container:
        turned = upright(next(container.decode(video=0)))
    assert turned.colorspace == Colorspace.ITU601
    expected = np.rot90(counted_picture(0)).astype(int)
    assert np.abs(turned.to_ndarray(format="rgb24") - expected).mean() < 8
