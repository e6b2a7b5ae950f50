"""Pictures of people on foot: from the front, from behind and from the side, standing and in stride."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import pi, sin

import numpy as np

from contextnet.data.synthetic.sketch import Color, Sketch, tone
from contextnet.data.synthetic.texture import Texture

PX_PER_M = 150.0
SHEET_M = (1.0, 1.95)
PHASES = 8
STRIDE_S = 1.05

_SKIN: tuple[Color, ...] = ((226, 184, 156), (204, 158, 128), (158, 112, 84), (108, 74, 56), (236, 200, 176))
_HAIR: tuple[Color, ...] = ((44, 34, 30), (90, 64, 44), (146, 112, 68), (28, 26, 28), (150, 146, 142))
_COAT: tuple[Color, ...] = (
    (40, 44, 58), (142, 40, 44), (60, 88, 70), (196, 188, 172), (92, 84, 78), (38, 82, 128), (186, 142, 60),
    (34, 34, 36), (118, 122, 130), (168, 92, 108), (216, 214, 210), (72, 50, 84),
)  # fmt: skip
_LEGS: tuple[Color, ...] = ((44, 52, 76), (34, 34, 38), (82, 78, 72), (122, 108, 88), (58, 74, 104))


@dataclass(frozen=True)
class Clothes:
    """The colours and build of one person; ``height_m`` with shoes."""

    height_m: float
    girth: float
    skin: Color
    hair: Color
    coat: Color
    legs: Color
    long_coat: bool
    bag: Color | None


def clothes(rng: np.random.Generator) -> Clothes:
    """Draw one person's looks."""

    def pick(colors: tuple[Color, ...]) -> Color:
        return tone(colors[int(rng.integers(len(colors)))], float(rng.uniform(0.8, 1.15)))

    child = rng.random() < 0.1
    return Clothes(
        height_m=float(rng.uniform(1.15, 1.4) if child else rng.uniform(1.58, 1.88)),
        girth=float(rng.uniform(0.85, 1.2)),
        skin=pick(_SKIN),
        hair=pick(_HAIR),
        coat=pick(_COAT),
        legs=pick(_LEGS),
        long_coat=bool(rng.random() < 0.3),
        bag=pick(_COAT) if rng.random() < 0.4 else None,
    )


@dataclass(frozen=True, eq=False)
class Walker:
    """The look of one person: chooses view and phase of the step; pictures are drawn when first needed."""

    wear: Clothes
    quality: float
    walks: bool
    start: float
    drawn: dict[tuple[str, int, bool], Texture] = field(default_factory=dict)

    def __call__(self, view_rad: float, time_s: float) -> Texture:
        """Give the picture for a heading of ``view_rad`` to the right of the direction of view."""
        phase = int((time_s / STRIDE_S + self.start) * PHASES) % PHASES if self.walks else PHASES
        if abs(sin(view_rad)) > 0.6:
            key = ("side", phase, view_rad < 0)
        else:
            key = ("back" if abs(view_rad) < pi / 2 else "front", phase, False)
        if key not in self.drawn:
            self.drawn[key] = _person(self.wear, *key, PX_PER_M * self.quality)
        return self.drawn[key]


def _person(wear: Clothes, view: str, phase: int, mirrored: bool, px_per_m: float) -> Texture:
    sheet = Sketch(*SHEET_M, px_per_m)
    swing = sin(2 * pi * phase / PHASES) if phase < PHASES else 0.12
    scale = wear.height_m / 1.8
    if view == "side":
        _side(sheet, wear, swing, scale)
    else:
        _upright(sheet, wear, swing, scale, view == "front")
    return sheet.texture(mirrored=mirrored)


def _upright(sheet: Sketch, wear: Clothes, swing: float, s: float, front: bool) -> None:
    """From the front or from behind: one foot is lifted in turn."""
    x, w = sheet.width_m / 2, wear.girth * s
    for side in (-1, 1):
        lift = max(0.0, side * swing) * 0.09 * s
        hip, foot = x + side * 0.085 * w, x + side * (0.095 * w)
        shade = tone(wear.legs, 0.86 if side > 0 else 1.05)
        sheet.polygon(
            [
                (hip - 0.085 * w, 0.92 * s),
                (hip + 0.085 * w, 0.92 * s),
                (foot + 0.06 * w, 0.08 * s + lift),
                (foot - 0.06 * w, 0.08 * s + lift),
            ],
            shade,
        )
        sheet.ellipse((foot, 0.05 * s + lift), (0.068 * w, 0.05 * s), (34, 30, 30))
    _upright_body(sheet, wear, swing, s, front)
    _upright_head(sheet, wear, s, front)


