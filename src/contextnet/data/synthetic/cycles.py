"""Pictures of bicycles and motorcycles, with and without a rider.

Code 1 is the rider where there is one, code 2 the machine; a parked machine has code 1 alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi, sin

import numpy as np

from contextnet.data.synthetic.people import Clothes
from contextnet.data.synthetic.sketch import Color, Point, Sketch, tone
from contextnet.data.synthetic.texture import Texture

PX_PER_M = 150.0
SIDE_M = (2.2, 1.9)
END_M = (0.95, 1.9)
PHASES = 6
TURN_S = 0.8

FRAMES: tuple[Color, ...] = ((150, 34, 36), (36, 38, 42), (44, 84, 140), (196, 198, 200), (60, 110, 82), (206, 150, 60))
_TYRE: Color = (30, 30, 32)
_METAL: Color = (142, 144, 148)


@dataclass(frozen=True)
class Machine:
    """A two-wheeler's kind (``bicycle`` or ``motorcycle``) and paint."""

    kind: str
    paint: Color


def machine(rng: np.random.Generator, kind: str) -> Machine:
    """Draw a machine's paint."""
    return Machine(kind, tone(FRAMES[int(rng.integers(len(FRAMES)))], float(rng.uniform(0.8, 1.15))))


@dataclass(frozen=True, eq=False)
class RiderLook:
    """The look of a ridden or standing machine: from the side, from behind or from the front."""

    machine: Machine
    wear: Clothes | None
    quality: float
    from_side: bool
    start: float = 0.0
    drawn: dict[tuple[str, int, bool], Texture] = field(default_factory=dict)

    def __call__(self, view_rad: float, time_s: float) -> Texture:
        """Give the picture; ``from_side`` fixes the sheet's shape, so the owner makes one look of each kind."""
        pedals = self.wear is not None and self.machine.kind == "bicycle"
        phase = int((time_s / TURN_S + self.start) * PHASES) % PHASES if pedals else 0
        key = (
            ("side", phase, view_rad < 0)
            if self.from_side
            else ("back" if abs(view_rad) < pi / 2 else "front", phase, False)
        )
        if key not in self.drawn:
            self.drawn[key] = cycle_picture(self.machine, self.wear, *key, PX_PER_M * self.quality)
        return self.drawn[key]


def cycle_picture(
    bike: Machine, wear: Clothes | None, view: str, phase: int, mirrored: bool, px_per_m: float
) -> Texture:
    """Draw one picture; a side view heads to the right unless ``mirrored``."""
    sheet = Sketch(*(SIDE_M if view == "side" else END_M), px_per_m)
    sheet.code = 1 if wear is None else 2
    turn = 2 * pi * phase / PHASES
    if view == "side":
        pedal = _bicycle_side(sheet, bike, turn) if bike.kind == "bicycle" else _motorcycle_side(sheet, bike)
        if wear is not None:
            sheet.code = 1
            _rider_side(sheet, wear, pedal, bike.kind == "motorcycle", bike.paint)
    else:
        _machine_end(sheet, bike, view == "front")
        if wear is not None:
            sheet.code = 1
            _rider_end(sheet, wear, sin(turn), view == "front", bike)
    return sheet.texture(mirrored=mirrored, coded=True)


def _bicycle_side(sheet: Sketch, bike: Machine, turn: float) -> Point:
    """Wheels, frame, saddle, handlebar; returns where the near foot stands."""
    rear, front, radius = (0.58, 0.34), (1.62, 0.34), 0.34
    crank, seat, head = (1.03, 0.3), (0.92, 0.86), (1.46, 0.84)
    for hub in (rear, front):
        # Annotators fill a wheel as one disc; so do the codes.
        sheet.claim_ellipse(hub, (radius, radius))
        for spoke in range(8):
            angle = pi * spoke / 8
            dx, dy = radius * 0.92 * cos(angle), radius * 0.92 * sin(angle)
            sheet.line([(hub[0] - dx, hub[1] - dy), (hub[0] + dx, hub[1] + dy)], 0.006, (120, 120, 124))
        sheet.ring(hub, radius, 0.045, _TYRE)
    sheet.claim([rear, crank, head, seat])
    for start, end in (
        (rear, crank),
        (rear, (0.94, 0.74)),
        (crank, seat),
        (crank, head),
        ((0.95, 0.72), head),
        (head, front),
    ):
        sheet.line([start, end], 0.042, bike.paint)
    sheet.line([seat, (0.9, 0.95)], 0.035, _METAL)
    sheet.line([(0.78, 0.97), (1.0, 0.955)], 0.065, (28, 26, 26))
    sheet.line([head, (1.44, 1.02), (1.56, 1.06)], 0.035, _METAL)
    sheet.line([(0.3, 0.72), (0.8, 0.72)], 0.03, (60, 60, 62))
    pedal = (crank[0] + 0.17 * cos(turn), crank[1] + 0.17 * sin(turn))
    sheet.line([(2 * crank[0] - pedal[0], 2 * crank[1] - pedal[1]), pedal], 0.03, _METAL)
    sheet.ellipse(crank, (0.09, 0.09), (70, 70, 74))
    return pedal


