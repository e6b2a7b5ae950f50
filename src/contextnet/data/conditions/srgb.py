"""Between the values of an image file and the light that they stand for.

Lenses, shutters, air and sensors work on light, which adds up; the values of an 8-bit image are light through a curve.
Source: IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""uint8 (H, W, 3), sRGB."""

Light = NDArray[np.float32]
"""float32 (H, W, 3), linear RGB; 1 is what the whitest pixel of an image stands for."""

_LUMINANCE = np.array((0.2126, 0.7152, 0.0722), np.float32)


def _decoding_table() -> NDArray[np.float32]:
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LIGHT_OF_VALUE = _decoding_table()


def to_light(image_HW3: Picture) -> Light:
    """Turn an image into light of 0…1."""
    light: Light = _LIGHT_OF_VALUE[image_HW3]
    return light


def to_picture(light_HW3: Light) -> Picture:
    """Turn light into an image, as a sensor would: what is below 0 or above 1 is cut off."""
    return quantized(encoded(light_HW3))


def encoded(light_HW3: Light) -> NDArray[np.float32]:
    """Put light, cut off at 0 and 1, through the curve of sRGB: values of 0…1, not yet rounded."""
    light = np.clip(light_HW3, 0, 1)
    values: NDArray[np.float32] = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return values


def quantized(values_HW3: NDArray[np.float32]) -> Picture:
    """Round values of 0…1 to 8 bits."""
    return np.rint(np.clip(values_HW3, 0, 1) * 255).astype(np.uint8)


def luminance(light_HW3: Light) -> NDArray[np.float32]:
    """Give how bright each pixel's light is, float32 (H, W), 1 for white. Source: ITU-R BT.709."""
    bright: NDArray[np.float32] = light_HW3 @ _LUMINANCE
    return bright
