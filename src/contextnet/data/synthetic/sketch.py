"""Drawing of textures in metres: shapes on a transparent sheet, finer than needed, then averaged down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from contextnet.data.synthetic.texture import Texture, with_opacity

Color = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLING = 2


def tone(color: Sequence[float], factor: float) -> Color:
    """Scale a colour's brightness, kept within 0..255."""
    red, green, blue = (int(min(255.0, max(0.0, c * factor))) for c in color)
    return red, green, blue


class Sketch:
    """A sheet of ``width_m`` × ``height_m``; x runs to the right, y upwards from the lower edge, both in metres.

    ``code`` is what later shapes belong to: 1 for the object's first id, 2 for its second.
    """

    def __init__(self, width_m: float, height_m: float, px_per_m: float) -> None:
        self.width_m = width_m
        self.height_m = height_m
        self.code = 1
        self._size = (max(2, round(width_m * px_per_m)), max(2, round(height_m * px_per_m)))
        wide = (self._size[0] * SUPERSAMPLING, self._size[1] * SUPERSAMPLING)
        self._scale = (wide[0] / width_m, wide[1] / height_m)
        self._paint = Image.new("RGBA", wide, (0, 0, 0, 0))
        self._codes = Image.new("L", wide, 0)
        self._draw = ImageDraw.Draw(self._paint)
        self._mark = ImageDraw.Draw(self._codes)

    def _px(self, points: Sequence[Point]) -> list[Point]:
        height = self._paint.height
        return [(x * self._scale[0], height - y * self._scale[1]) for x, y in points]

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon."""
        px = self._px(points)
        self._draw.polygon(px, fill=(*color, 255))
        self._mark.polygon(px, fill=self.code)

    def rectangle(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def ellipse(self, centre: Point, radii: Point, color: Color) -> None:
        """Fill an upright ellipse."""
        (x0, y0), (x1, y1) = self._px(
            [(centre[0] - radii[0], centre[1] + radii[1]), (centre[0] + radii[0], centre[1] - radii[1])]
        )
        self._draw.ellipse((x0, y0, x1, y1), fill=(*color, 255))
        self._mark.ellipse((x0, y0, x1, y1), fill=self.code)

    def ring(self, centre: Point, radius: float, thickness: float, color: Color) -> None:
        """Draw a circle's line, ``thickness`` wide, inside the radius; its middle stays empty."""
        (x0, y0), (x1, y1) = self._px(
            [(centre[0] - radius, centre[1] + radius), (centre[0] + radius, centre[1] - radius)]
        )
        line_px = max(1, round(thickness * self._scale[0]))
        self._draw.ellipse((x0, y0, x1, y1), outline=(*color, 255), width=line_px)
        self._mark.ellipse((x0, y0, x1, y1), outline=self.code, width=line_px)

    def line(self, points: Sequence[Point], thickness: float, color: Color) -> None:
        """Draw a line with round joints and ends, ``thickness`` wide."""
        px = self._px(points)
        line_px = max(1, round(thickness * self._scale[0]))
        self._draw.line(px, fill=(*color, 255), width=line_px, joint="curve")
        self._mark.line(px, fill=self.code, width=line_px, joint="curve")
        for x, y in points:
            self.ellipse((x, y), (thickness / 2, thickness / 2), color)

    def claim(self, points: Sequence[Point]) -> None:
        """Mark an area as the object's without painting it, as between the spokes of a wheel."""
        self._mark.polygon(self._px(points), fill=self.code)

    def claim_ellipse(self, centre: Point, radii: Point) -> None:
        """Mark an ellipse as the object's without painting it."""
        (x0, y0), (x1, y1) = self._px(
            [(centre[0] - radii[0], centre[1] + radii[1]), (centre[0] + radii[0], centre[1] - radii[1])]
        )
        self._mark.ellipse((x0, y0, x1, y1), fill=self.code)

    def gloss(self, top: float, bottom: float, below: float = 0.0) -> None:
        """Shade all paint so far: brightness factor ``top`` at the upper edge to ``bottom`` at height ``below``."""
        pixels = np.asarray(self._paint)
        height = pixels.shape[0]
        y_m = (height - np.arange(height)) / self._scale[1]
        share = np.clip((y_m - below) / max(self.height_m - below, 1e-6), 0, 1)
        factor = (bottom + (top - bottom) * share)[:, None, None]
        shaded = np.clip(pixels[..., :3] * factor, 0, 255).astype(np.uint8)
        self._replace(np.dstack([shaded, pixels[..., 3]]))

    def _replace(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        self._paint = Image.fromarray(np.ascontiguousarray(pixels))
        self._draw = ImageDraw.Draw(self._paint)

    def texture(self, mirrored: bool = False, coded: bool = False, glows: bool = False) -> Texture:
        """Average down to a texture; ``coded`` keeps the marks, for objects of two ids or with holes."""
        paint, codes = self._paint, self._codes
        if mirrored:
            paint, codes = (p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in (paint, codes))
        small = paint.resize(self._size, Image.Resampling.BOX)
        pixels = np.asarray(small)
        image = with_opacity(_bled(small), np.ascontiguousarray(pixels[..., 3]))
        return Texture(image, codes.resize(self._size, Image.Resampling.NEAREST) if coded else None, glows)


def _bled(picture: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Colour (H, W, 3) of an RGBA picture with the paint's colour carried on beyond its edge.

    Interpolation at the edge then mixes paint with paint, not with the empty sheet's black.
    """
    width, height = picture.size
    filled = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    for factor in (32, 4):
        size = (max(1, width // factor), max(1, height // factor))
        spread = picture.resize(size, Image.Resampling.BOX).resize(picture.size, Image.Resampling.NEAREST)
        filled.paste(spread, (0, 0), spread.getchannel("A").point([0] + [255] * 255))
    filled.paste(picture, (0, 0), picture.getchannel("A").point([0] + [255] * 255))
    return np.ascontiguousarray(np.asarray(filled)[..., :3])