def _motorcycle_side(sheet: Sketch, bike: Machine) -> Point:
    """Wheels, engine, tank, seat, exhaust, lamp; returns where the near foot stands."""
    rear, front, radius = (0.5, 0.32), (1.78, 0.32), 0.32
    for hub in (rear, front):
        sheet.ellipse(hub, (radius, radius), _TYRE)
        sheet.ellipse(hub, (radius * 0.62, radius * 0.62), (108, 110, 114))
        sheet.ellipse(hub, (radius * 0.2, radius * 0.2), (52, 52, 56))
    sheet.polygon([(0.62, 0.3), (1.4, 0.26), (1.5, 0.62), (0.72, 0.66)], (50, 50, 54))
    sheet.ellipse((1.1, 0.44), (0.24, 0.18), (116, 118, 122))
    sheet.line([(0.3, 0.38), (1.05, 0.3)], 0.1, (168, 168, 170))
    sheet.polygon([(0.16, 0.82), (0.62, 0.62), (1.0, 0.66), (0.95, 0.84), (0.5, 0.9)], bike.paint)
    sheet.line([(0.36, 0.92), (0.95, 0.86)], 0.11, (26, 26, 28))
    sheet.polygon([(0.98, 0.7), (1.42, 0.64), (1.5, 0.9), (1.3, 1.04), (1.02, 0.96)], bike.paint)
    sheet.polygon([(1.02, 0.88), (1.46, 0.84), (1.3, 1.02), (1.04, 0.95)], tone(bike.paint, 1.3))
    sheet.line([(1.5, 0.98), front], 0.075, _METAL)
    sheet.polygon([(1.5, 0.62), (1.72, 0.7), (2.02, 0.6), (2.0, 0.54), (1.72, 0.62)], bike.paint)
    sheet.polygon([(1.44, 0.86), (1.68, 0.84), (1.62, 1.06), (1.48, 1.26), (1.42, 1.1)], tone(bike.paint, 0.9))
    sheet.ellipse((1.66, 0.94), (0.07, 0.1), (238, 236, 220))
    sheet.line([(1.42, 1.06), (1.26, 1.12)], 0.04, (40, 40, 42))
    sheet.rectangle(0.1, 0.74, 0.2, 0.84, (178, 26, 26))
    return 1.02, 0.36


def _rider_side(sheet: Sketch, wear: Clothes, foot: Point, motor: bool, paint: Color) -> None:
    hip = (0.84, 1.0) if motor else (0.9, 1.02)
    shoulder = (1.06, 1.46) if motor else (1.16, 1.46)
    hand = (1.36, 1.12) if motor else (1.52, 1.07)
    far = (2 * 1.03 - foot[0], 2 * 0.3 - foot[1]) if not motor else (foot[0] + 0.05, foot[1])
    for place, shade in ((far, 0.7), (foot, 1.0)):
        middle = ((hip[0] + place[0]) / 2 + 0.22, (hip[1] + place[1]) / 2 + 0.06)
        sheet.line([hip, middle, (place[0] - 0.02, place[1] + 0.07)], 0.14, tone(wear.legs, shade))
        sheet.ellipse((place[0] + 0.05, place[1] + 0.03), (0.13, 0.05), (32, 30, 30))
    sheet.line([hip, shoulder], 0.27 * wear.girth, wear.coat)
    elbow = ((shoulder[0] + hand[0]) / 2, (shoulder[1] + hand[1]) / 2 - 0.08)
    sheet.line([shoulder, elbow, hand], 0.1, tone(wear.coat, 0.8))
    sheet.ellipse(hand, (0.05, 0.05), wear.skin)
    head = (shoulder[0] + 0.12, shoulder[1] + 0.22)
    sheet.line([shoulder, head], 0.09, tone(wear.skin, 0.85))
    _head(sheet, wear, head, motor, paint)


def _head(sheet: Sketch, wear: Clothes, at: Point, motor: bool, paint: Color) -> None:
    if motor:
        sheet.ellipse(at, (0.15, 0.155), tone(paint, 1.15))
        sheet.ellipse((at[0] + 0.05, at[1]), (0.11, 0.06), (28, 30, 34))
        return
    sheet.ellipse((at[0] + 0.01, at[1]), (0.1, 0.125), wear.skin)
    sheet.ellipse((at[0] - 0.01, at[1] + 0.055), (0.115, 0.085), wear.hair if wear.bag is None else (214, 214, 216))


