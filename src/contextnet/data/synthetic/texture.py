"""Pictures on surfaces: the texture itself, and the cache of its lit and reduced copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.synthetic.light import Light

MAX_REDUCTION = 7


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture for one flat surface.

    ``image`` is mode RGBX: colour under even white light, X the opacity. ``codes`` (mode L, same size) says which of
    the object's ids a pixel belongs to, 1-based with 0 for none; without it every pixel of at least half opacity
    belongs to the first id. ``glows`` leaves out the lighting.
    """

    image: Image.Image
    codes: Image.Image | None = None
    glows: bool = False


def opaque(rgb: NDArray[np.uint8]) -> Texture:
    """Make a texture without holes from uint8 (H, W, 3) RGB."""
    return Texture(with_opacity(rgb, np.full(rgb.shape[:2], 255, np.uint8)))


def with_opacity(rgb: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> Image.Image:
    """Join uint8 (H, W, 3) RGB and uint8 (H, W) opacity to one RGBX picture."""
    height, width = opacity.shape
    joined = np.ascontiguousarray(np.dstack([rgb, opacity]))
    return Image.frombuffer("RGBX", (width, height), joined.tobytes(), "raw", "RGBX", 0, 1)


class LitTextures:
    """Lit, reduced copies of textures under one light, made when first asked for and kept for the drive."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._pictures: dict[tuple[int, int, int, int], Image.Image] = {}
        self._codes: dict[tuple[int, int, int], Image.Image] = {}
        self._kept: dict[int, Texture] = {}

    def picture(self, texture: Texture, level: int, reduce_u: int, reduce_v: int) -> Image.Image:
        """Give ``texture`` under light ``level``, halved ``reduce_u`` times across and ``reduce_v`` times down."""
        key = (id(texture), -1 if texture.glows else level, reduce_u, reduce_v)
        found = self._pictures.get(key)
        if found is None:
            # The id of a texture stays taken only while the texture lives.
            self._kept[id(texture)] = texture
            found = _reduced(texture.image, reduce_u, reduce_v)
            if not texture.glows:
                found = found.point(_curve(self._light, level))
            self._pictures[key] = found
        return found

    def codes(self, texture: Texture, reduce_u: int, reduce_v: int) -> Image.Image | None:
        """Give the reduced codes of ``texture``, or None where it has none."""
        if texture.codes is None:
            return None
        key = (id(texture), reduce_u, reduce_v)
        found = self._codes.get(key)
        if found is None:
            width, height = texture.codes.size
            size = (max(1, width >> reduce_u), max(1, height >> reduce_v))
            found = (
                texture.codes if size == texture.codes.size else texture.codes.resize(size, Image.Resampling.NEAREST)
            )
            self._codes[key] = found
            self._kept[id(texture)] = texture
        return found


def _reduced(image: Image.Image, reduce_u: int, reduce_v: int) -> Image.Image:
    if reduce_u == 0 and reduce_v == 0:
        return image
    size = (max(1, image.width >> reduce_u), max(1, image.height >> reduce_v))
    return image.resize(size, Image.Resampling.BOX)


def _curve(light: Light, level: int) -> list[int]:
    """Table of 4 × 256 values: lit colour with a soft shoulder, opacity as it is."""
    values = np.arange(256, dtype=np.float64)
    table: list[int] = []
    for factor in light.factors(level):
        table += soft_clip(values * factor).astype(int).tolist()
    return table + list(range(256))


def soft_clip(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bend values above 200 towards 255, as a sensor's tone curve does; below they stay."""
    over = np.maximum(values - 200.0, 0.0)
    return np.minimum(values, 200.0) + 55.0 * (1.0 - np.exp(-over / 55.0))
