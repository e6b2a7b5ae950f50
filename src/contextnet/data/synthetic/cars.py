"""Passenger cars: a profile swept across the width, with drawn sides, front and rear.

Profile coordinates: x from the rear bumper forwards, y upwards, both in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.synthetic.bodies import Solid
from contextnet.data.synthetic.quads import Quad, Vector
from contextnet.data.synthetic.sketch import Color, Point, Sketch, tone
from contextnet.data.synthetic.texture import Texture

PX_PER_M = 120.0
ROOF_SHARE = 0.78

PAINTS: tuple[Color, ...] = (
    (206, 208, 210), (150, 154, 158), (92, 96, 102), (34, 35, 38), (30, 52, 104), (128, 24, 28),
    (214, 212, 204), (52, 74, 62), (70, 108, 150), (176, 158, 130), (186, 60, 34), (58, 60, 66),
)  # fmt: skip
GLASS: Color = (48, 58, 68)
RUBBER: Color = (26, 26, 28)
PLATE: Color = (222, 222, 214)


@dataclass(frozen=True)
class CarShape:
    """The measures of one car; ``profile`` runs from rear bottom over boot, roof and bonnet to front bottom."""

    length_m: float
    width_m: float
    belt_m: float
    height_m: float
    profile: tuple[Point, ...]
    wheel_m: float


def car_shape(rng: np.random.Generator) -> CarShape:
    """Draw a hatchback, saloon, estate, off-roader or van."""
    kind = str(rng.choice(["hatch", "saloon", "estate", "high", "van"], p=[0.32, 0.22, 0.2, 0.16, 0.1]))
    length, height = {
        "hatch": (4.0, 1.47), "saloon": (4.7, 1.44), "estate": (4.65, 1.48), "high": (4.5, 1.68), "van": (4.8, 1.92),
    }[kind]  # fmt: skip
    length += float(rng.uniform(-0.2, 0.2))
    height += float(rng.uniform(-0.04, 0.05))
    belt = {"high": 1.06, "van": 1.12}.get(kind, 0.93)
    window_base, roof_rear = {
        "hatch": (0.14, 0.62), "saloon": (0.82, 1.55), "estate": (0.1, 0.5), "high": (0.12, 0.48), "van": (0.06, 0.16),
    }[kind]  # fmt: skip
    screen_base, roof_front = (length - 0.85, length - 1.5) if kind == "van" else (length - 1.22, length - 1.98)
    profile = (
        (0.05, 0.26),
        (0.0, belt - 0.04),
        (window_base, belt),
        (roof_rear, height),
        (roof_front, height),
        (screen_base, belt),
        (length - 0.06, belt - 0.2),
        (length - 0.02, 0.22),
    )
    return CarShape(length, float(rng.uniform(1.74, 1.92)), belt, height, profile, 0.31 if kind != "high" else 0.35)


def car(rng: np.random.Generator, quality: float, ids: tuple[int, ...] = (0,)) -> Solid:
    """Build one car in a drawn shape and paint."""
    shape = car_shape(rng)
    paint = tone(PAINTS[int(rng.integers(len(PAINTS)))], float(rng.uniform(0.85, 1.1)))
    px_per_m = PX_PER_M * quality
    parts = _sides(rng, shape, paint, px_per_m, ids) + _ends(rng, shape, paint, px_per_m, ids)
    return Solid(tuple(parts), shape.length_m / 2)


def wheel(sheet: Sketch, x: float, radius: float) -> None:
    """Draw a wheel that stands on the lower edge at ``x``."""
    sheet.ellipse((x, radius), (radius * 1.16, radius * 1.12), (16, 16, 18))
    sheet.ellipse((x, radius), (radius, radius), RUBBER)
    sheet.ellipse((x, radius), (radius * 0.64, radius * 0.64), (138, 140, 144))
    for angle in np.arange(0, 2 * np.pi, 2 * np.pi / 5).tolist():
        centre = (x + radius * 0.4 * np.cos(angle), radius + radius * 0.4 * np.sin(angle))
        sheet.ellipse(centre, (radius * 0.13, radius * 0.13), (52, 52, 56))
    sheet.ellipse((x, radius), (radius * 0.14, radius * 0.14), (90, 92, 96))


def _sides(
    rng: np.random.Generator, shape: CarShape, paint: Color, px_per_m: float, ids: tuple[int, ...]
) -> list[Quad]:
    length, half, roof_half = shape.length_m, shape.width_m / 2, shape.width_m / 2 * ROOF_SHARE
    lower, upper = _lower_side(shape, paint, px_per_m), _upper_side(shape, paint, px_per_m)
    rise = shape.height_m - shape.belt_m
    lean = half - roof_half
    back, front = -length / 2, length / 2
    return [
        _quad((half, shape.belt_m, back), (0, 0, length), (0, -shape.belt_m, 0), lower.texture(), ids),
        _quad((roof_half, shape.height_m, back), (0, 0, length), (lean, -rise, 0), upper.texture(), ids),
        _quad((-half, shape.belt_m, front), (0, 0, -length), (0, -shape.belt_m, 0), lower.texture(mirrored=True), ids),
        _quad(
            (-roof_half, shape.height_m, front), (0, 0, -length), (-lean, -rise, 0), upper.texture(mirrored=True), ids
        ),
    ]


def _quad(origin: Vector, across: Vector, down: Vector, texture: Texture, ids: tuple[int, ...]) -> Quad:
    return Quad(origin, across, down, texture, ids)


def _lower_side(shape: CarShape, paint: Color, px_per_m: float) -> Sketch:
    """Doors, sills, lights and wheels, up to the belt line."""
    length, belt = shape.length_m, shape.belt_m
    sheet = Sketch(length, belt, px_per_m)
    outline = [shape.profile[i] for i in (0, 1, 2, 5, 6, 7)]
    sheet.polygon(outline, paint)
    sheet.polygon(
        [(0.02, belt * 0.62), (0.0, belt - 0.03), (length - 1.1, belt), (length - 0.1, belt * 0.72)], tone(paint, 1.14)
    )
    sheet.gloss(1.06, 0.72, 0.2)
    sheet.polygon([(0.06, 0.24), (0.04, 0.36), (length - 0.03, 0.34), (length - 0.02, 0.2)], tone(paint, 0.42))
    doors = (0.30 * length, 0.52 * length, 0.735 * length)
    for x in doors:
        sheet.line([(x, 0.34), (x, belt)], 0.016, tone(paint, 0.45))
    for x in doors[1:]:
        sheet.rectangle(x - 0.26, belt - 0.16, x - 0.08, belt - 0.12, tone(paint, 0.55))
    sheet.polygon(
        [
            (length - 0.42, belt - 0.22),
            (length - 0.06, belt - 0.26),
            (length - 0.05, belt - 0.38),
            (length - 0.3, belt - 0.34),
        ],
        (216, 220, 222),
    )
    sheet.polygon([(0.0, belt - 0.08), (0.24, belt - 0.1), (0.2, belt - 0.28), (0.01, belt - 0.3)], (158, 24, 26))
    for x in (0.185 * length, 0.8 * length):
        wheel(sheet, x, shape.wheel_m)
    return sheet


def _upper_side(shape: CarShape, paint: Color, px_per_m: float) -> Sketch:
    """Side windows between the pillars, from the belt line to the roof."""
    rise = shape.height_m - shape.belt_m
    sheet = Sketch(shape.length_m, rise, px_per_m)
    (x5, _), (x4, _), (x3, _), (x2, _) = shape.profile[2:6]
    sheet.polygon([(x5, 0), (x4, rise), (x3, rise), (x2, 0)], tone(paint, 0.95))
    top, bottom = rise - 0.07, 0.03

    def edge(x_low: float, x_high: float, y: float) -> float:
        return x_low + (x_high - x_low) * y / rise

    rear, front = [(edge(x5, x4, y) + 0.13, edge(x2, x3, y) - 0.1) for y in (bottom, top)], 0.52 * shape.length_m
    (rear_low, front_low), (rear_high, front_high) = rear
    sheet.polygon([(rear_low, bottom), (rear_high, top), (front_high, top), (front_low, bottom)], GLASS)
    sheet.polygon(
        [(rear_low, bottom + 0.18), (rear_high, top), (front_high, top), (front_low - 0.2, bottom + 0.18)],
        tone(GLASS, 1.35),
    )
    sheet.rectangle(front - 0.05, bottom, front + 0.05, top, tone(paint, 0.35))
    third = 0.30 * shape.length_m
    if third - rear_low > 0.35:
        sheet.rectangle(third - 0.04, bottom, third + 0.04, top, tone(paint, 0.35))
    sheet.polygon(
        [(front_low - 0.2, 0.0), (front_low - 0.2, 0.16), (front_low - 0.02, 0.14), (front_low, 0.0)], tone(paint, 0.6)
    )
    return sheet


def _ends(rng: np.random.Generator, shape: CarShape, paint: Color, px_per_m: float, ids: tuple[int, ...]) -> list[Quad]:
    """Front, bonnet, windscreen, roof, rear window, boot and rear."""
    width, half = shape.width_m, shape.width_m / 2
    roof = width * ROOF_SHARE
    p = [(x - shape.length_m / 2, y) for x, y in shape.profile]
    plain = plate_of(tone(paint, 1.1))
    front = _front(rng, shape, paint, px_per_m)
    rear = _rear(rng, shape, paint, px_per_m)
    screen = _screen(width, shape.height_m - shape.belt_m + 0.2, px_per_m, paint)
    return [
        _quad((half, p[6][1], p[6][0]), (-width, 0, 0), (0, -p[6][1], p[7][0] - p[6][0]), front, ids),
        _quad((half, p[5][1], p[5][0]), (-width, 0, 0), (0, p[6][1] - p[5][1], p[6][0] - p[5][0]), plain, ids),
        _quad((half, p[4][1], p[4][0]), (-width, 0, 0), (0, p[5][1] - p[4][1], p[5][0] - p[4][0]), screen, ids),
        _quad((-roof / 2, p[4][1], p[4][0]), (roof, 0, 0), (0, 0, p[3][0] - p[4][0]), plain, ids),
        _quad((-half, p[3][1], p[3][0]), (width, 0, 0), (0, p[2][1] - p[3][1], p[2][0] - p[3][0]), screen, ids),
        _quad((-half, p[2][1], p[2][0]), (width, 0, 0), (0, p[1][1] - p[2][1], p[1][0] - p[2][0]), plain, ids),
        _quad((-half, p[1][1], p[1][0]), (width, 0, 0), (0, -p[1][1], p[0][0] - p[1][0]), rear, ids),
    ]


def plate_of(color: Color) -> Texture:
    """A plain sheet of one colour, a little darker at its edge."""
    sheet = Sketch(1.0, 1.0, 16)
    sheet.rectangle(0, 0, 1, 1, tone(color, 0.85))
    sheet.rectangle(0.05, 0.05, 0.95, 0.95, color)
    return sheet.texture()


def _screen(width: float, height: float, px_per_m: float, paint: Color) -> Texture:
    """A windscreen or rear window: a trapezium of glass in a painted frame, seats behind it."""
    inset = width * (1 - ROOF_SHARE) / 2
    sheet = Sketch(width, height, px_per_m)
    sheet.polygon([(0, 0), (width, 0), (width - inset, height), (inset, height)], tone(paint, 0.8))
    e = 0.07
    glass = [(e + 0.02, e), (width - e - 0.02, e), (width - inset - e, height - e), (inset + e, height - e)]
    sheet.polygon(glass, tone(GLASS, 0.8))
    for x in (0.3 * width, 0.7 * width):
        sheet.ellipse((x, height * 0.42), (0.17, height * 0.26), (26, 28, 32))
    middle = (glass[0][0] + glass[3][0]) / 2
    sheet.polygon([(middle, height * 0.62), (width - middle, height * 0.62), glass[2], glass[3]], tone(GLASS, 1.45))
    return sheet.texture()


def _underside(sheet: Sketch, width: float) -> None:
    sheet.rectangle(0.16, 0.13, width - 0.16, 0.34, (18, 18, 20))
    for left in (0.05, width - 0.27):
        sheet.rectangle(left, 0.0, left + 0.22, 0.34, RUBBER)


def _rear(rng: np.random.Generator, shape: CarShape, paint: Color, px_per_m: float) -> Texture:
    width, top = shape.width_m, shape.profile[1][1]
    sheet = Sketch(width, top, px_per_m)
    _underside(sheet, width)
    sheet.polygon([(0.06, 0.26), (width - 0.06, 0.26), (width, 0.5), (width - 0.03, top), (0.03, top), (0, 0.5)], paint)
    sheet.gloss(1.12, 0.7, 0.2)
    sheet.polygon([(0.05, 0.25), (width - 0.05, 0.25), (width - 0.01, 0.42), (0.01, 0.42)], tone(paint, 0.5))
    lamp = float(rng.uniform(0.22, 0.42))
    for left, right in ((0.03, lamp), (width - lamp, width - 0.03)):
        sheet.rectangle(left, top - 0.3, right, top - 0.07, (150, 18, 20))
        sheet.rectangle(left + 0.03, top - 0.2, right - 0.03, top - 0.14, (232, 110, 84))
    sheet.line([(lamp + 0.1, 0.46), (width - lamp - 0.1, 0.46)], 0.02, tone(paint, 0.5))
    sheet.rectangle(width / 2 - 0.26, top - 0.34, width / 2 + 0.26, top - 0.22, PLATE)
    sheet.rectangle(width / 2 - 0.2, top - 0.305, width / 2 + 0.2, top - 0.255, (60, 60, 64))
    sheet.ellipse((width / 2, top - 0.13), (0.05, 0.05), (190, 192, 196))
    return sheet.texture()


def _front(rng: np.random.Generator, shape: CarShape, paint: Color, px_per_m: float) -> Texture:
    width, top = shape.width_m, shape.profile[6][1]
    sheet = Sketch(width, top, px_per_m)
    _underside(sheet, width)
    sheet.polygon(
        [(0.06, 0.22), (width - 0.06, 0.22), (width, 0.45), (width - 0.06, top), (0.06, top), (0, 0.45)], paint
    )
    sheet.gloss(1.12, 0.74, 0.2)
    sheet.rectangle(0.3, 0.24, width - 0.3, 0.36, (30, 30, 32))
    grille = float(rng.uniform(0.12, 0.24))
    sheet.rectangle(0.5, top - 0.08 - grille, width - 0.5, top - 0.06, (36, 36, 40))
    for y in np.arange(top - 0.06 - grille, top - 0.08, 0.05).tolist():
        sheet.line([(0.52, y), (width - 0.52, y)], 0.012, (140, 142, 146))
    for left, right in ((0.07, 0.44), (width - 0.44, width - 0.07)):
        sheet.polygon([(left, top - 0.24), (right, top - 0.22), (right, top - 0.07), (left, top - 0.04)], (92, 96, 100))
        sheet.ellipse(((left + right) / 2, top - 0.14), (0.1, 0.06), (246, 246, 236))
    sheet.rectangle(width / 2 - 0.26, 0.38, width / 2 + 0.26, 0.49, PLATE)
    sheet.rectangle(width / 2 - 0.2, 0.41, width / 2 + 0.2, 0.46, (60, 60, 64))
    return sheet.texture()
