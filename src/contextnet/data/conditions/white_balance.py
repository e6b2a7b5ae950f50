"""The colour of the light, and a camera that takes it for daylight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.srgb import Picture, luminance, to_light, to_picture

DAYLIGHT_K = 6500.0
"""The light for which the camera is set."""

_RGB_OF_XYZ = np.array(((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570)))


@dataclass(frozen=True)
class WhiteBalance:
    """Light of the colour of a glowing body of ``temperature_k`` kelvins, seen by a camera set for daylight.

    Red, green and blue are each multiplied in light; grey keeps its luminance.
    """

    temperature_k: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Tint an image."""
        return to_picture(to_light(image_HW3) * gains(self.temperature_k))

    def describe(self) -> str:
        """Say what colour the light has."""
        return f"light of {self.temperature_k:g} K"


def gains(temperature_k: float) -> NDArray[np.float32]:
    """Give by what light of a temperature multiplies red, green and blue, float32 (3,); 1 each for daylight."""
    tint = (_color(temperature_k) / _color(DAYLIGHT_K)).astype(np.float32)
    return tint / luminance(tint)


def chromaticity(temperature_k: float) -> tuple[float, float]:
    """Give CIE 1931 x and y of a glowing body of 1667 to 25000 K.

    Source: the cubic splines of Kim et al., US patent 7024034.
    """
    if not 1667 <= temperature_k <= 25000:
        raise ValueError(f"{temperature_k} K; colours are known from 1667 to 25000 K")
    t = 1000 / temperature_k
    if temperature_k <= 4000:
        x = ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910
    else:
        x = ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390
    if temperature_k <= 2222:
        y = ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683
    elif temperature_k <= 4000:
        y = ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867
    else:
        y = ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483
    return x, y


def _color(temperature_k: float) -> NDArray[np.float64]:
    """Give the light of a glowing body as linear RGB, float64 (3,)."""
    x, y = chromaticity(temperature_k)
    color: NDArray[np.float64] = _RGB_OF_XYZ @ np.array((x / y, 1.0, (1 - x - y) / y))
    return color
