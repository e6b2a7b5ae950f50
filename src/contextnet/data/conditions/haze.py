"""Haze and fog: the farther a thing is, the less of its own light comes through, and the more of the air's.

light = own · t + air · (1 - t), t = exp(-3 · distance / visibility): at the visibility 5 % of the contrast are left.
Source: Koschmieder's law, and the meteorological optical range of the World Meteorological Organization.

An image does not say how far things are. They are taken to stand in a straight street: its ground 1.4 m below the
camera, its walls 10 m to either side, its end 100 m ahead, the horizon at half the height, the focal length as long as
the image is wide. What stands on the road and reaches above the horizon is taken to be as far as what is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.srgb import Light, Picture, luminance, to_light, to_picture

CAMERA_HEIGHT_M = 1.4
WALLS_M = 10.0
END_M = 100.0
HORIZON = 0.5

_SKY_PERCENTILE = 95.0


@dataclass(frozen=True)
class Haze:
    """Air in which ``visibility_m`` metres can be seen; below 1000 m it is called fog."""

    visibility_m: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Put an image behind the haze."""
        return to_picture(veiled(to_light(image_HW3), self.visibility_m))

    def describe(self) -> str:
        """Say how far can be seen."""
        return f"visibility {self.visibility_m:g} m"


def veiled(light_HW3: Light, visibility_m: float) -> Light:
    """Mix light with that of the air, by distance."""
    own_HW1 = np.exp(distances(light_HW3.shape[:2]) * np.float32(-3 / visibility_m))[..., None]
    air = np.float32(air_light(light_HW3))
    mixed: Light = air + (light_HW3 - air) * own_HW1
    return mixed


def air_light(light_HW3: Light) -> float:
    """Give the luminance of the air, which is grey and as bright as the sky: the image's 95th percentile."""
    return float(np.percentile(luminance(light_HW3), _SKY_PERCENTILE))


def distances(size_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """Give how far ahead the street's ground, wall or end is at each pixel, float32 (H, W), metres."""
    height, width = size_hw
    below_H = np.arange(height, dtype=np.float32) + 0.5 - HORIZON * height
    aside_W = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2)
    ground_H = np.where(below_H > 0, CAMERA_HEIGHT_M * width / np.maximum(below_H, 1e-3), END_M)
    wall_W = WALLS_M * width / np.maximum(aside_W, 1e-3)
    nearest_HW: NDArray[np.float32] = np.minimum(np.minimum(ground_H[:, None], wall_W[None, :]), END_M)
    return nearest_HW.astype(np.float32)
