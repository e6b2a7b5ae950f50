"""Pictures of garden walls and fences, in pieces that stand end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.synthetic.noise import fractal_noise
from contextnet.data.synthetic.sketch import Color, Sketch, tone
from contextnet.data.synthetic.texture import Texture, opaque

PX_PER_M = 64.0
PIECE_M = 6.0

_STONE: tuple[Color, ...] = ((150, 146, 138), (136, 92, 76), (188, 180, 164), (120, 118, 116), (166, 140, 112))
_FENCE: tuple[Color, ...] = ((60, 66, 64), (126, 92, 62), (214, 212, 204), (58, 84, 66), (152, 156, 158))


@dataclass(frozen=True, eq=False)
class BarrierArt:
    """A piece of wall or fence ``PIECE_M`` long."""

    label: str
    texture: Texture
    height_m: float


def wall_art(rng: np.random.Generator, quality: float) -> BarrierArt:
    """A wall of bricks, blocks or concrete with a coping."""
    px, height_m = PX_PER_M * quality, float(rng.uniform(1.3, 2.6))
    height, width = max(8, round(height_m * px)), max(16, round(PIECE_M * px))
    color = np.array(_STONE[int(rng.integers(len(_STONE)))], np.float32) * rng.uniform(0.8, 1.1)
    course = max(2, round(float(rng.choice([0.09, 0.25, 0.6])) * px))
    length = course * 2 + max(1, course // 4)
    rows, columns = np.mgrid[0:height, 0:width]
    shifted = columns + rows // course % 2 * (length // 2)
    stones = rng.uniform(0.82, 1.14, (height // course + 1, width // length + 2))[rows // course, shifted // length]
    joint = (rows % course < max(1, course // 12)) | (shifted % length < max(1, course // 12))
    factor = np.where(joint, 0.72, stones) * (0.85 + 0.3 * fractal_noise(rng, (height, width), 3, 5))
    coping = max(2, round(0.12 * px))
    factor[:coping] = 1.22
    factor[coping : coping + max(1, coping // 3)] = 0.5
    pixels = np.clip(color * factor[..., None], 0, 255).astype(np.uint8)
    return BarrierArt("wall", opaque(pixels), height_m)


def fence_art(rng: np.random.Generator, quality: float) -> BarrierArt:
    """A fence of iron bars, pickets or wire mesh. All of its area counts as fence, gaps included."""
    height_m = float(rng.uniform(1.1, 1.9))
    sheet = Sketch(PIECE_M, height_m, PX_PER_M * quality)
    color = tone(_FENCE[int(rng.integers(len(_FENCE)))], float(rng.uniform(0.8, 1.1)))
    kind = str(rng.choice(["bars", "pickets", "mesh", "boards"]))
    top = height_m - 0.08
    sheet.claim([(0, 0.03), (PIECE_M, 0.03), (PIECE_M, top), (0, top)])
    step, bar = {"bars": (0.14, 0.035), "pickets": (0.17, 0.1), "mesh": (0.1, 0.014), "boards": (0.22, 0.2)}[kind]
    for x in np.arange(step / 2, PIECE_M, step).tolist():
        sheet.rectangle(x - bar / 2, 0.05, x + bar / 2, top, tone(color, float(rng.uniform(0.86, 1.1))))
        if kind == "bars":
            sheet.ellipse((x, top), (0.04, 0.06), color)
    if kind == "mesh":
        for y in np.arange(0.1, top, 0.1).tolist():
            sheet.rectangle(0, y - 0.008, PIECE_M, y + 0.008, color)
    for y in (0.2, top - 0.15):
        sheet.rectangle(0, y - 0.035, PIECE_M, y + 0.035, tone(color, 0.8))
    for x in (0.05, PIECE_M / 2, PIECE_M - 0.05):
        sheet.rectangle(x - 0.05, 0, x + 0.05, height_m, tone(color, 0.7))
    return BarrierArt("fence", sheet.texture(coded=True), height_m)
