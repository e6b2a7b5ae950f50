"""The noise of a sensor: light comes in photons, and reading a pixel adds a little.

Where W electrons make white, light of x is n electrons, n drawn from the Poisson distribution of mean x·W, to which
reading adds a normal error of σ electrons: the variance of the light is (x·W + σ²) / W². The image's own noise stays
below it. Each pixel and channel is drawn alone, as before demosaicing; no denoising follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.conditions.srgb import Light, Picture, to_light, to_picture

READ_NOISE = 3.0
"""Standard deviation of reading a pixel, in electrons."""


def sensed(light_HW3: Light, white_electrons: float, random: np.random.Generator) -> Light:
    """Give the light that a sensor tells when ``white_electrons`` electrons make white; it may be below 0."""
    electrons = random.poisson(light_HW3 * white_electrons).astype(np.float32)
    electrons += READ_NOISE * random.standard_normal(light_HW3.shape, np.float32)
    return electrons / np.float32(white_electrons)


@dataclass(frozen=True)
class SensorNoise:
    """A short exposure, made bright by amplification: ``white_electrons`` electrons make white."""

    white_electrons: int

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Add the noise to an image."""
        return to_picture(sensed(to_light(image_HW3), self.white_electrons, random))

    def describe(self) -> str:
        """Say how many electrons make white, and what reading adds."""
        return f"{self.white_electrons} electrons make white, read noise {READ_NOISE:g}"