def _upright_body(sheet: Sketch, wear: Clothes, swing: float, s: float, front: bool) -> None:
    x, w = sheet.width_m / 2, wear.girth * s
    hem = 0.55 * s if wear.long_coat else 0.82 * s
    for side in (-1, 1):
        hand = (x + side * 0.29 * w, (0.78 + 0.07 * side * swing) * s)
        sheet.line(
            [(x + side * 0.205 * w, 1.42 * s), (x + side * 0.27 * w, 1.1 * s), hand], 0.1 * w, tone(wear.coat, 0.78)
        )
        sheet.ellipse(hand, (0.045 * s, 0.055 * s), wear.skin)
    sheet.polygon(
        [
            (x - 0.2 * w, hem),
            (x + 0.2 * w, hem),
            (x + 0.17 * w, 1.15 * s),
            (x + 0.24 * w, 1.4 * s),
            (x + 0.1 * w, 1.5 * s),
            (x - 0.1 * w, 1.5 * s),
            (x - 0.24 * w, 1.4 * s),
            (x - 0.17 * w, 1.15 * s),
        ],
        wear.coat,
    )
    sheet.polygon(
        [
            (x + 0.08 * w, hem),
            (x + 0.2 * w, hem),
            (x + 0.17 * w, 1.15 * s),
            (x + 0.24 * w, 1.4 * s),
            (x + 0.12 * w, 1.45 * s),
        ],
        tone(wear.coat, 0.82),
    )
    if front:
        sheet.polygon([(x - 0.05 * w, 1.5 * s), (x + 0.05 * w, 1.5 * s), (x, 1.28 * s)], tone(wear.coat, 1.5))
    elif wear.bag is not None:
        sheet.ellipse((x, 1.22 * s), (0.16 * w, 0.2 * s), wear.bag)


def _upright_head(sheet: Sketch, wear: Clothes, s: float, front: bool) -> None:
    x = sheet.width_m / 2
    sheet.rectangle(x - 0.05 * s, 1.46 * s, x + 0.05 * s, 1.56 * s, tone(wear.skin, 0.85))
    sheet.ellipse((x, 1.67 * s), (0.095 * s, 0.13 * s), wear.hair)
    if front:
        sheet.ellipse((x, 1.645 * s), (0.08 * s, 0.105 * s), wear.skin)
        sheet.ellipse((x, 1.75 * s), (0.09 * s, 0.05 * s), wear.hair)


def _side(sheet: Sketch, wear: Clothes, swing: float, s: float) -> None:
    """From the side, walking to the right."""
    x, w = sheet.width_m / 2, wear.girth * s
    for side, shade in ((-1, 0.75), (1, 1.0)):
        reach = side * swing
        knee = (x + 0.16 * reach * s + 0.03 * s, 0.5 * s)
        foot = (x + 0.3 * reach * s, 0.1 * s + max(0.0, -reach) * 0.1 * s)
        sheet.line([(x, 0.9 * s), knee, foot], 0.135 * w, tone(wear.legs, shade))
        sheet.ellipse((foot[0] + 0.06 * s, foot[1] - 0.05 * s), (0.13 * s, 0.05 * s), (34, 30, 30))
    _side_arm(sheet, wear, -swing, s, 0.7)
    hem = 0.55 * s if wear.long_coat else 0.82 * s
    sheet.polygon(
        [
            (x - 0.14 * w, hem),
            (x + 0.13 * w, hem),
            (x + 0.14 * w, 1.25 * s),
            (x + 0.08 * w, 1.5 * s),
            (x - 0.08 * w, 1.5 * s),
            (x - 0.15 * w, 1.3 * s),
        ],
        wear.coat,
    )
    if wear.bag is not None:
        sheet.ellipse((x - 0.2 * w, 1.22 * s), (0.11 * w, 0.2 * s), wear.bag)
    _side_arm(sheet, wear, swing, s, 0.88)
    sheet.rectangle(x - 0.04 * s, 1.46 * s, x + 0.05 * s, 1.56 * s, tone(wear.skin, 0.85))
    sheet.ellipse((x + 0.02 * s, 1.66 * s), (0.105 * s, 0.13 * s), wear.skin)
    sheet.ellipse((x - 0.02 * s, 1.7 * s), (0.1 * s, 0.1 * s), wear.hair)


def _side_arm(sheet: Sketch, wear: Clothes, reach: float, s: float, shade: float) -> None:
    x = sheet.width_m / 2
    hand = (x - 0.24 * reach * s + 0.06 * s, 0.84 * s)
    sheet.line(
        [(x, 1.4 * s), (x - 0.1 * reach * s - 0.02 * s, 1.1 * s), hand], 0.1 * wear.girth * s, tone(wear.coat, shade)
    )
    sheet.ellipse(hand, (0.05 * s, 0.05 * s), wear.skin)
