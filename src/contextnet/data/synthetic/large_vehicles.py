"""Buses, lorries and trams: boxes with drawn sides, fronts and rears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.synthetic.bodies import Solid
from contextnet.data.synthetic.cars import GLASS, PLATE, RUBBER, plate_of, wheel
from contextnet.data.synthetic.quads import Quad
from contextnet.data.synthetic.sketch import Color, Sketch, tone
from contextnet.data.synthetic.texture import Texture

PX_PER_M = 64.0

_BUS: tuple[Color, ...] = ((196, 168, 48), (178, 34, 38), (62, 108, 66), (206, 208, 210), (44, 84, 148), (210, 120, 40))
_TRAM: tuple[Color, ...] = ((198, 182, 62), (170, 30, 40), (214, 214, 208), (52, 110, 104), (58, 92, 148))
_CAB: tuple[Color, ...] = ((212, 212, 210), (172, 40, 36), (44, 78, 140), (222, 160, 50), (70, 74, 80), (60, 110, 76))
_LOAD: tuple[Color, ...] = (
    (222, 222, 218),
    (196, 196, 190),
    (60, 92, 146),
    (150, 52, 46),
    (196, 158, 66),
    (86, 116, 84),
)


@dataclass(frozen=True)
class _Box:
    """Where one box of a vehicle stands: z range along the vehicle, width, lower and upper edge, in metres."""

    back: float
    front: float
    width: float
    bottom: float
    top: float


def _walls(box: _Box, side: Sketch, front: Texture, rear: Texture, roof: Color) -> list[Quad]:
    half, length, height = box.width / 2, box.front - box.back, box.top - box.bottom
    return [
        Quad((half, box.top, box.back), (0, 0, length), (0, -height, 0), side.texture(), (0,)),
        Quad((-half, box.top, box.front), (0, 0, -length), (0, -height, 0), side.texture(mirrored=True), (0,)),
        Quad((half, box.top, box.front), (-box.width, 0, 0), (0, -height, 0), front, (0,)),
        Quad((-half, box.top, box.back), (box.width, 0, 0), (0, -height, 0), rear, (0,)),
        Quad((-half, box.top, box.front), (box.width, 0, 0), (0, 0, -length), plate_of(roof), (0,)),
    ]


def bus(rng: np.random.Generator, quality: float) -> Solid:
    """A city bus: high windows all round, doors, a lit destination above the front window."""
    paint = tone(_BUS[int(rng.integers(len(_BUS)))], float(rng.uniform(0.85, 1.1)))
    length, width, height = float(rng.uniform(10.5, 12.5)), 2.5, float(rng.uniform(2.95, 3.15))
    band = tone(paint, 0.5) if rng.random() < 0.5 else (224, 224, 220)
    box = _Box(-length / 2, length / 2, width, 0.0, height)
    side = _bus_side(rng, length, height, paint, band, PX_PER_M * quality)
    front = _bus_front(width, height, paint, PX_PER_M * 1.4 * quality)
    rear = _bus_rear(width, height, paint, band, PX_PER_M * 1.4 * quality)
    return Solid(tuple(_walls(box, side, front, rear, tone(paint, 0.9))), length / 2)


def _bus_side(rng: np.random.Generator, length: float, height: float, paint: Color, band: Color, px: float) -> Sketch:
    sheet = Sketch(length, height, px)
    sheet.polygon(
        [
            (0.05, 0.32),
            (length, 0.32),
            (length, height - 0.25),
            (length - 0.2, height),
            (0.1, height),
            (0, height - 0.2),
        ],
        paint,
    )
    sheet.rectangle(0.0, 0.32, length, 0.55, tone(paint, 0.45))
    sheet.rectangle(0.0, 0.98, length, 1.14, band)
    sheet.rectangle(0.35, 1.25, length - 0.1, height - 0.42, (24, 26, 30))
    for left in np.arange(0.5, length - 1.3, 1.45).tolist():
        sheet.rectangle(left, 1.3, left + 1.36, height - 0.48, GLASS)
        sheet.rectangle(left, 1.95, left + 1.36, height - 0.48, tone(GLASS, 1.4))
        if rng.random() < 0.4:
            sheet.ellipse((left + 0.6, 1.55), (0.13, 0.17), (92, 74, 66))
            sheet.rectangle(left + 0.38, 1.3, left + 0.82, 1.42, (60, 52, 60))
    for x in (0.13, 0.47, 0.83):
        sheet.rectangle(x * length, 0.36, x * length + 1.1, height - 0.44, (30, 32, 36))
        for left in (x * length + 0.07, x * length + 0.58):
            sheet.rectangle(left, 0.48, left + 0.45, height - 0.52, tone(GLASS, 1.15))
    for x in (0.24 * length, 0.72 * length):
        wheel(sheet, x, 0.48)
    sheet.rectangle(length - 0.12, 0.7, length, 0.95, (228, 226, 214))
    return sheet


def _bus_front(width: float, height: float, paint: Color, px: float) -> Texture:
    sheet = Sketch(width, height, px)
    for left in (0.1, width - 0.42):
        sheet.rectangle(left, 0, left + 0.32, 0.5, RUBBER)
    sheet.polygon(
        [
            (0.03, 0.28),
            (width - 0.03, 0.28),
            (width, height - 0.2),
            (width - 0.15, height),
            (0.15, height),
            (0, height - 0.2),
        ],
        paint,
    )
    sheet.gloss(1.1, 0.78)
    sheet.rectangle(0.1, 1.12, width - 0.1, height - 0.12, (22, 24, 28))
    sheet.rectangle(0.16, 1.18, width - 0.16, height - 0.55, GLASS)
    sheet.polygon(
        [(0.16, 1.9), (width - 0.16, 2.2), (width - 0.16, height - 0.55), (0.16, height - 0.55)], tone(GLASS, 1.5)
    )
    sheet.ellipse((width * 0.7, 1.55), (0.16, 0.2), (112, 84, 70))
    sheet.rectangle(width * 0.7 - 0.28, 1.18, width * 0.7 + 0.28, 1.4, (50, 60, 84))
    sheet.rectangle(0.4, height - 0.46, width - 0.4, height - 0.18, (12, 12, 12))
    for left in np.arange(0.55, width - 0.6, 0.2).tolist():
        sheet.rectangle(left, height - 0.4, left + 0.12, height - 0.24, (255, 176, 40))
    for x in (0.3, width - 0.3):
        sheet.ellipse((x, 0.72), (0.17, 0.1), (244, 244, 232))
    sheet.rectangle(0.05, 0.28, width - 0.05, 0.5, tone(paint, 0.45))
    sheet.rectangle(width / 2 - 0.26, 0.36, width / 2 + 0.26, 0.48, PLATE)
    return sheet.texture()


def _bus_rear(width: float, height: float, paint: Color, band: Color, px: float) -> Texture:
    sheet = Sketch(width, height, px)
    for left in (0.1, width - 0.5):
        sheet.rectangle(left, 0, left + 0.4, 0.5, RUBBER)
    sheet.polygon(
        [
            (0.03, 0.32),
            (width - 0.03, 0.32),
            (width, height - 0.2),
            (width - 0.15, height),
            (0.15, height),
            (0, height - 0.2),
        ],
        paint,
    )
    sheet.gloss(1.08, 0.76)
    sheet.rectangle(0.0, 0.98, width, 1.14, band)
    sheet.rectangle(0.25, 1.55, width - 0.25, height - 0.4, (24, 26, 30))
    sheet.rectangle(0.32, 1.62, width - 0.32, height - 0.46, tone(GLASS, 1.1))
    for y in np.arange(0.56, 0.95, 0.08).tolist():
        sheet.line([(0.6, y), (width - 0.6, y)], 0.03, tone(paint, 0.5))
    for x in (0.12, width - 0.3):
        sheet.rectangle(x, 0.6, x + 0.18, 1.4, (168, 26, 26))
        sheet.rectangle(x, 0.86, x + 0.18, 1.02, (240, 150, 60))
    sheet.rectangle(width / 2 - 0.26, 0.4, width / 2 + 0.26, 0.52, PLATE)
    return sheet.texture()


def tram(rng: np.random.Generator, quality: float) -> Solid:
    """A tram: long, low, rounded at both ends, with its bow on the roof."""
    paint = tone(_TRAM[int(rng.integers(len(_TRAM)))], float(rng.uniform(0.85, 1.08)))
    length, width, height = float(rng.uniform(17, 24)), 2.4, float(rng.uniform(3.3, 3.5))
    box = _Box(-length / 2, length / 2, width, 0.0, height)
    side = _tram_side(length, height, paint, PX_PER_M * quality)
    end = _tram_end(width, height, paint, PX_PER_M * 1.4 * quality)
    bow = Sketch(2.4, 1.2, PX_PER_M * quality)
    bow.line([(0.2, 0.0), (1.6, 0.55), (0.5, 1.15)], 0.07, (54, 54, 58))
    bow.line([(0.1, 1.15), (1.1, 1.15)], 0.06, (54, 54, 58))
    parts = _walls(box, side, end, end, tone(paint, 0.8))
    for sign in (1, -1):
        parts.append(Quad((0, height + 1.2, -1.2 * sign), (0, 0, 2.4 * sign), (0, -1.2, 0), bow.texture(), (0,)))
    return Solid(tuple(parts), length / 2)


def _tram_side(length: float, height: float, paint: Color, px: float) -> Sketch:
    sheet = Sketch(length, height, px)
    sheet.polygon(
        [
            (0.1, 0.14),
            (length - 0.1, 0.14),
            (length, 0.5),
            (length, height - 0.2),
            (length - 0.2, height),
            (0.2, height),
            (0, height - 0.2),
            (0, 0.5),
        ],
        paint,
    )
    sheet.rectangle(0.1, 0.14, length - 0.1, 0.42, (58, 58, 62))
    sheet.rectangle(0.2, height - 0.4, length - 0.2, height, (196, 196, 192))
    sheet.rectangle(0.1, 1.15, length - 0.1, height - 0.5, (20, 22, 26))
    for left in np.arange(0.7, length - 1.6, 1.55).tolist():
        sheet.rectangle(left, 1.22, left + 1.45, height - 0.56, tone(GLASS, 0.95))
        sheet.rectangle(left, 2.0, left + 1.45, height - 0.56, tone(GLASS, 1.4))
    for share in (0.16, 0.38, 0.62, 0.84):
        x = share * length - 0.7
        sheet.rectangle(x, 0.4, x + 1.4, height - 0.52, tone(paint, 0.62))
        for left in (x + 0.08, x + 0.74):
            sheet.rectangle(left, 0.55, left + 0.58, height - 0.62, tone(GLASS, 1.2))
    for share in (0.335, 0.665):
        sheet.rectangle(share * length - 0.3, 0.2, share * length + 0.3, height - 0.1, (40, 40, 44))
        for fold in np.arange(-0.25, 0.3, 0.12).tolist():
            sheet.line([(share * length + fold, 0.25), (share * length + fold, height - 0.15)], 0.03, (66, 66, 70))
    return sheet


def _tram_end(width: float, height: float, paint: Color, px: float) -> Texture:
    sheet = Sketch(width, height, px)
    sheet.rectangle(0.3, 0.05, width - 0.3, 0.4, (30, 30, 32))
    sheet.polygon(
        [
            (0.12, 0.2),
            (width - 0.12, 0.2),
            (width, 0.5),
            (width, height - 0.3),
            (width - 0.25, height),
            (0.25, height),
            (0, height - 0.3),
            (0, 0.5),
        ],
        paint,
    )
    sheet.gloss(1.08, 0.78)
    sheet.polygon(
        [(0.2, 1.15), (width - 0.2, 1.15), (width - 0.22, height - 0.55), (0.22, height - 0.55)], (24, 26, 30)
    )
    sheet.polygon([(0.28, 1.22), (width - 0.28, 1.22), (width - 0.3, height - 0.62), (0.3, height - 0.62)], GLASS)
    sheet.polygon(
        [(0.28, 2.0), (width - 0.28, 2.25), (width - 0.3, height - 0.62), (0.3, height - 0.62)], tone(GLASS, 1.5)
    )
    sheet.rectangle(0.6, height - 0.48, width - 0.6, height - 0.2, (12, 12, 12))
    for left in np.arange(0.75, width - 0.8, 0.2).tolist():
        sheet.rectangle(left, height - 0.42, left + 0.12, height - 0.26, (255, 186, 60))
    for x in (0.4, width - 0.4):
        sheet.ellipse((x, 0.78), (0.14, 0.14), (240, 240, 226))
    sheet.ellipse((width / 2, height - 0.07), (0.1, 0.06), (236, 236, 220))
    sheet.rectangle(width / 2 - 0.3, 0.3, width / 2 + 0.3, 0.42, (60, 60, 62))
    return sheet.texture()


def truck(rng: np.random.Generator, quality: float) -> Solid:
    """A lorry: cab in front, box or tarpaulin behind, wheels and chassis visible below."""
    cab = tone(_CAB[int(rng.integers(len(_CAB)))], float(rng.uniform(0.85, 1.1)))
    load = tone(_LOAD[int(rng.integers(len(_LOAD)))], float(rng.uniform(0.85, 1.05)))
    length, width = float(rng.uniform(6.5, 9.5)), 2.4
    cab_top, load_top = float(rng.uniform(2.5, 2.9)), float(rng.uniform(3.0, 3.6))
    cab_back = length / 2 - float(rng.uniform(1.7, 2.1))
    px = PX_PER_M * quality
    cab_box = _Box(cab_back, length / 2, width - 0.1, 0.0, cab_top)
    load_box = _Box(-length / 2, cab_back - 0.25, width, 0.0, load_top)
    cab_side = _cab_side(cab_box, cab, px * 1.2)
    load_side = _load_side(rng, load_box, load, px)
    plain = plate_of(tone(cab, 0.7))
    parts = _walls(cab_box, cab_side, _cab_front(cab_box, cab, px * 1.4), plain, tone(cab, 0.9))
    parts += _walls(load_box, load_side, _load_front(load_box, load, px), _load_rear(load_box, load, px * 1.4), load)
    return Solid(tuple(parts), length / 2)


def _cab_side(box: _Box, paint: Color, px: float) -> Sketch:
    length, top = box.front - box.back, box.top
    sheet = Sketch(length, top, px)
    sheet.polygon(
        [(0, 0.5), (length, 0.4), (length, 1.3), (length - 0.22, top - 0.1), (length - 0.4, top), (0, top)], paint
    )
    sheet.rectangle(0, 0.42, length, 0.7, tone(paint, 0.5))
    sheet.polygon([(0.35, 1.35), (length - 0.2, 1.35), (length - 0.42, top - 0.25), (0.35, top - 0.25)], GLASS)
    sheet.line([(0.25, 0.7), (0.25, top - 0.15)], 0.025, tone(paint, 0.5))
    sheet.rectangle(length - 0.3, 1.3, length - 0.12, 1.95, (30, 30, 32))
    wheel(sheet, length * 0.48, 0.46)
    return sheet


def _cab_front(box: _Box, paint: Color, px: float) -> Texture:
    width, top = box.width, box.top
    sheet = Sketch(width, top, px)
    for left in (0.08, width - 0.4):
        sheet.rectangle(left, 0, left + 0.32, 0.5, RUBBER)
    sheet.polygon([(0.02, 0.34), (width - 0.02, 0.34), (width, 1.3), (width - 0.1, top), (0.1, top), (0, 1.3)], paint)
    sheet.gloss(1.1, 0.75)
    sheet.polygon([(0.12, 1.32), (width - 0.12, 1.32), (width - 0.2, top - 0.28), (0.2, top - 0.28)], (28, 30, 34))
    sheet.polygon([(0.2, 1.4), (width - 0.2, 1.4), (width - 0.26, top - 0.34), (0.26, top - 0.34)], GLASS)
    sheet.polygon([(0.2, 1.8), (width - 0.2, 2.0), (width - 0.26, top - 0.34), (0.26, top - 0.34)], tone(GLASS, 1.5))
    for y in np.arange(0.78, 1.22, 0.1).tolist():
        sheet.rectangle(0.5, y, width - 0.5, y + 0.055, (34, 34, 38))
    sheet.rectangle(0.03, 0.34, width - 0.03, 0.66, tone(paint, 0.5))
    for x in (0.28, width - 0.28):
        sheet.ellipse((x, 0.52), (0.18, 0.1), (240, 240, 230))
    sheet.rectangle(width / 2 - 0.26, 0.4, width / 2 + 0.26, 0.52, PLATE)
    return sheet.texture()


def _load_side(rng: np.random.Generator, box: _Box, paint: Color, px: float) -> Sketch:
    length, top = box.front - box.back, box.top
    sheet = Sketch(length, top, px)
    sheet.rectangle(0.1, 0.62, length, 0.92, (44, 44, 48))
    sheet.rectangle(0, 0.9, length, top, paint)
    sheet.rectangle(0, 0.9, length, 1.0, (120, 122, 124))
    sheet.rectangle(0, top - 0.08, length, top, (134, 136, 138))
    for x in np.arange(0.6, length, 0.75).tolist():
        sheet.line([(x, 1.0), (x, top - 0.1)], 0.025, tone(paint, 0.86))
    if rng.random() < 0.6:
        mark = tone(paint, 0.55) if sum(paint) > 400 else (226, 226, 220)
        sheet.ellipse((length * 0.3, top * 0.62), (0.5, 0.5), mark)
        sheet.rectangle(length * 0.3 + 0.7, top * 0.62 - 0.22, length * 0.8, top * 0.62 + 0.22, mark)
    sheet.rectangle(length * 0.45, 0.38, length * 0.7, 0.66, (62, 62, 66))
    for x in (0.16 * length, 0.16 * length + 1.05):
        wheel(sheet, x, 0.46)
    return sheet


def _load_front(box: _Box, paint: Color, px: float) -> Texture:
    sheet = Sketch(box.width, box.top, px)
    sheet.rectangle(0, 0.9, box.width, box.top, tone(paint, 0.85))
    return sheet.texture()


def _load_rear(box: _Box, paint: Color, px: float) -> Texture:
    width, top = box.width, box.top
    sheet = Sketch(width, top, px)
    for left in (0.06, width - 0.56):
        sheet.rectangle(left, 0, left + 0.5, 0.7, RUBBER)
    sheet.rectangle(0.1, 0.5, width - 0.1, 0.95, (38, 38, 42))
    sheet.rectangle(0, 0.9, width, top, (128, 130, 132))
    sheet.rectangle(0.09, 1.0, width - 0.09, top - 0.1, paint)
    sheet.line([(width / 2, 1.0), (width / 2, top - 0.1)], 0.03, tone(paint, 0.5))
    for x in (width * 0.36, width * 0.44, width * 0.56, width * 0.64):
        sheet.line([(x, 1.02), (x, top - 0.12)], 0.03, (168, 170, 172))
    for left in (0.14, width - 0.54):
        sheet.rectangle(left, 0.66, left + 0.4, 0.82, (170, 24, 24))
    sheet.rectangle(width / 2 - 0.26, 0.66, width / 2 + 0.26, 0.78, PLATE)
    for left in np.arange(0.1, width - 0.3, 0.5).tolist():
        sheet.rectangle(left, 0.52, left + 0.25, 0.6, (206, 40, 36))
        sheet.rectangle(left + 0.25, 0.52, left + 0.5, 0.6, (228, 228, 222))
    return sheet.texture()
