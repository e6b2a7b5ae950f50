"""Seeded smooth noise that repeats without a seam."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NoiseArray = NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> NoiseArray:
    """Interpolate a wrapping grid of random values to float32 (H, W), 0..1."""
    margin = 2
    grid = rng.random(cells_hw, dtype=np.float32)
    padded = np.pad(grid, margin, mode="wrap")
    scale_y, scale_x = size_hw[0] / cells_hw[0], size_hw[1] / cells_hw[1]
    box = (margin * 1.0, margin * 1.0, margin + cells_hw[1] * 1.0, margin + cells_hw[0] * 1.0)
    if scale_y < 1 or scale_x < 1:
        return smooth_noise(rng, size_hw, (max(1, size_hw[0] // 2), max(1, size_hw[1] // 2)))
    picture = Image.fromarray(padded).resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC, box=box)
    return np.clip(np.asarray(picture, np.float32), 0.0, 1.0)


def fractal_noise(rng: np.random.Generator, size_hw: tuple[int, int], cells: int, octaves: int) -> NoiseArray:
    """Sum octaves of smooth noise, each twice as fine and half as strong, to float32 (H, W), mean about 0.5.

    ``cells`` counts the coarsest cells along the shorter side.
    """
    total = np.zeros(size_hw, np.float32)
    weight_sum = 0.0
    shorter = min(size_hw)
    for octave in range(octaves):
        count = cells << octave
        if count > shorter // 2:
            break
        cells_hw = (max(1, round(size_hw[0] / shorter * count)), max(1, round(size_hw[1] / shorter * count)))
        total += smooth_noise(rng, size_hw, cells_hw) * 0.5**octave
        weight_sum += 0.5**octave
    if weight_sum == 0.0:
        return rng.random(size_hw, dtype=np.float32)
    total /= weight_sum
    return total
