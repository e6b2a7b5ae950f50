"""The vehicles and people of one drive, and how each becomes a thing on a track."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi

import numpy as np

from contextnet.data.synthetic.bodies import Flat, Solid, Thing
from contextnet.data.synthetic.cars import car
from contextnet.data.synthetic.cycles import END_M, SIDE_M, RiderLook, machine
from contextnet.data.synthetic.ids import InstanceNumbers
from contextnet.data.synthetic.large_vehicles import bus, tram, truck
from contextnet.data.synthetic.light import Light
from contextnet.data.synthetic.people import SHEET_M, Walker, clothes
from contextnet.data.synthetic.plants import soft_shadow
from contextnet.data.synthetic.quads import Quad
from contextnet.data.synthetic.shade import HouseShadow
from contextnet.data.synthetic.tracks import Track

CAR_DESIGNS = 9
LABEL_OF_KIND = {"car": "car", "truck": "truck", "bus": "bus", "tram": "train"}


@dataclass(frozen=True, eq=False)
class FleetArt:
    """Solid designs by kind."""

    solids: dict[str, tuple[Solid, ...]]


def fleet_art(seed: int, quality: float) -> FleetArt:
    """Draw the vehicles of one drive."""

    def rng(number: int) -> np.random.Generator:
        return np.random.default_rng([seed, 40, number])

    return FleetArt(
        {
            "car": tuple(car(rng(i), quality) for i in range(CAR_DESIGNS)),
            "truck": tuple(truck(rng(20 + i), quality) for i in range(2)),
            "bus": tuple(bus(rng(30 + i), quality) for i in range(2)),
            "tram": (tram(rng(40), quality),),
        }
    )


class Fleet:
    """Makes things of one drive's designs, with instance ids and shadows."""

    def __init__(
        self, rng: np.random.Generator, art: FleetArt, light: Light, shadow: HouseShadow, quality: float
    ) -> None:
        self._rng, self._art, self._light, self._shadow, self._quality = rng, art, light, shadow, quality
        self._numbers = InstanceNumbers()
        self._soft = soft_shadow()

    def vehicle(self, kind: str, track: Track) -> Thing:
        """A car, truck, bus or tram."""
        designs = self._art.solids[kind]
        ids = (self._numbers.take(LABEL_OF_KIND[kind]),)
        body = designs[int(self._rng.integers(len(designs)))].with_ids(ids)
        shaded = not track.moves and self._shadow.covers(track.along_m, track.across_m)
        if shaded:
            body = replace(body, parts=tuple(replace(part, shaded=True) for part in body.parts))
        width = 1.9 if kind == "car" else 2.6
        height = 1.4 if kind == "car" else 3.0
        return Thing(body, track, ids, self._shadows(track, width, body.radius_m * 2, 0.0 if shaded else height))

    def person(self, track: Track) -> Thing:
        """Somebody on foot."""
        ids = (self._numbers.take("person"),)
        look = Walker(clothes(self._rng), self._quality, track.moves, float(self._rng.random()))
        shaded = self._shadow.covers(track.along_m, track.across_m)
        body = Flat(*SHEET_M, look, ids, shaded=shaded)
        return Thing(body, track, ids, self._shadows(track, 0.6, 0.6, 0.0 if shaded else 1.6))

    def cycle(self, kind: str, ridden: bool, track: Track, from_side: bool = False) -> Thing:
        """A bicycle or motorcycle, with or without a rider; ``from_side`` when it is seen across its length."""
        bike = self._numbers.take(kind)
        ids = (self._numbers.take("rider"), bike) if ridden else (bike,)
        wear = clothes(self._rng) if ridden else None
        if wear is not None:
            wear = replace(wear, height_m=1.78)
        look = RiderLook(machine(self._rng, kind), wear, self._quality, from_side, float(self._rng.random()))
        size = SIDE_M if from_side else END_M
        shaded = not track.moves and self._shadow.covers(track.along_m, track.across_m)
        body = Flat(*size, look, ids, shaded=shaded)
        return Thing(body, track, ids, self._shadows(track, 0.7, 1.9, 0.0 if shaded else 1.2))

    def _shadows(self, track: Track, width: float, length: float, height: float) -> tuple[Quad, ...]:
        """One dark spot below, and one thrown away from the sun by a thing ``height`` tall."""
        under = self._spot(0.0, 0.0, width + 0.5, length + 0.5)
        if not self._light.casts_shadows or height == 0.0:
            return (under,)
        reach = 0.5 * height / self._light.sun[1]
        sign = -1.0 if abs(track.turn_rad) < pi / 2 else 1.0
        x, z = sign * self._light.sun[0] * reach, sign * self._light.sun[2] * reach
        return under, self._spot(x, z, width + 0.7 * abs(x), length + 0.7 * abs(z))

    def _spot(self, x: float, z: float, width: float, length: float) -> Quad:
        origin = (x - width / 2, 0.0, z + length / 2)
        return Quad(origin, (width, 0, 0), (0, 0, -length), self._soft, (0,), decal=True)
