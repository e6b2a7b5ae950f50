"""Pictures of house fronts, gables and roofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from contextnet.data.synthetic.noise import fractal_noise
from contextnet.data.synthetic.sketch import Color, tone
from contextnet.data.synthetic.texture import Texture, opaque, with_opacity

PX_PER_M = 44.0
GROUND_FLOOR_M = 3.7

_PLASTER: tuple[Color, ...] = (
    (206, 190, 158), (196, 172, 130), (178, 176, 170), (222, 216, 204), (170, 148, 128),
    (186, 196, 180), (206, 174, 158), (150, 132, 116), (198, 196, 202), (214, 200, 150),
)  # fmt: skip
_BRICK: tuple[Color, ...] = ((142, 84, 66), (124, 70, 58), (160, 104, 78), (112, 86, 74))
_ROOF: tuple[Color, ...] = ((128, 66, 48), (92, 84, 84), (112, 74, 58), (72, 72, 80))
_AWNING: tuple[Color, ...] = ((150, 38, 40), (34, 84, 62), (36, 58, 110), (190, 150, 60), (96, 96, 100))


@dataclass(frozen=True, eq=False)
class HouseArt:
    """The textures of one house and its measures in metres; the gable is as wide as the house is deep."""

    front: Texture
    gable: Texture
    roof: Texture
    width_m: float
    height_m: float
    depth_m: float
    roof_m: float


def house_art(rng: np.random.Generator, quality: float) -> HouseArt:
    """Draw one house: old town house in plaster or brick, or a modern one with bands of glass."""
    floors = int(rng.choice([2, 3, 4, 5, 6], p=[0.2, 0.3, 0.26, 0.16, 0.08]))
    modern = bool(rng.random() < 0.24)
    floor_m = float(rng.uniform(2.9, 3.5))
    width_m = float(rng.uniform(9, 17) if not modern else rng.uniform(14, 24))
    height_m = GROUND_FLOOR_M + (floors - 1) * floor_m + 0.5
    brick = not modern and bool(rng.random() < 0.3)
    wall = (_BRICK if brick else _PLASTER)[int(rng.integers(len(_BRICK if brick else _PLASTER)))]
    wall = tone([c + float(rng.normal(0, 7)) for c in wall], float(rng.uniform(0.8, 1.08)))
    roof_m = 0.0 if modern else float(rng.uniform(2.0, 4.2))
    depth_m = float(rng.uniform(9, 13))
    sheet = _Front(rng, wall, width_m, height_m, PX_PER_M * quality, brick)
    if modern:
        sheet.bands(floors, floor_m)
    else:
        sheet.windows(floors, floor_m)
    sheet.ground_floor(shop=bool(rng.random() < 0.5))
    sheet.cornice()
    return HouseArt(
        front=opaque(sheet.finished()),
        gable=_gable(rng, wall, depth_m, height_m, roof_m, PX_PER_M * 0.4 * quality),
        roof=_roof(rng, quality),
        width_m=width_m,
        height_m=height_m,
        depth_m=depth_m,
        roof_m=roof_m,
    )


class _Front:
    """A house front in work; coordinates in metres from the lower left corner."""

    def __init__(
        self, rng: np.random.Generator, wall: Color, width_m: float, height_m: float, px_per_m: float, brick: bool
    ) -> None:
        self._rng = rng
        # Grain has its own generator: how much of it is drawn depends on the resolution, the windows must not.
        self._grain_rng = np.random.default_rng(int(rng.integers(2**32)))
        self._wall = wall
        self._width_m, self._height_m, self._px = width_m, height_m, px_per_m
        size_hw = (max(8, round(height_m * px_per_m)), max(8, round(width_m * px_per_m)))
        self._image = Image.fromarray(_wall_surface(self._grain_rng, size_hw, wall, px_per_m, brick))
        self._draw = ImageDraw.Draw(self._image)
        self._trim = tone(wall, float(rng.choice([0.72, 1.16, 1.3]))) if rng.random() < 0.6 else (226, 222, 212)
        self._frame: Color = (232, 230, 226) if rng.random() < 0.7 else (74, 58, 48)

    def box(self, left: float, bottom: float, right: float, top: float, color: Color) -> None:
        """Fill a rectangle."""
        height = self._image.height
        x0, x1 = round(left * self._px), round(right * self._px) - 1
        y0, y1 = height - round(top * self._px), height - round(bottom * self._px) - 1
        self._draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), fill=color)

    def windows(self, floors: int, floor_m: float) -> None:
        """Rows of single windows, some with balconies or shutters."""
        rng = self._rng
        bays = max(2, int(self._width_m / rng.uniform(2.1, 3.0)))
        pitch = self._width_m / bays
        wide, tall = min(pitch * 0.6, float(rng.uniform(1.0, 1.5))), float(rng.uniform(1.45, 2.0))
        balconies = bool(rng.random() < 0.3)
        shutters: Color | None = tone((70, 96, 78), float(rng.uniform(0.6, 1.5))) if rng.random() < 0.2 else None
        for floor in range(1, floors):
            bottom = GROUND_FLOOR_M + (floor - 1) * floor_m + 0.85
            self.box(0, bottom - 0.95, self._width_m, bottom - 0.83, tone(self._wall, 0.82))
            self.box(0, bottom - 0.83, self._width_m, bottom - 0.76, self._trim)
            for bay in range(bays):
                centre = (bay + 0.5) * pitch
                if shutters is not None:
                    self.box(centre - wide, bottom, centre - wide / 2, bottom + tall, shutters)
                    self.box(centre + wide / 2, bottom, centre + wide, bottom + tall, shutters)
                self._window(centre - wide / 2, bottom, centre + wide / 2, bottom + tall)
                if balconies and bay % 2 == floor % 2:
                    self._balcony(centre, bottom - 0.5, min(pitch * 0.48, wide))

    def _window(self, left: float, bottom: float, right: float, top: float) -> None:
        self.box(left - 0.12, bottom - 0.1, right + 0.12, top + 0.14, self._trim)
        self.box(left - 0.16, bottom - 0.16, right + 0.16, bottom - 0.08, tone(self._trim, 1.1))
        self.box(left - 0.16, bottom - 0.24, right + 0.16, bottom - 0.16, tone(self._wall, 0.62))
        self.box(left, bottom, right, top, self._frame)
        middle = (left + right) / 2
        self._glass(left + 0.06, bottom + 0.06, middle - 0.03, top - 0.06)
        self._glass(middle + 0.03, bottom + 0.06, right - 0.06, top - 0.06)
        self.box(left, top - 0.1, right, top, tone(self._wall, 0.5))

    def _glass(self, left: float, bottom: float, right: float, top: float) -> None:
        rng = self._rng
        dark = float(rng.uniform(0.7, 1.35))
        steps = 5
        for step in range(steps):
            share = step / (steps - 1)
            color = tone((44 + 46 * share, 54 + 52 * share, 64 + 58 * share), dark)
            self.box(
                left, bottom + (top - bottom) * step / steps, right, bottom + (top - bottom) * (step + 1) / steps, color
            )
        kind = rng.random()
        if kind < 0.3:
            self.box(left, bottom, left + (right - left) * 0.3, top, (172, 166, 154))
        elif kind < 0.42:
            self.box(left, top - (top - bottom) * float(rng.uniform(0.3, 0.9)), right, top, (196, 190, 178))

    def _balcony(self, centre: float, bottom: float, half: float) -> None:
        iron = (58, 58, 62)
        self.box(centre - half, bottom - 0.14, centre + half, bottom, tone(self._wall, 0.7))
        self.box(centre - half, bottom + 0.92, centre + half, bottom + 1.0, iron)
        for x in np.arange(centre - half, centre + half, 0.16).tolist():
            self.box(x, bottom, x + 0.04, bottom + 0.95, iron)

    def bands(self, floors: int, floor_m: float) -> None:
        """Bands of glass between bands of wall, as offices have."""
        rng = self._rng
        pane = float(rng.uniform(1.2, 2.2))
        share = float(rng.uniform(0.5, 0.8))
        for floor in range(1, floors):
            bottom = GROUND_FLOOR_M + (floor - 1) * floor_m + 0.4
            top = bottom + floor_m * share
            self.box(0.3, bottom - 0.08, self._width_m - 0.3, top + 0.08, tone(self._wall, 0.6))
            for left in np.arange(0.3, self._width_m - 0.3, pane).tolist():
                self._glass(left + 0.05, bottom, min(left + pane - 0.03, self._width_m - 0.3), top)

    def ground_floor(self, shop: bool) -> None:
        """A shop with sign and awning, or a door between ordinary windows; a plinth below."""
        rng = self._rng
        self.box(0, 0, self._width_m, 0.5, tone(self._wall, 0.58))
        door = float(rng.uniform(0.15, 0.75)) * self._width_m
        if shop:
            color = _AWNING[int(rng.integers(len(_AWNING)))]
            for left in np.arange(0.5, self._width_m - 2.4, 3.1).tolist():
                self.box(left - 0.08, 0.4, left + 2.68, 2.78, tone(color, 0.5))
                self._glass(left, 0.5, left + 2.6, 2.7)
                if rng.random() < 0.6:
                    self.box(left + 0.2, 0.6, left + 2.3, 1.2, tone((200, 170, 130), float(rng.uniform(0.4, 1.1))))
            self.box(0.3, 2.85, self._width_m - 0.3, 3.45, color)
            for left in np.arange(0.9, self._width_m - 1.2, 0.42).tolist():
                if rng.random() < 0.55:
                    self.box(left, 3.02, left + 0.28, 3.3, (236, 232, 220))
        else:
            for left in np.arange(0.8, self._width_m - 1.6, 2.6).tolist():
                if abs(left + 0.6 - door) > 1.5:
                    self._window(left, 1.15, left + 1.2, 2.75)
        self.box(door - 0.72, 0, door + 0.72, 2.62, self._trim)
        self.box(door - 0.55, 0.08, door + 0.55, 2.45, tone((96, 66, 48), float(rng.uniform(0.5, 1.4))))
        self._glass(door - 0.3, 1.5, door + 0.3, 2.3)

    def cornice(self) -> None:
        """The upper edge with its shadow."""
        top = self._height_m
        self.box(0, top - 0.42, self._width_m, top - 0.3, tone(self._wall, 0.55))
        self.box(0, top - 0.3, self._width_m, top, self._trim)
        self.box(0, 0, 0.1, top, tone(self._wall, 0.78))

    def finished(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """The picture, uint8 (H, W, 3), dirtier and darker towards the ground."""
        pixels = np.asarray(self._image, np.float32)
        height = pixels.shape[0]
        up_m = (height - np.arange(height)) / self._px
        grime = 1 - 0.2 * np.exp(-up_m / 1.2)
        stains = 0.93 + 0.14 * fractal_noise(self._grain_rng, pixels.shape[:2], 3, 5)
        aged = np.clip(pixels * (grime[:, None] * stains)[..., None], 0, 255)
        return np.asarray(aged, np.uint8)


def _wall_surface(
    rng: np.random.Generator, size_hw: tuple[int, int], wall: Color, px_per_m: float, brick: bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = size_hw
    factor = 1 + 0.05 * rng.standard_normal(size_hw, dtype=np.float32)
    if brick:
        course, length = max(2, round(0.12 * px_per_m)), max(4, round(0.3 * px_per_m))
        rows, columns = np.mgrid[0:height, 0:width]
        shifted = columns + rows // course % 2 * (length // 2)
        stones = rng.uniform(0.78, 1.18, (height // course + 1, width // length + 2)).astype(np.float32)
        factor *= stones[rows // course, shifted // length]
        joint = (rows % course == 0) | (shifted % length == 0)
        factor = np.where(joint, 1.16, factor)
    return np.clip(np.array(wall, np.float32) * factor[..., None], 0, 255).astype(np.uint8)


def _gable(
    rng: np.random.Generator, wall: Color, depth_m: float, height_m: float, roof_m: float, px_per_m: float
) -> Texture:
    """A side wall with its triangle under the roof and a few small windows."""
    size = (max(4, round(depth_m * px_per_m)), max(4, round((height_m + roof_m) * px_per_m)))
    noise = 0.9 + 0.2 * fractal_noise(rng, (size[1], size[0]), 3, 4)
    pixels = np.clip(np.array(tone(wall, 0.94), np.float32) * noise[..., None], 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for bottom in np.arange(1.2, height_m - 2, 3.1).tolist():
        for left in (depth_m * 0.25, depth_m * 0.65):
            if rng.random() < 0.6:
                y0 = size[1] - (bottom + 1.5) * px_per_m
                x0 = left * px_per_m
                draw.rectangle(
                    (x0, y0, x0 + px_per_m * 1.0, y0 + px_per_m * 1.5), fill=(62, 70, 80), outline=(214, 210, 202)
                )
    shape = Image.new("L", size, 0)
    eaves = roof_m * px_per_m
    ImageDraw.Draw(shape).polygon(
        [(0, eaves), (size[0] / 2, 0), (size[0], eaves), (size[0], size[1]), (0, size[1])], fill=255
    )
    return Texture(with_opacity(np.asarray(picture), np.asarray(shape)))


def _roof(rng: np.random.Generator, quality: float) -> Texture:
    """Rows of tiles, with a window or two."""
    height, width = max(16, round(120 * quality)), max(32, round(320 * quality))
    color = np.array(_ROOF[int(rng.integers(len(_ROOF)))], np.float32)
    rows = np.arange(height)[:, None]
    factor = 0.8 + 0.3 * (rows % max(2, height // 24)) / max(1, height // 24) + 0.12 * rng.random((height, width))
    picture = Image.fromarray(np.clip(color * factor[..., None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for share in (0.2, 0.5, 0.8):
        if rng.random() < 0.5:
            x, y = share * width, 0.35 * height
            draw.rectangle((x, y, x + 0.06 * width, y + 0.35 * height), fill=(70, 82, 96), outline=(200, 198, 192))
    return opaque(np.asarray(picture.filter(ImageFilter.BoxBlur(0.5))))
