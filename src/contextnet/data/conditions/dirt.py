"""Dirt on the lens: spots that hide what is behind them, without a sharp edge, as they are far out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.convolution import convolve
from contextnet.data.conditions.kernels import disc
from contextnet.data.conditions.srgb import Picture, luminance, to_light, to_picture

RADIUS = (0.01, 0.08)
"""The least and the greatest radius of a spot, as shares of the image's height; drawn evenly in the logarithm."""

SOFTNESS = 0.02
"""Radius of the disc by which the spots are out of focus, as a share of the image's height."""

OPACITY = 0.9
_TONE = np.array((0.20, 0.17, 0.13), np.float32)
"""The light that a spot lets through and scatters, of the image's mean luminance: a dark brown."""


@dataclass(frozen=True)
class Dirt:
    """Spots that together cover ``covered`` of the image, 0…1, at places that are drawn for each image.

    What is behind them keeps its label. The spots of a cleaner lens are among those of a dirtier one.
    """

    covered: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Put the spots before an image."""
        light = to_light(image_HW3)
        spots_HW1 = spots(image_HW3.shape[:2], self.covered, random)[..., None].astype(np.float32)
        hidden_HW1 = OPACITY * convolve(spots_HW1, disc(SOFTNESS * image_HW3.shape[0]))
        tone = _TONE * luminance(light).mean()
        return to_picture(light + (tone - light) * hidden_HW1.astype(np.float32))

    def describe(self) -> str:
        """Say how much is covered."""
        return f"{100 * self.covered:g} % of the image covered"


def spots(size_hw: tuple[int, ...], covered: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Draw spots until they cover a share of the image, bool (H, W)."""
    spots_HW = np.zeros(size_hw, np.bool_)
    while spots_HW.mean() < covered:
        _add_spot(spots_HW, random)
    return spots_HW


def _add_spot(spots_HW: NDArray[np.bool_], random: np.random.Generator) -> None:
    """Add one spot, whose outline wobbles in two waves and in three."""
    height, width = spots_HW.shape
    low, high = RADIUS
    # No smaller than that it holds the centre of a pixel, wherever it stands.
    radius = max(1.5, height * low * (high / low) ** float(random.random()))
    row, column = float(random.uniform(0, height)), float(random.uniform(0, width))
    two, three = random.uniform(0, 2 * pi, 2)
    reach = ceil(1.5 * radius) + 1
    top, left = max(0, int(row) - reach), max(0, int(column) - reach)
    region = spots_HW[top : int(row) + reach, left : int(column) + reach]
    y = np.arange(top, top + region.shape[0])[:, None] + 0.5 - row
    x = np.arange(left, left + region.shape[1])[None, :] + 0.5 - column
    angle = np.arctan2(y, x)
    region |= np.hypot(y, x) <= radius * (1 + 0.3 * np.sin(2 * angle + two) + 0.2 * np.sin(3 * angle + three))
