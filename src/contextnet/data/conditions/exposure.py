"""Too much light, and too little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.conditions.noise import sensed
from contextnet.data.conditions.srgb import Picture, encoded, quantized, to_light, to_picture


@dataclass(frozen=True)
class OverExposure:
    """An exposure that is too long: light times 2 to the ``exposure_values``, cut off where the sensor is full."""

    exposure_values: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Brighten an image."""
        return to_picture(to_light(image_HW3) * np.float32(2**self.exposure_values))

    def describe(self) -> str:
        """Say by how much."""
        return f"{self.exposure_values:g} EV more light"


@dataclass(frozen=True)
class Darkness:
    """Dusk and night: less light, with a sensor's noise in it, and shadows that sink into black.

    Light is divided by 2 to the ``exposure_values``; ``white_electrons`` electrons would make white; the values of 0…1
    are then taken to the power of ``gamma``, which is 1 where the curve of sRGB stays as it is.
    """

    exposure_values: float
    gamma: float
    white_electrons: int

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Darken an image."""
        dim = to_light(image_HW3) * np.float32(2**-self.exposure_values)
        return quantized(encoded(sensed(dim, self.white_electrons, random)) ** np.float32(self.gamma))

    def describe(self) -> str:
        """Say by how much, and how noisy."""
        less = f"{self.exposure_values:g} EV less light, gamma {self.gamma:g}"
        return f"{less}, {self.white_electrons} electrons make white"
