"""The camera's way through the street, as a pure function of time."""

from __future__ import annotations

from dataclasses import dataclass
from math import sin

import numpy as np

from contextnet.data.synthetic.bend import Bend
from contextnet.data.synthetic.camera import Pose
from contextnet.data.synthetic.character import Character


@dataclass(frozen=True)
class CameraPath:
    """A drive along the street at a constant speed, with gentle sway across the lane, yaw and pitch."""

    bend: Bend
    speed_m_per_s: float
    across_m: float
    height_m: float
    pitch_rad: float
    sway_m: float
    yaw_swing_rad: float
    phase_rad: float
    start_m: float
    aside_rad: float

    def pose(self, time_s: float) -> Pose:
        """The camera's pose at ``time_s``."""
        along = self.start_m + self.speed_m_per_s * time_s
        wave = 0.9 * time_s + self.phase_rad
        x, _, z = self.bend.place(along, self.across_m + self.sway_m * sin(0.7 * wave))
        bounce = sin(5.1 * time_s + self.phase_rad)
        return Pose(
            x_m=x,
            y_m=self.height_m + 0.008 * bounce,
            z_m=z,
            # A driver looks ahead into the bend.
            yaw_rad=self.bend.heading(along + 6.0) + self.aside_rad + self.yaw_swing_rad * sin(wave),
            pitch_rad=self.pitch_rad + 0.002 * bounce,
        )


def path_for(rng: np.random.Generator, bend: Bend, lane_m: float, character: Character) -> CameraPath:
    """Draw a way down the lane whose middle is ``lane_m`` right of the street's middle."""
    return CameraPath(
        bend=bend,
        speed_m_per_s=float(rng.uniform(5.0, 9.0)),
        across_m=lane_m + float(rng.uniform(-0.2, 0.2)),
        height_m=character.lift_m + float(rng.uniform(1.1, 1.6)),
        pitch_rad=character.down_rad + float(rng.uniform(0.005, 0.045)),
        sway_m=float(rng.uniform(0.02, 0.14)),
        yaw_swing_rad=float(rng.uniform(0.003, 0.014)),
        phase_rad=float(rng.uniform(0, 2 * np.pi)),
        start_m=character.start_m,
        aside_rad=character.aside_rad,
    )
