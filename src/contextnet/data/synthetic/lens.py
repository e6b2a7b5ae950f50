"""Between the street and the picture: haze, a slightly soft lens, darker corners, sensor noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from contextnet.data.synthetic.light import Light

BLUR_PX_AT_1024 = 0.42
CORNER_LOSS = 0.16
NOISE_TILE = 256


def seen_through_air(colors: Image.Image, inverse_depth_HW: NDArray[np.float32], light: Light) -> Image.Image:
    """Mix the RGBX picture towards the haze by distance; the sky (inverse depth 0) stays. Returns RGB."""
    picture = colors.convert("RGB")
    with np.errstate(divide="ignore"):
        share_HW = np.reciprocal(inverse_depth_HW)
    share_HW *= np.float32(-1.0 / light.haze_length_m)
    np.exp(share_HW, out=share_HW)
    np.subtract(1.0, share_HW, out=share_HW)
    share_HW *= np.float32(255.0)
    mask_HW = share_HW.astype(np.uint8)
    mask_HW[inverse_depth_HW == 0] = 0
    haze = tuple(int(min(255.0, c)) for c in light.horizon)
    picture.paste(haze, (0, 0, picture.width, picture.height), Image.fromarray(mask_HW))
    return picture


def seen_through_lens(picture: Image.Image, light: Light, noise_seed: int) -> NDArray[np.uint8]:
    """Expose the RGB picture, blur it by a fraction of a pixel, darken its corners, add noise; uint8 (H, W, 3)."""
    width, height = picture.size
    if light.exposure != 1.0:
        picture = picture.point([min(255, round(value * light.exposure)) for value in range(256)] * 3)
    soft = picture.filter(ImageFilter.BoxBlur(BLUR_PX_AT_1024 * min(1.0, 0.5 + height / 2048)))
    soft.paste((0, 0, 0), (0, 0, width, height), _corners(width, height))
    rng = np.random.default_rng([noise_seed, 7])
    tile = np.rint(rng.standard_normal((NOISE_TILE, NOISE_TILE, 3), dtype=np.float32) * light.noise_level)
    repeats = (height // NOISE_TILE + 1, width // NOISE_TILE + 1, 1)
    noise = np.tile(tile.astype(np.int16), repeats)[:height, :width]
    noisy = noise + np.asarray(soft)
    np.clip(noisy, 0, 255, out=noisy)
    image: NDArray[np.uint8] = noisy.astype(np.uint8)
    return image


def _corners(width: int, height: int) -> Image.Image:
    y = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, 64, dtype=np.float32)[None, :]
    loss = 255 * CORNER_LOSS * ((x * x + 0.4 * y * y) / 1.4) ** 2
    return Image.fromarray(loss.astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
