"""The street's course: how far its middle line lies to the side, by distance along the street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.synthetic.camera import FloatArray


@dataclass(frozen=True)
class Bend:
    """A sum of sine waves: amplitudes in metres, wave numbers in 1/m, phases in radians.

    Street coordinates (along s, across t; t grows to the right) become world x = offset(s) + t, z = s.
    """

    amplitude_m: tuple[float, ...]
    wave_number: tuple[float, ...]
    phase_rad: tuple[float, ...]

    def offset(self, along_m: FloatArray | float) -> FloatArray:
        """The middle line's x in metres at ``along_m`` (any shape)."""
        along = np.asarray(along_m, np.float64)
        waves = zip(self.amplitude_m, self.wave_number, self.phase_rad, strict=True)
        return np.asarray(sum((a * (np.sin(k * along + p) - np.sin(p)) for a, k, p in waves), np.zeros_like(along)))

    def heading(self, along_m: float) -> float:
        """The street's heading in radians at ``along_m``, to the right positive."""
        waves = zip(self.amplitude_m, self.wave_number, self.phase_rad, strict=True)
        return float(np.arctan(sum(a * k * np.cos(k * along_m + p) for a, k, p in waves)))

    def place(self, along_m: float, across_m: float, height_m: float = 0.0) -> tuple[float, float, float]:
        """World coordinates of a street position."""
        return float(self.offset(along_m)) + across_m, height_m, along_m


def bend_for(rng: np.random.Generator) -> Bend:
    """Draw a street's course: one long and one shorter wave, both gentle."""
    lengths = (float(rng.uniform(260, 520)), float(rng.uniform(110, 220)))
    slopes = (float(rng.uniform(0.02, 0.16)), float(rng.uniform(0.0, 0.06)))
    wave_number = tuple(2 * np.pi / length for length in lengths)
    amplitude = tuple(slope / k for slope, k in zip(slopes, wave_number, strict=True))
    phases = rng.uniform(0, 2 * np.pi, 2)
    return Bend(amplitude, wave_number, (float(phases[0]), float(phases[1])))
