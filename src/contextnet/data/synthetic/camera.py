"""A pinhole camera above the street: intrinsics, pose, projection.

World coordinates in metres: x to the right of the drive's first heading, y up, z forward; the ground is y = 0.
Camera coordinates: x right, y down, z forward. Pixel (row i, column j) covers [i, i+1) × [j, j+1).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Where the camera stands and looks.

    ``yaw_rad`` turns to the right, ``pitch_rad`` looks down; there is no roll, so a picture row has one depth on
    the ground.
    """

    x_m: float
    y_m: float
    z_m: float
    yaw_rad: float
    pitch_rad: float

    @property
    def position(self) -> FloatArray:
        """The camera centre (3,) in world metres."""
        return np.array([self.x_m, self.y_m, self.z_m])

    @property
    def rotation(self) -> FloatArray:
        """The rotation (3, 3) that takes world directions to camera directions."""
        yaw_cos, yaw_sin, pitch_cos, pitch_sin = (
            cos(self.yaw_rad),
            sin(self.yaw_rad),
            cos(self.pitch_rad),
            sin(self.pitch_rad),
        )
        right = (yaw_cos, 0.0, -yaw_sin)
        down = (-yaw_sin * pitch_sin, -pitch_cos, -yaw_cos * pitch_sin)
        forward = (yaw_sin * pitch_cos, -pitch_sin, yaw_cos * pitch_cos)
        return np.array([right, down, forward])


@dataclass(frozen=True)
class Camera:
    """Intrinsics of the pinhole: one focal length, principal point in the middle of the picture, square pixels."""

    size_hw: tuple[int, int]
    focal_px: float

    @property
    def matrix(self) -> FloatArray:
        """The calibration matrix (3, 3) for (x, y, 1) pixel vectors."""
        height, width = self.size_hw
        return np.array([[self.focal_px, 0.0, width / 2], [0.0, self.focal_px, height / 2], [0.0, 0.0, 1.0]])

    def project(self, points: FloatArray, pose: Pose) -> tuple[FloatArray, FloatArray]:
        """Project world points (N, 3) to pixels (N, 2) as (y, x), and their depths (N,) along the viewing axis.

        Points at or behind the camera come back as NaN.
        """
        seen = (points - pose.position) @ pose.rotation.T
        depth = seen[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = seen[:, 1::-1] / depth[:, None] * self.focal_px + np.array(self.size_hw) / 2
        pixels[depth <= 0] = np.nan
        return pixels, depth
