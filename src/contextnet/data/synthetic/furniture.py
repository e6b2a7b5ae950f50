"""Pictures of poles, lamps, traffic lights and traffic signs.

Code 1 is the pole, code 2 the light or sign; light and sign without a pole have code 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from contextnet.data.synthetic.sketch import Color, Sketch, tone
from contextnet.data.synthetic.texture import Texture

PX_PER_M = 110.0

_STEEL: Color = (118, 122, 124)
RED: Color = (190, 24, 30)
BLUE: Color = (28, 74, 158)
WHITE: Color = (236, 236, 232)


@dataclass(frozen=True, eq=False)
class StandArt:
    """A picture that stands on the ground; ``middle_m`` is where its pole is, from the picture's left edge."""

    texture: Texture
    width_m: float
    height_m: float
    middle_m: float


def _pole(sheet: Sketch, x: float, top: float, thickness: float, color: Color) -> None:
    sheet.code = 1
    half = thickness / 2
    sheet.rectangle(x - half, 0, x + half, top, color)
    sheet.rectangle(x - half, 0, x - half * 0.4, top, tone(color, 0.7))
    sheet.rectangle(x + half * 0.1, 0, x + half * 0.5, top, tone(color, 1.25))


def lamp(rng: np.random.Generator, quality: float) -> StandArt:
    """A street lamp: a mast with an arm over the road."""
    height, arm = float(rng.uniform(6.0, 8.5)), float(rng.uniform(0.9, 2.0))
    color = tone(_STEEL if rng.random() < 0.6 else (66, 78, 72), float(rng.uniform(0.75, 1.15)))
    sheet = Sketch(arm + 0.6, height, PX_PER_M * 0.6 * quality)
    _pole(sheet, arm + 0.35, height - 0.15, 0.17, color)
    sheet.line([(arm + 0.35, height - 0.25), (0.5, height - 0.08)], 0.08, color)
    sheet.polygon(
        [(0.05, height - 0.16), (0.7, height - 0.12), (0.68, height - 0.02), (0.12, height - 0.04)], tone(color, 0.7)
    )
    sheet.rectangle(0.14, height - 0.2, 0.6, height - 0.14, (236, 232, 214))
    return StandArt(sheet.texture(coded=True), arm + 0.6, height, arm + 0.35)


def bollard(rng: np.random.Generator, quality: float) -> StandArt:
    """A low post at the kerb, with a bright ring."""
    sheet = Sketch(0.16, 0.95, PX_PER_M * quality)
    color = (66, 66, 70) if rng.random() < 0.6 else (170, 44, 40)
    _pole(sheet, 0.08, 0.93, 0.13, color)
    sheet.rectangle(0.015, 0.68, 0.145, 0.8, WHITE)
    return StandArt(sheet.texture(), 0.16, 0.95, 0.08)


def traffic_light(state: str, quality: float, arm_m: float) -> StandArt:
    """A traffic light on a mast, with a second one on an arm over the road when ``arm_m`` is above 0.

    The arm points to the left. ``state`` is red, amber or green.
    """
    height = 5.6 if arm_m > 0 else 3.5
    width = arm_m + 1.0
    sheet = Sketch(width, height, PX_PER_M * quality * (0.75 if arm_m > 0 else 1.0))
    pole = width - 0.5
    _pole(sheet, pole, height - 0.1, 0.16, (104, 108, 110))
    if arm_m > 0:
        sheet.line([(pole, height - 0.5), (0.45, height - 0.25)], 0.1, (104, 108, 110))
        _lamps(sheet, 0.45, height - 1.3, state, 1.15)
    _lamps(sheet, pole, 2.4, state, 1.0)
    return StandArt(sheet.texture(coded=True), width, height, pole)


def _lamps(sheet: Sketch, x: float, bottom: float, state: str, scale: float) -> None:
    """A dark housing of three lamps, one of them lit."""
    sheet.code = 2
    half, top = 0.17 * scale, bottom + 1.02 * scale
    sheet.rectangle(x - half - 0.06, bottom - 0.06, x + half + 0.06, top + 0.06, (214, 214, 208))
    sheet.rectangle(x - half - 0.03, bottom - 0.03, x + half + 0.03, top + 0.03, (22, 24, 24))
    lit: dict[str, Color] = {"red": (255, 52, 40), "amber": (255, 186, 40), "green": (60, 240, 150)}
    for row, (name, dark) in enumerate((("green", (18, 48, 38)), ("amber", (58, 46, 22)), ("red", (62, 20, 20)))):
        centre = (x, bottom + (0.18 + 0.33 * row) * scale)
        sheet.ellipse((centre[0], centre[1] + 0.03), (0.15 * scale, 0.15 * scale), (10, 10, 10))
        sheet.ellipse(centre, (0.125 * scale, 0.125 * scale), lit[name] if name == state else dark)
        if name == state:
            sheet.ellipse(centre, (0.06 * scale, 0.06 * scale), tone(lit[name], 1.4))


def sign_post(rng: np.random.Generator, quality: float) -> StandArt:
    """A post with one to three signs."""
    height, width = float(rng.uniform(2.7, 3.5)), 1.0
    sheet = Sketch(width, height, PX_PER_M * quality)
    _pole(sheet, width / 2, height - 0.05, 0.075, _STEEL)
    sheet.code = 2
    y = height - 0.5
    for kind in rng.choice(list(_SIGNS), size=int(rng.choice([1, 2, 2, 3])), replace=False).tolist():
        y -= _SIGNS[kind](sheet, width / 2, y, float(rng.uniform(0.32, 0.42)))
    return StandArt(sheet.texture(coded=True), width, height, width / 2)


