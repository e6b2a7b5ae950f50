from __future__ import annotations

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from contextnet.labels import IGNORE_INDEX, LabelClass, LabelSet
from contextnet.streaming.drawing import OverlayPainter, to_yuv
from contextnet.streaming.planes import in_planes, plane_views
from counted_videos import timed_picture

COLORS = [(255, 0, 0), (0, 255, 0), (10, 20, 250), (255, 255, 255), (0, 0, 0), (128, 64, 128)]
LABELS = LabelSet("six", tuple(LabelClass(f"c{i}", color, "all", (i,)) for i, color in enumerate(COLORS)))

# R'G'B' of 0..1 to Y', Cb, Cr of 0..1 and ±0.5: the equations of BT.601 and BT.709 as matrices.
BT601 = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
BT709 = np.array([[0.2126, 0.7152, 0.0722], [-0.114572, -0.385428, 0.5], [0.5, -0.454153, -0.045847]])
LIMITED = (np.array([219, 224, 224]), np.array([16, 128, 128]))
FULL = (np.array([255, 255, 255]), np.array([0, 128, 128]))


def picture_of(size_hw: tuple[int, int], pixel_format: str = "yuv420p", seed: int = 0) -> VideoFrame:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)
    return timed_picture(pixels, 7, pixel_format=pixel_format)


