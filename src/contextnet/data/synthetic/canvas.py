"""The picture under work: colour, instance ids and inverse depth, drawn to with textured quads.

Shape legend: H, W picture; h, w the box that one quad covers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.synthetic.quads import Visible
from contextnet.data.synthetic.texture import LitTextures

SOLID = 127


class Canvas:
    """Colour (PIL RGBX), ``ids_HW`` (int32 instance ids) and ``inverse_depth_HW`` (float32, 1/m, 0 for the sky)."""

    def __init__(self, colors: Image.Image, ids_HW: NDArray[np.int32], inverse_depth_HW: NDArray[np.float32]) -> None:
        self.colors = colors
        self.ids_HW = ids_HW
        self.inverse_depth_HW = inverse_depth_HW

    def draw(self, visible: Visible, textures: LitTextures) -> None:
        """Draw one quad where it is nearer than what stands there, blending by its opacity.

        Decals change colour only and are not tested for depth: they lie on the ground, drawn before all else.
        """
        left, top, right, bottom = visible.box
        rows, columns = slice(top, bottom), slice(left, right)
        inverse = visible.to_texture
        across = (inverse[2, 0] * (np.arange(left, right) + 0.5)).astype(np.float32)
        down = (inverse[2, 1] * (np.arange(top, bottom) + 0.5) + inverse[2, 2]).astype(np.float32)
        inverse_depth_hw = across[None, :] + down[:, None]
        stored_hw = self.inverse_depth_HW[rows, columns]
        nearer_hw = inverse_depth_hw > (0 if visible.quad.decal else stored_hw)
        if not nearer_hw.any():
            return
        quad = visible.quad
        picture = textures.picture(quad.texture, visible.level, visible.reduce_u, visible.reduce_v)
        shown = _warped(picture, visible, Image.Resampling.BILINEAR)
        opacity_hw = np.asarray(shown.getchannel("X")) * nearer_hw
        self.colors.paste(shown, (left, top), Image.fromarray(opacity_hw))
        if quad.decal:
            return
        codes = textures.codes(quad.texture, visible.reduce_u, visible.reduce_v)
        ids_hw = self.ids_HW[rows, columns]
        if codes is None:
            solid_hw = opacity_hw > SOLID
            np.copyto(ids_hw, np.int32(quad.ids[0]), where=solid_hw)
        else:
            codes_hw = np.asarray(_warped(codes, visible, Image.Resampling.NEAREST)) * nearer_hw
            solid_hw = codes_hw > 0
            np.copyto(ids_hw, np.array((0, *quad.ids), np.int32)[codes_hw], where=solid_hw)
        np.copyto(stored_hw, inverse_depth_hw, where=solid_hw)


def _warped(picture: Image.Image, visible: Visible, resampling: Image.Resampling) -> Image.Image:
    """Fit ``picture`` to the box of ``visible`` in true perspective; empty where the quad is not."""
    left, top, right, bottom = visible.box
    u, v, scale = visible.to_texture
    rows = np.array([u * picture.width, v * picture.height, scale])
    rows[:, 2] += rows[:, 0] * left + rows[:, 1] * top
    constant = rows[2, 2] if abs(rows[2, 2]) > 1e-12 else 1e-12
    coefficients = (rows.ravel()[:8] / constant).tolist()
    return picture.transform((right - left, bottom - top), Image.Transform.PERSPECTIVE, coefficients, resampling)