def _machine_end(sheet: Sketch, bike: Machine, front: bool) -> None:
    """A machine from behind or from the front, standing on the lower edge."""
    x = sheet.width_m / 2
    if bike.kind == "bicycle":
        sheet.line([(x, 0.05), (x, 0.64)], 0.07, _TYRE)
        sheet.line([(x, 0.6), (x, 0.95)], 0.05, bike.paint)
        sheet.line([(x - 0.17, 0.3), (x + 0.17, 0.3)], 0.035, (70, 70, 72))
        if not front:
            for side in (-1, 1):
                sheet.rectangle(x + side * 0.13 - 0.07, 0.4, x + side * 0.13 + 0.07, 0.7, tone(bike.paint, 0.6))
        sheet.line([(x - 0.28, 1.04), (x + 0.28, 1.04)], 0.04, (44, 44, 46))
        sheet.ellipse((x, 0.96 if not front else 0.82), (0.1, 0.05), (30, 28, 28))
        sheet.ellipse((x, 0.72), (0.04, 0.04), (236, 232, 214) if front else (196, 24, 24))
        return
    sheet.line([(x, 0.08), (x, 0.6)], 0.16, _TYRE)
    sheet.polygon(
        [(x - 0.2, 0.42), (x + 0.2, 0.42), (x + 0.24, 0.8), (x + 0.13, 0.98), (x - 0.13, 0.98), (x - 0.24, 0.8)],
        bike.paint,
    )
    sheet.line([(x - 0.36, 1.08), (x + 0.36, 1.08)], 0.05, (34, 34, 36))
    for side in (-1, 1):
        sheet.ellipse((x + side * 0.38, 1.2), (0.07, 0.05), (40, 40, 44))
        sheet.ellipse((x + side * 0.22, 0.34), (0.06, 0.08), (150, 150, 152))
    if front:
        sheet.polygon([(x - 0.17, 0.95), (x + 0.17, 0.95), (x + 0.1, 1.25), (x - 0.1, 1.25)], tone(bike.paint, 0.8))
        sheet.ellipse((x, 0.86), (0.11, 0.1), (246, 244, 228))
    else:
        sheet.rectangle(x - 0.13, 0.78, x + 0.13, 0.86, (190, 22, 22))
        sheet.rectangle(x - 0.1, 0.52, x + 0.1, 0.66, (220, 220, 212))


def _rider_end(sheet: Sketch, wear: Clothes, swing: float, front: bool, bike: Machine) -> None:
    x, motor = sheet.width_m / 2, bike.kind == "motorcycle"
    for side in (-1, 1):
        knee = (x + side * (0.22 if motor else 0.15), 0.68 + (0 if motor else 0.09 * side * swing))
        foot = (x + side * (0.25 if motor else 0.14), 0.4 if motor else 0.32 + 0.15 * side * swing)
        sheet.line([(x + side * 0.1, 1.0), knee, foot], 0.135, tone(wear.legs, 0.85 if side > 0 else 1.05))
        sheet.ellipse((foot[0], foot[1] - 0.04), (0.07, 0.06), (30, 28, 28))
        hand = (x + side * 0.3, 1.08)
        sheet.line([(x + side * 0.19, 1.42), (x + side * 0.33, 1.22), hand], 0.1, tone(wear.coat, 0.8))
    w = wear.girth
    sheet.polygon(
        [
            (x - 0.17 * w, 0.95),
            (x + 0.17 * w, 0.95),
            (x + 0.23 * w, 1.4),
            (x + 0.1, 1.52),
            (x - 0.1, 1.52),
            (x - 0.23 * w, 1.4),
        ],
        wear.coat,
    )
    sheet.polygon([(x + 0.05, 0.95), (x + 0.17 * w, 0.95), (x + 0.23 * w, 1.4), (x + 0.1, 1.5)], tone(wear.coat, 0.82))
    if not front and wear.bag is not None:
        sheet.ellipse((x, 1.24), (0.15, 0.19), wear.bag)
    sheet.rectangle(x - 0.05, 1.48, x + 0.05, 1.58, tone(wear.skin, 0.85))
    if motor:
        sheet.ellipse((x, 1.68), (0.14, 0.155), tone(bike.paint, 1.15))
        if front:
            sheet.ellipse((x, 1.68), (0.11, 0.06), (28, 30, 34))
        return
    sheet.ellipse((x, 1.66), (0.095, 0.125), wear.skin if front else wear.hair)
    sheet.ellipse((x, 1.73), (0.1, 0.06), wear.hair if wear.bag is None else (214, 214, 216))
