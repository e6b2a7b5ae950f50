"""The light of one drive: sun, sky, haze and how bright a surface looks under them."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np

from contextnet.data.synthetic.character import Character

LIGHT_LEVELS = 6

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Sun and sky of one drive.

    ``sun`` is the unit vector towards the sun in world axes. ``direct`` and ``ambient`` are RGB factors on a
    surface's colour; ``haze``, ``zenith`` and ``horizon`` are RGB 0..255. ``haze_length_m`` is the distance at which
    a share of 1/e of a surface's own colour is left. ``exposure`` is the camera's factor on all light.
    """

    kind: str
    sun: Rgb
    direct: Rgb
    ambient: Rgb
    zenith: Rgb
    horizon: Rgb
    haze_length_m: float
    cloud_cover: float
    noise_level: float
    exposure: float

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is strong enough for visible shadows."""
        return self.kind in ("clear", "low sun")

    def factors(self, level: int) -> Rgb:
        """RGB factors for a surface that catches ``level`` of ``LIGHT_LEVELS`` parts of the direct light."""
        share = level / LIGHT_LEVELS
        red, green, blue = (a + d * share for a, d in zip(self.ambient, self.direct, strict=True))
        return red, green, blue


def light_for(rng: np.random.Generator, character: Character) -> Light:
    """Draw one drive's weather: clear day, thin cloud, overcast, low sun or dusk."""
    kind = str(rng.choice(["clear", "thin cloud", "overcast", "low sun", "dusk"], p=[0.34, 0.22, 0.22, 0.14, 0.08]))
    elevation = radians(float(rng.uniform(32, 62) if kind != "low sun" else rng.uniform(14, 26)))
    azimuth = radians(float(rng.uniform(0, 360)))
    sun = (cos(elevation) * sin(azimuth), sin(elevation), cos(elevation) * cos(azimuth))
    direct, ambient, zenith, horizon, cover = _WEATHER[kind]
    jitter = character.dimness * (1 + 0.06 * float(rng.standard_normal()))
    return Light(
        kind=kind,
        sun=sun,
        direct=_scaled(direct, jitter),
        ambient=_scaled(ambient, jitter),
        zenith=zenith,
        horizon=horizon,
        haze_length_m=float(rng.uniform(260, 900) if kind != "overcast" else rng.uniform(160, 500)),
        cloud_cover=float(np.clip(cover + rng.normal(0, 0.08), 0, 1)),
        noise_level=float(rng.uniform(1.0, 2.5) if kind != "dusk" else rng.uniform(2.5, 4.5)),
        exposure=character.exposure,
    )


_WEATHER: dict[str, tuple[Rgb, Rgb, Rgb, Rgb, float]] = {
    "clear": ((0.78, 0.73, 0.62), (0.46, 0.50, 0.58), (82, 132, 200), (196, 216, 236), 0.35),
    "thin cloud": ((0.42, 0.40, 0.36), (0.66, 0.67, 0.70), (138, 168, 206), (218, 226, 234), 0.65),
    "overcast": ((0.10, 0.10, 0.10), (0.80, 0.81, 0.84), (186, 192, 200), (222, 225, 228), 0.95),
    "low sun": ((0.88, 0.72, 0.50), (0.46, 0.48, 0.56), (104, 140, 192), (238, 222, 202), 0.40),
    "dusk": ((0.12, 0.10, 0.08), (0.58, 0.56, 0.62), (78, 88, 128), (206, 164, 150), 0.55),
}


def _scaled(color: Rgb, factor: float) -> Rgb:
    return color[0] * factor, color[1] * factor, color[2] * factor
