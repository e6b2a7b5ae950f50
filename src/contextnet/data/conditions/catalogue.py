"""The conditions under which networks are compared, each in three severities. All their figures stand here."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from contextnet.data.conditions.blur import Defocus, MotionBlur
from contextnet.data.conditions.contrast import LowContrast
from contextnet.data.conditions.dirt import Dirt
from contextnet.data.conditions.exposure import Darkness, OverExposure
from contextnet.data.conditions.haze import Haze
from contextnet.data.conditions.jpeg import JpegCompression
from contextnet.data.conditions.noise import SensorNoise
from contextnet.data.conditions.rain import Rain
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.conditions.white_balance import WhiteBalance
from contextnet.data.conditions.worsening import Worsening
from contextnet.errors import ContextNetError

Change = Worsening | Scaling
"""What is done to an image: it is made worse at its size, or shown at another one."""

SEVERITIES = ("weak", "medium", "strong")

CONDITIONS: dict[str, tuple[Change, Change, Change]] = {
    "defocus": (Defocus(0.005), Defocus(0.01), Defocus(0.02)),
    "motion": (MotionBlur(0.02), MotionBlur(0.04), MotionBlur(0.08)),
    "noise": (SensorNoise(1000), SensorNoise(300), SensorNoise(100)),
    "dark": (Darkness(1, 1.1, 1000), Darkness(2, 1.2, 500), Darkness(3, 1.3, 250)),
    "overexposed": (OverExposure(1), OverExposure(2), OverExposure(3)),
    "warm": (WhiteBalance(5500), WhiteBalance(4500), WhiteBalance(3500)),
    "cool": (WhiteBalance(8000), WhiteBalance(10000), WhiteBalance(15000)),
    "haze": (Haze(600), Haze(300), Haze(150)),
    "rain": (Rain(500, 0.15, 2000), Rain(1000, 0.2, 1000), Rain(2000, 0.3, 500)),
    "jpeg": (JpegCompression(30), JpegCompression(15), JpegCompression(8)),
    "low-contrast": (LowContrast(0.5), LowContrast(0.3), LowContrast(0.15)),
    "smaller": (Scaling(0.9), Scaling(0.8), Scaling(0.65)),
    "larger": (Scaling(1.1), Scaling(1.2), Scaling(1.5)),
    "dirt": (Dirt(0.02), Dirt(0.05), Dirt(0.1)),
}
"""By name, what becomes of an image at each of ``SEVERITIES``."""


@dataclass(frozen=True)
class Condition:
    """One condition at one severity."""

    name: str
    severity: str
    change: Change


def find_conditions(severity: str, names: tuple[str, ...] | None = None) -> tuple[Condition, ...]:
    """Give the conditions of these names, or all, at a severity, in the catalogue's order.

    Raises ``ContextNetError`` for an unknown severity, and for a name that is unknown, with the nearest one, or stands
    twice.
    """
    if severity not in SEVERITIES:
        raise ContextNetError(f"severity '{severity}': expected {', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}")
    for name in names or ():
        if name not in CONDITIONS:
            near = difflib.get_close_matches(name.lower(), CONDITIONS, n=1, cutoff=0.0)[0]
            raise ContextNetError(
                f"conditions: '{name}' is none; the nearest is '{near}'; known: {', '.join(CONDITIONS)}"
            )
        if names and names.count(name) > 1:
            raise ContextNetError(f"conditions: '{name}' stands twice; name each once")
    level = SEVERITIES.index(severity)
    return tuple(
        Condition(name, severity, changes[level])
        for name, changes in CONDITIONS.items()
        if names is None or name in names
    )
