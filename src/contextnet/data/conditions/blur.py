"""Images that are not sharp: the lens is out of focus, or the camera moves while the shutter is open."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from contextnet.data.conditions.convolution import convolve
from contextnet.data.conditions.kernels import disc, line
from contextnet.data.conditions.srgb import Picture, to_light, to_picture


@dataclass(frozen=True)
class Defocus:
    """A lens out of focus: every point's light is spread over a disc.

    ``radius`` is that of the disc, as a share of the image's height.
    """

    radius: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Blur an image by the disc."""
        return to_picture(convolve(to_light(image_HW3), disc(self.radius * image_HW3.shape[0])))

    def describe(self) -> str:
        """Say how large the disc is."""
        return f"disc of radius {100 * self.radius:g} % of the height"


@dataclass(frozen=True)
class MotionBlur:
    """A camera that turns while the shutter is open: every point's light is spread along a line.

    ``length`` is that of the line, as a share of the image's height. Its direction is drawn for each image.
    """

    length: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Blur an image along a line."""
        angle = float(random.uniform(0, pi))
        return to_picture(convolve(to_light(image_HW3), line(self.length * image_HW3.shape[0], angle)))

    def describe(self) -> str:
        """Say how long the line is."""
        return f"line of {100 * self.length:g} % of the height"
