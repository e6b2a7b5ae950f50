"""Pictures of trees, bushes and hedges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from contextnet.data.synthetic.noise import fractal_noise
from contextnet.data.synthetic.sketch import SUPERSAMPLING, Color, Point, Sketch, tone
from contextnet.data.synthetic.texture import Texture, with_opacity

TREE_PX_PER_M = 84.0
BRANCHINGS = 4


@dataclass(frozen=True, eq=False)
class PlantArt:
    """A picture of a plant and its measures in metres."""

    texture: Texture
    width_m: float
    height_m: float


def tree_art(rng: np.random.Generator, quality: float, sun_side: float) -> PlantArt:
    """Draw a tree; ``sun_side`` -1..1 says from which side of the picture the light comes."""
    shape = str(rng.choice(["round", "tall", "wide", "cone"], p=[0.4, 0.25, 0.25, 0.1]))
    height_m = float(rng.uniform(6.0, 11.5))
    width_m = height_m * {"round": 0.72, "tall": 0.42, "wide": 0.92, "cone": 0.45}[shape]
    sheet = Sketch(width_m, height_m, TREE_PX_PER_M * quality / SUPERSAMPLING * 1.2)
    base = height_m * (0.1 if shape == "cone" else float(rng.uniform(0.24, 0.36)))
    _trunk(rng, sheet, base, height_m)
    leaf = (float(rng.uniform(52, 104)), float(rng.uniform(88, 122)), float(rng.uniform(30, 56)))
    if rng.random() < 0.1:
        leaf = (float(rng.uniform(120, 160)), float(rng.uniform(88, 112)), 44.0)
    _leaves(rng, sheet, leaf, base, shape, sun_side)
    return PlantArt(sheet.texture(coded=False), width_m, height_m)


def bare_tree_art(rng: np.random.Generator, quality: float) -> PlantArt:
    """Draw a tree without leaves; the whole crown belongs to it, as annotators outline it."""
    height_m = float(rng.uniform(6.0, 12.0))
    width_m = height_m * float(rng.uniform(0.55, 0.9))
    sheet = Sketch(width_m, height_m, TREE_PX_PER_M * quality / SUPERSAMPLING * 1.2)
    base = height_m * float(rng.uniform(0.15, 0.32))
    bark = tone((96, 84, 72), float(rng.uniform(0.5, 1.1)))
    middle, crown = width_m / 2, height_m - base
    angles = np.linspace(0, 2 * np.pi, 25)[:-1]
    spread = rng.uniform(0.72, 1.0, len(angles))
    outline = np.stack([np.cos(angles) * spread * middle, np.sin(angles) * spread * crown / 2], axis=1)
    sheet.claim([(middle + x, base + crown / 2 + y) for x, y in outline.tolist()])
    thick = height_m * 0.03
    sheet.polygon(
        [(middle - thick, 0), (middle + thick, 0), (middle + thick / 2, base), (middle - thick / 2, base)], bark
    )
    for angle in rng.uniform(-0.75, 0.75, 7).tolist():
        _branch(rng, sheet, (middle, base), np.pi / 2 + angle, crown * 0.34, thick * 0.6, bark, BRANCHINGS)
    return PlantArt(sheet.texture(coded=True), width_m, height_m)


def _branch(
    rng: np.random.Generator,
    sheet: Sketch,
    start: Point,
    angle: float,
    length: float,
    thick: float,
    bark: Color,
    depth: int,
) -> None:
    """Draw a branch and, at its end, the thinner ones that it divides into."""
    end = (start[0] + length * float(np.cos(angle)), start[1] + length * float(np.sin(angle)))
    sheet.line([start, end], max(thick, 0.012), tone(bark, float(rng.uniform(0.85, 1.1))))
    if depth == 0:
        return
    for turn in rng.normal(0, 0.5, 3).tolist():
        # Twigs grow towards the light.
        heading = angle + turn + 0.15 * (np.pi / 2 - angle)
        shorter = length * float(rng.uniform(0.6, 0.85))
        _branch(rng, sheet, end, heading, shorter, thick * 0.55, bark, depth - 1)


def _trunk(rng: np.random.Generator, sheet: Sketch, base: float, height_m: float) -> None:
    middle = sheet.width_m / 2
    bark = tone((92, 80, 66), float(rng.uniform(0.7, 1.15)))
    thick = height_m * 0.024
    top = base + (height_m - base) * 0.55
    sheet.polygon(
        [(middle - thick, 0), (middle + thick, 0), (middle + thick * 0.35, top), (middle - thick * 0.35, top)], bark
    )
    sheet.polygon(
        [(middle - thick, 0), (middle - thick * 0.2, 0), (middle - thick * 0.1, top), (middle - thick * 0.35, top)],
        tone(bark, 0.7),
    )
    for side in (-1, 1, -0.6, 0.7):
        start = base * float(rng.uniform(0.9, 1.3))
        reach = (middle + side * sheet.width_m * 0.26, start + (height_m - base) * float(rng.uniform(0.25, 0.45)))
        sheet.line([(middle, start), reach], thick * 0.32, tone(bark, 0.85))


def _leaves(
    rng: np.random.Generator, sheet: Sketch, leaf: tuple[float, float, float], base: float, shape: str, sun_side: float
) -> None:
    """Clumps of leaves, dark ones behind and below, bright ones towards the light."""
    middle, crown = sheet.width_m / 2, sheet.height_m - base
    clumps = 34
    centres = []
    for _ in range(clumps):
        up = float(rng.uniform(0.08, 0.84))
        reach = _reach(up, shape) * (sheet.width_m / 2 - 0.16 * crown)
        centres.append(
            (middle + reach * float(rng.uniform(-1, 1)), base + up * crown, float(rng.uniform(0.1, 0.17)) * crown * 0.8)
        )
    strokes = []
    for x, y, radius in centres:
        angle, share = rng.uniform(0, 2 * np.pi, 64), np.sqrt(rng.random(64))
        for a, s, size in zip(angle.tolist(), share.tolist(), rng.uniform(0.035, 0.075, 64).tolist(), strict=True):
            dx, dy = np.cos(a) * s, np.sin(a) * s
            lit = (
                0.62
                + 0.28 * dy
                + 0.16 * dx * sun_side
                + 0.22 * ((y - base) / crown)
                + 0.14 * (x - middle) / middle * sun_side
            )
            depth = float(rng.random()) + 0.35 * dy
            strokes.append(
                (
                    depth,
                    x + dx * radius * 1.15,
                    y + dy * radius,
                    size * radius * 3.0,
                    lit * float(rng.uniform(0.8, 1.2)),
                )
            )
    for depth, x, y, size, lit in sorted(strokes):
        color = tone(leaf, lit * (0.62 + 0.5 * min(1.0, max(0.0, depth))))
        sheet.ellipse((x, y), (size, size * 0.8), color)


def _reach(up: float, shape: str) -> float:
    if shape == "cone":
        return 1.0 - 0.9 * up
    if shape == "tall":
        return float(np.sin(np.pi * min(1.0, 0.12 + 0.84 * up)) ** 0.6)
    return float(np.sqrt(max(0.0, 1 - (2 * up - 0.85) ** 2 / 1.3)))


def bush_art(rng: np.random.Generator, quality: float, width_m: float, height_m: float) -> PlantArt:
    """Draw a bush or a piece of hedge that fills its width."""
    px_per_m = TREE_PX_PER_M * 0.8 * quality
    height, width = max(8, round(height_m * px_per_m)), max(8, round(width_m * px_per_m))
    color = np.array([rng.uniform(46, 84), rng.uniform(78, 108), rng.uniform(28, 50)])
    leaves = fractal_noise(rng, (height, width), 10, 5)[..., None]
    clumps = fractal_noise(rng, (height, width), 3, 3)
    rise = np.linspace(1.2, 0.55, height)[:, None, None]
    pixels = np.clip(color * rise * (0.45 + 1.1 * leaves), 0, 255).astype(np.uint8)
    across = np.abs(np.linspace(-1, 1, width))[None, :]
    edge = np.linspace(1, 0, height)[:, None] + 0.55 * (clumps - 0.5) + 0.35 * (leaves[..., 0] - 0.5)
    opacity = np.clip((0.93 - edge - 0.35 * np.maximum(0, across - 0.75) ** 1.0) * 14 + 0.5, 0, 1)
    opacity[-max(1, height // 12) :] = 1
    opacity *= across < 0.985
    return PlantArt(Texture(with_opacity(pixels, (opacity * 255).astype(np.uint8))), width_m, height_m)


def leaf_shadow(rng: np.random.Generator) -> Texture:
    """A ragged dark spot, the shadow of a crown."""
    size = 96
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    ragged = np.hypot(x, y) + 0.5 * (fractal_noise(rng, (size, size), 6, 4) - 0.5)
    opacity = (np.clip((0.8 - ragged) * 5, 0, 1) * 120).astype(np.uint8)
    return Texture(with_opacity(np.full((size, size, 3), 22, np.uint8), opacity), glows=True)


def soft_shadow() -> Texture:
    """A dark rectangle with soft edges, the shadow under a vehicle."""
    size = 64
    picture = Image.new("L", (size, size), 0)
    ImageDraw.Draw(picture).rounded_rectangle((8, 8, size - 9, size - 9), 10, fill=190)
    opacity = np.asarray(
        picture.resize((size // 8, size // 8), Image.Resampling.BOX).resize((size, size), Image.Resampling.BICUBIC)
    )
    return Texture(with_opacity(np.full((size, size, 3), 14, np.uint8), np.ascontiguousarray(opacity)), glows=True)
