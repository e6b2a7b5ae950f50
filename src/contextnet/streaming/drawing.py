"""Drawing labels over the pictures of a video, in its own planes, so that no picture is converted to be drawn on.

``contextnet.runtime.drawing`` draws the same for still pictures, in RGB.
"""

from __future__ import annotations

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from contextnet.labels import IGNORE_INDEX, LabelSet
from contextnet.streaming.planes import Plane, blank_like, in_planes, plane_views

_LUMA_BT601 = (0.299, 0.587, 0.114)
_LUMA_BT709 = (0.2126, 0.7152, 0.0722)


class OverlayPainter:
    """Mixes the colours of a label set half and half over pictures, boundaries between classes drawn bright.

    Void pixels show the picture as it is.
    """

    def __init__(self, label_set: LabelSet) -> None:
        self._label_set = label_set
        self._tables: dict[tuple[int, int], tuple[list[int], list[int], list[int]]] = {}

    def draw(self, video: VideoFrame, labels: NDArray[np.uint8]) -> VideoFrame:
        """Draw labels, uint8 (H, W) train ids, over a picture, and give the result in YUV 4:2:0.

        Raises ``ValueError`` when picture and labels differ in size.
        """
        if (video.height, video.width) != labels.shape:
            raise ValueError(f"the picture is {video.height, video.width} and the labels are {labels.shape}")
        source = in_planes(video)
        drawn = blank_like(source)
        tables = self._tables_for(source)
        # A colour difference stands for four pixels; the first of them speaks for all.
        coarse = np.ascontiguousarray(labels[::2, ::2])
        planes = zip(plane_views(source), plane_views(drawn), (labels, coarse, coarse), tables, strict=True)
        for plane, target, plane_labels, table in planes:
            _mix(plane, plane_labels, table, target)
        brightest = 255 if source.color_range == ColorRange.JPEG else 235
        _mark_boundaries(labels, plane_views(drawn)[0], brightest)
        return drawn

    def _tables_for(self, video: VideoFrame) -> tuple[list[int], list[int], list[int]]:
        """Give half of each class's Y, U and V by train id, in the colours that the picture is described in."""
        key = (video.colorspace, video.color_range)
        if key not in self._tables:
            half = np.zeros((256, 3), np.uint8)
            colors = np.array([c.color for c in self._label_set.classes])
            half[: len(colors)] = to_yuv(colors, video.colorspace, video.color_range) // 2
            y, u, v = half.T.tolist()
            self._tables[key] = (y, u, v)
        return self._tables[key]


def to_yuv(colors: NDArray[np.int_], colorspace: int, color_range: int) -> NDArray[np.int_]:
    """Turn colours (N, 3) RGB of 0..255 into Y, U and V: BT.709 where it is said, else BT.601; in full range if said.

    Source: Rec. ITU-R BT.709-6, section 3, and BT.601-7, section 2.5.
    """
    red, green, blue = (colors.T / 255.0).astype(np.float64)
    kr, kg, kb = _LUMA_BT709 if colorspace == Colorspace.ITU709 else _LUMA_BT601
    luma = kr * red + kg * green + kb * blue
    differences = np.stack([(blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)], axis=1)
    is_full = color_range == ColorRange.JPEG
    y = luma * 255 if is_full else 16 + luma * 219
    uv = 128 + differences * (255 if is_full else 224)
    yuv = np.concatenate([y[:, None], uv], axis=1)
    rounded: NDArray[np.int_] = np.clip(np.rint(yuv), 0, 255).astype(np.int_)
    return rounded


def _mix(plane: Plane, labels: Plane, half_colors: list[int], target: Plane) -> None:
    # Pillow looks bytes up in a table faster than NumPy, and lets other threads run meanwhile.
    height, width = labels.shape
    image = Image.frombuffer("L", (width, height), np.ascontiguousarray(labels), "raw", "L", 0, 1)
    np.right_shift(plane, 1, out=target)
    np.add(target, np.asarray(image.point(half_colors)), out=target)
    if (void := labels == IGNORE_INDEX).any():
        np.copyto(target, plane, where=void)


def _mark_boundaries(labels: NDArray[np.uint8], luma: Plane, brightest: int) -> None:
    """Brighten pixels whose right or lower neighbour has another label."""
    edges = np.zeros(labels.shape, np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=edges[:, :-1])
    edges[:-1] |= labels[1:] != labels[:-1]
    np.maximum(luma, edges.view(np.uint8) * np.uint8(brightest), out=luma)