def guide_sign(rng: np.random.Generator, quality: float) -> StandArt:
    """A large direction board on two posts."""
    width, height = float(rng.uniform(1.8, 2.8)), float(rng.uniform(3.2, 3.9))
    sheet = Sketch(width, height, PX_PER_M * 0.8 * quality)
    for x in (0.3, width - 0.3):
        _pole(sheet, x, height - 0.2, 0.09, _STEEL)
    sheet.code = 2
    board, ink = ((224, 180, 40), (30, 30, 30)) if rng.random() < 0.5 else (BLUE, WHITE)
    sheet.rectangle(0, height - 1.4, width, height, ink)
    sheet.rectangle(0.04, height - 1.36, width - 0.04, height - 0.04, board)
    for row in range(3):
        y = height - 0.38 - 0.4 * row
        x = 0.55
        while x < width - 0.35:
            step = float(rng.uniform(0.1, 0.3))
            sheet.rectangle(x, y - 0.07, min(x + step, width - 0.2), y + 0.1, ink)
            x += step + 0.06
        sheet.polygon([(0.14, y + 0.02), (0.32, y + 0.14), (0.32, y - 0.1)], ink)
    return StandArt(sheet.texture(coded=True), width, height, width / 2)


def _disc(sheet: Sketch, x: float, y: float, r: float) -> float:
    sheet.ellipse((x, y), (r, r), RED)
    sheet.ellipse((x, y), (r * 0.74, r * 0.74), WHITE)
    for dx in (-0.22, 0.16):
        sheet.rectangle(x + dx * r - 0.1 * r, y - 0.34 * r, x + dx * r + 0.2 * r, y + 0.34 * r, (24, 24, 26))
    return 2.15 * r


def _no_entry(sheet: Sketch, x: float, y: float, r: float) -> float:
    sheet.ellipse((x, y), (r, r), WHITE)
    sheet.ellipse((x, y), (r * 0.94, r * 0.94), RED)
    sheet.rectangle(x - 0.7 * r, y - 0.17 * r, x + 0.7 * r, y + 0.17 * r, WHITE)
    return 2.15 * r


def _warning(sheet: Sketch, x: float, y: float, r: float) -> float:
    for size, color in ((1.15, RED), (0.78, WHITE)):
        sheet.polygon(
            [(x + size * r * sin(a), y - 0.15 * r + size * r * cos(a)) for a in (0, 2 * pi / 3, 4 * pi / 3)], color
        )
    sheet.rectangle(x - 0.08 * r, y - 0.42 * r, x + 0.08 * r, y + 0.25 * r, (24, 24, 26))
    return 2.05 * r


def _yield(sheet: Sketch, x: float, y: float, r: float) -> float:
    for size, color in ((1.15, RED), (0.72, WHITE)):
        sheet.polygon([(x + size * r * sin(a), y + 0.1 * r + size * r * cos(a)) for a in (pi, pi / 3, -pi / 3)], color)
    return 2.05 * r


def _mandatory(sheet: Sketch, x: float, y: float, r: float) -> float:
    sheet.ellipse((x, y), (r, r), WHITE)
    sheet.ellipse((x, y), (r * 0.94, r * 0.94), BLUE)
    sheet.line([(x - 0.45 * r, y), (x + 0.3 * r, y)], 0.16 * r, WHITE)
    sheet.polygon([(x + 0.6 * r, y), (x + 0.15 * r, y + 0.36 * r), (x + 0.15 * r, y - 0.36 * r)], WHITE)
    return 2.15 * r


def _parking(sheet: Sketch, x: float, y: float, r: float) -> float:
    sheet.rectangle(x - r, y - r, x + r, y + r, WHITE)
    sheet.rectangle(x - 0.93 * r, y - 0.93 * r, x + 0.93 * r, y + 0.93 * r, BLUE)
    sheet.rectangle(x - 0.35 * r, y - 0.6 * r, x - 0.12 * r, y + 0.6 * r, WHITE)
    sheet.ring((x + 0.04 * r, y + 0.25 * r), 0.38 * r, 0.2 * r, WHITE)
    return 2.1 * r


def _priority(sheet: Sketch, x: float, y: float, r: float) -> float:
    for size, color in ((1.12, WHITE), (0.82, (240, 190, 30))):
        sheet.polygon([(x, y + size * r), (x + size * r, y), (x, y - size * r), (x - size * r, y)], color)
    return 2.25 * r


def _plate(sheet: Sketch, x: float, y: float, r: float) -> float:
    sheet.rectangle(x - r, y + 0.1 * r, x + r, y + 0.95 * r, (30, 30, 30))
    sheet.rectangle(x - 0.95 * r, y + 0.14 * r, x + 0.95 * r, y + 0.91 * r, WHITE)
    sheet.rectangle(x - 0.7 * r, y + 0.4 * r, x + 0.6 * r, y + 0.62 * r, (40, 40, 42))
    return 1.0 * r


_SIGNS = {
    "disc": _disc,
    "no entry": _no_entry,
    "warning": _warning,
    "yield": _yield,
    "mandatory": _mandatory,
    "parking": _parking,
    "priority": _priority,
    "plate": _plate,
}