def labels_of(size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Areas of 5×5 pixels with a class each, one in seven of them void."""
    generator = np.random.default_rng(seed)
    coarse = generator.choice([*range(len(COLORS)), IGNORE_INDEX], (size_hw[0] // 5 + 1, size_hw[1] // 5 + 1))
    return coarse.repeat(5, 0).repeat(5, 1)[: size_hw[0], : size_hw[1]].astype(np.uint8)


def is_boundary(labels: NDArray[np.uint8], y: int, x: int) -> bool:
    height, width = labels.shape
    right = x + 1 < width and labels[y, x + 1] != labels[y, x]
    return bool(right or (y + 1 < height and labels[y + 1, x] != labels[y, x]))


def expected_planes(
    picture: VideoFrame, labels: NDArray[np.uint8], matrix: NDArray[np.float64], scaling: tuple[NDArray[np.int_], ...]
) -> list[NDArray[np.float64]]:
    """Mix pixel by pixel in floating point."""
    colors = np.array(COLORS) / 255 @ matrix.T * scaling[0] + scaling[1]
    brightest = float(scaling[0][0] + scaling[1][0])
    planes = [plane.astype(np.float64) for plane in plane_views(picture)]
    for channel, plane in enumerate(planes):
        step = 2 if channel else 1
        for y, x in np.ndindex(plane.shape):
            label = labels[step * y, step * x]
            if label != IGNORE_INDEX:
                plane[y, x] = (plane[y, x] + colors[label, channel]) / 2
            if channel == 0 and is_boundary(labels, y, x):
                plane[y, x] = max(plane[y, x], brightest)
    return planes


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2), (2, 1), (3, 5), (16, 24), (31, 33)])
@pytest.mark.parametrize(
    ("colorspace", "color_range", "matrix", "scaling"),
    [
        (Colorspace.ITU601, ColorRange.MPEG, BT601, LIMITED),
        (Colorspace.ITU709, ColorRange.MPEG, BT709, LIMITED),
        (Colorspace.ITU601, ColorRange.JPEG, BT601, FULL),
        (Colorspace.ITU709, ColorRange.JPEG, BT709, FULL),
        (2, 0, BT601, LIMITED),
    ],
    ids=["601", "709", "601 full", "709 full", "not said"],
)
def test_colours_are_mixed_in_the_planes(
    size_hw: tuple[int, int],
    colorspace: int,
    color_range: int,
    matrix: NDArray[np.float64],
    scaling: tuple[NDArray[np.int_], ...],
) -> None:
    picture, labels = picture_of(size_hw), labels_of(size_hw)
    picture.colorspace, picture.color_range = colorspace, color_range
    before = [plane.copy() for plane in plane_views(picture)]
    drawn = OverlayPainter(LABELS).draw(picture, labels)
    for plane, expected in zip(plane_views(drawn), expected_planes(picture, labels, matrix, scaling), strict=True):
        # Both halves are rounded down, the colour to the nearest before.
        np.testing.assert_allclose(plane, expected, rtol=0, atol=1.25)
    assert (drawn.pts, drawn.time_base, drawn.colorspace, drawn.color_range) == (
        picture.pts,
        picture.time_base,
        colorspace,
        color_range,
    )
    for plane, kept in zip(plane_views(picture), before, strict=True):
        np.testing.assert_array_equal(plane, kept)


@pytest.mark.parametrize(
    ("colorspace", "color_range", "red", "white"),
    [
        (Colorspace.ITU601, ColorRange.MPEG, [81, 90, 240], [235, 128, 128]),
        (Colorspace.ITU709, ColorRange.MPEG, [63, 102, 240], [235, 128, 128]),
        (Colorspace.ITU601, ColorRange.JPEG, [76, 85, 255], [255, 128, 128]),
        (Colorspace.ITU709, ColorRange.JPEG, [54, 99, 255], [255, 128, 128]),
    ],
)
def test_colours_are_those_of_the_standards(
    colorspace: int, color_range: int, red: list[int], white: list[int]
) -> None:
    colors = np.array([[255, 0, 0], [255, 255, 255]])
    assert to_yuv(colors, colorspace, color_range).tolist() == [red, white]


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 5), (127, 131)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuvj420p", "rgb24", "gray", "yuv420p10le", "nv12"])
def test_any_pixel_format_is_drawn_on(size_hw: tuple[int, int], pixel_format: str) -> None:
    picture, labels = picture_of(size_hw, pixel_format), labels_of(size_hw)
    drawn = OverlayPainter(LABELS).draw(picture, labels)
    assert (drawn.format.name, drawn.height, drawn.width) == ("yuv420p", *size_hw)
    assert (drawn.pts, drawn.time_base) == (picture.pts, picture.time_base)
    of_planes = OverlayPainter(LABELS).draw(in_planes(picture), labels)
    for plane, expected in zip(plane_views(drawn), plane_views(of_planes), strict=True):
        np.testing.assert_array_equal(plane, expected)


def test_void_shows_the_picture() -> None:
    picture = picture_of((31, 33))
    drawn = OverlayPainter(LABELS).draw(picture, np.full((31, 33), IGNORE_INDEX, np.uint8))
    for plane, expected in zip(plane_views(drawn), plane_views(picture), strict=True):
        np.testing.assert_array_equal(plane, expected)


def test_boundaries_are_bright() -> None:
    picture = timed_picture(np.zeros((4, 6, 3), np.uint8), 0)
    labels = np.zeros((4, 6), np.uint8)
    labels[2:, 3:] = 2
    drawn = OverlayPainter(LABELS).draw(picture, labels)
    bright = [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]
    np.testing.assert_array_equal(plane_views(drawn)[0] == 235, np.array(bright) == 1)


def test_one_painter_follows_the_colours_of_each_picture() -> None:
    painter, labels = OverlayPainter(LABELS), np.zeros((16, 16), np.uint8)
    for colorspace, red in ((Colorspace.ITU601, 81), (Colorspace.ITU709, 63), (Colorspace.ITU601, 81)):
        picture = timed_picture(np.zeros((16, 16, 3), np.uint8), 0)
        picture.colorspace = colorspace
        assert np.unique(plane_views(painter.draw(picture, labels))[0]).tolist() == [8 + red // 2]


@pytest.mark.parametrize("labels_hw", [(16, 25), (24, 16), (15, 24)])
def test_labels_of_another_size_are_refused(labels_hw: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"the picture is \(16, 24\) and the labels are \({labels_hw[0]}, "):
        OverlayPainter(LABELS).draw(picture_of((16, 24)), np.zeros(labels_hw, np.uint8))
