"""The sky: one wide picture a drive, from which each view takes its part."""

from __future__ import annotations

from math import atan, tan

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.synthetic.camera import Camera, Pose
from contextnet.data.synthetic.light import Light
from contextnet.data.synthetic.noise import fractal_noise

MAX_YAW_RAD = 0.40
MAX_PITCH_RAD = 0.10


class Sky:
    """A picture of the sky in all directions that the camera can look, horizon at its lower part."""

    def __init__(self, rng: np.random.Generator, light: Light, camera: Camera) -> None:
        height, width = camera.size_hw
        self._camera = camera
        self._margin_x = int(camera.focal_px * tan(MAX_YAW_RAD)) + 2
        self._margin_y = int(camera.focal_px * tan(MAX_PITCH_RAD)) + 2
        size_hw = (height + 2 * self._margin_y, width + 2 * self._margin_x)
        # Clouds are smooth: a quarter of the resolution is drawn, the rest is interpolated.
        small_hw = (max(2, size_hw[0] // 4), max(2, size_hw[1] // 4))
        small = Image.fromarray(_painted(rng, light, small_hw, camera.focal_px * small_hw[0] / size_hw[0]))
        wide = small.resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC).convert("RGBA")
        self._picture = Image.frombuffer("RGBX", wide.size, wide.tobytes(), "raw", "RGBX", 0, 1)

    def view(self, pose: Pose) -> Image.Image:
        """Give the RGBX picture (W × H) that the camera sees of the sky, below the horizon too."""
        height, width = self._camera.size_hw
        yaw = float(np.clip(pose.yaw_rad, -MAX_YAW_RAD, MAX_YAW_RAD))
        pitch = float(np.clip(pose.pitch_rad, -MAX_PITCH_RAD, MAX_PITCH_RAD))
        left = self._margin_x + round(self._margin_x * yaw / MAX_YAW_RAD)
        top = self._margin_y + round(self._camera.focal_px * tan(pitch))
        left = int(np.clip(left, 0, 2 * self._margin_x))
        return self._picture.crop((left, top, left + width, top + height))


def _painted(rng: np.random.Generator, light: Light, size_hw: tuple[int, int], focal_px: float) -> NDArray[np.uint8]:
    height, width = size_hw
    up = (height / 2 - np.arange(height)) / focal_px
    climb = np.clip(up / tan(0.75 * atan(1.0)), 0, 1)[:, None, None] ** 0.6
    sky = np.array(light.horizon) * (1 - climb) + np.array(light.zenith) * climb
    # Clouds flatten towards the horizon: noise that is stretched sideways, finer as they near it.
    noise = fractal_noise(rng, size_hw, 3, 6)
    stretched = np.asarray(
        Image.fromarray(fractal_noise(rng, (height * 2, max(2, width // 2)), 3, 6)).resize((width, height)), np.float32
    )
    field = 0.45 * noise + 0.55 * stretched
    threshold = float(np.quantile(field, 1 - min(0.98, max(0.02, light.cloud_cover))))
    cover = np.clip((field - threshold) / 0.16 + 0.12, 0, 1)[..., None]
    relief = np.clip(0.5 + 2.2 * (field - np.roll(field, max(1, height // 40), axis=0)), 0, 1)[..., None]
    bright = np.minimum(np.array(light.horizon) * 1.12 + 8, 255)
    cloud = bright * (0.80 + 0.20 * relief)
    painted = sky * np.ones((1, width, 1)) * (1 - 0.9 * cover) + cloud * 0.9 * cover
    pixels: NDArray[np.uint8] = np.clip(painted, 0, 255).astype(np.uint8)
    return pixels
