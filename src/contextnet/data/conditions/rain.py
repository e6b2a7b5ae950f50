"""Rain: drops that streak through the image while the shutter is open, before the veil of those farther away.

Drops of 2 mm that fall by 6 cm while the shutter is open (6 m/s, 1/100 s) are drawn at 1, 2 and 4 m, the focal length
as long as the image is wide; at twice the distance they are four times as many. A drop shows the sky, so its streak is
as bright as the air; it fades towards its ends. Streaks are more opaque than those of single drops are: rain-like, and
without wet roads, mirrored light or drops on the lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, radians

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.convolution import convolve
from contextnet.data.conditions.haze import air_light, veiled
from contextnet.data.conditions.kernels import Kernel, disc, line
from contextnet.data.conditions.srgb import Picture, to_light, to_picture

FALL_M = 0.06
DROP_M = 0.002
DISTANCES_M = (1.0, 2.0, 4.0)
MOST_SLANT_DEG = 15.0


@dataclass(frozen=True)
class Rain:
    """Streaks and a veil.

    ``drops`` is how many streaks there are on a square of the image's height, ``opacity`` how much of what is behind
    the middle of one it hides, 0…1, ``visibility_m`` how far can be seen. The slant is drawn for each image.
    """

    drops: int
    opacity: float
    visibility_m: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Let it rain on an image."""
        light = to_light(image_HW3)
        air = np.float32(air_light(light))
        hidden_HW1 = self.opacity * self._streaks(image_HW3.shape[:2], random)[..., None]
        behind = veiled(light, self.visibility_m)
        return to_picture(behind + (air - behind) * hidden_HW1.astype(np.float32))

    def describe(self) -> str:
        """Say how many streaks, how opaque, and how far can be seen."""
        return (
            f"{self.drops} streaks on a square of the height, opacity {self.opacity:g}, "
            f"visibility {self.visibility_m:g} m"
        )

    def _streaks(self, size_hw: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
        """Draw all streaks, float32 (H, W): 1 in the middle of one, 0 where there is none."""
        height, width = size_hw
        upright = pi / 2 + radians(float(random.uniform(-MOST_SLANT_DEG, MOST_SLANT_DEG)))
        shares = np.square(DISTANCES_M) / np.square(DISTANCES_M).sum()
        clear_HW = np.ones((height, width), np.float32)
        for distance_m, share in zip(DISTANCES_M, shares, strict=True):
            # By one chance a pixel, the drops of a lighter rain are among those of a heavier one.
            chance_HW = random.random((height, width), np.float32)
            drops_HW = (chance_HW < self.drops * share / height**2).astype(np.float32)
            kernel = _streak(FALL_M * width / distance_m, DROP_M / 2 * width / distance_m, upright)
            clear_HW *= 1 - np.clip(convolve(drops_HW[..., None], kernel)[..., 0], 0, 1)
        return 1 - clear_HW


def _streak(length_px: float, radius_px: float, angle: float) -> Kernel:
    """Give one streak, 1 in its middle, or less where it is thinner than a pixel."""
    whole, half = line(length_px, angle), line(length_px / 2, angle)
    # The mean of a line and of one half as long fades in two steps; the drop's disc rounds them.
    margin = (whole.shape[0] - half.shape[0]) // 2
    faded = whole + np.pad(half, margin)
    spot = disc(radius_px)
    reach = spot.shape[0] // 2
    rounded = convolve(np.pad(faded, reach)[..., None], spot)[..., 0]
    streak: Kernel = rounded * np.float32(min(1.0, 2 * radius_px) / rounded.max())
    return streak
