"""Pictures of a smooth random texture whose motion is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WAVES = 60


def texture(y_px: NDArray[np.float64], x_px: NDArray[np.float64], seed: int) -> NDArray[np.uint8]:
    """Draw a texture at places in pixels, uint8 (H, W, 3): waves of 40 to 300 pixels in all directions."""
    rng = np.random.default_rng(seed)
    lengths, angles, phases = rng.uniform(40, 300, WAVES), rng.uniform(0, np.pi, WAVES), rng.uniform(0, 6.28, WAVES)
    total = np.zeros(np.broadcast(y_px, x_px).shape)
    for length, angle, phase in zip(lengths, angles, phases, strict=True):
        total += np.sin(2 * np.pi * (np.cos(angle) * y_px + np.sin(angle) * x_px) / length + phase)
    gray = np.clip(128 + 60 * total / np.sqrt(WAVES / 2), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def picture(
    size_hw: tuple[int, int], seed: int, shift_px: tuple[float, float] = (0, 0), zoom: float = 1.0
) -> NDArray[np.uint8]:
    """Draw what a frame shows when pixel p shows the place (p - middle) * zoom + shift, measured from the middle."""
    height, width = size_hw
    y = (np.arange(height)[:, None] + 0.5 - height / 2) * zoom + shift_px[0]
    x = (np.arange(width)[None] + 0.5 - width / 2) * zoom + shift_px[1]
    return texture(y, x, seed)


def true_motion(
    size_hw: tuple[int, int], shift_px: tuple[float, float] = (0, 0), zoom: float = 1.0
) -> NDArray[np.float64]:
    """Give the motion (2, h, w) in pixels from such a frame to one without shift and zoom, at the cells' middles."""
    height, width = size_hw
    y = np.arange(4, height, 8)[:, None] - height / 2
    x = np.arange(4, width, 8)[None] - width / 2
    return np.stack(np.broadcast_arrays((zoom - 1) * y + shift_px[0], (zoom - 1) * x + shift_px[1]))
