"""A street's cross-section: which strip lies where, from house to house."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from contextnet.data.synthetic.bend import Bend, bend_for
from contextnet.data.synthetic.character import Character, Edge


class Surface(IntEnum):
    """What the ground is made of."""

    ASPHALT = 0
    MARKING = 1
    CURB = 2
    PAVING = 3
    GRASS = 4
    COBBLES = 5
    RAIL = 6
    CYCLE_LANE = 7


@dataclass(frozen=True)
class Strip:
    """The ground between two distances from the middle line; ``start_m`` < ``end_m``, to the right positive."""

    start_m: float
    end_m: float
    surface: Surface


@dataclass(frozen=True)
class Side:
    """One side of the street. All distances are from the middle line outwards, in metres, positive.

    A distance that is None says that this side has no such thing.
    """

    sign: int
    lane_m: float
    track_m: float | None
    parking_m: float | None
    curb_m: float
    lawn: tuple[float, float] | None
    pavement: tuple[float, float]
    garden: tuple[float, float] | None
    house_m: float


@dataclass(frozen=True)
class Plan:
    """The layout of one drive's street.

    ``left`` carries the oncoming traffic, ``right`` the camera's own. ``junctions`` are the stretches (start, end)
    along the street where another street crosses.
    """

    bend: Bend
    left: Side
    right: Side
    strips: tuple[Strip, ...]
    junctions: tuple[tuple[float, float], ...]
    dashed: bool
    length_m: float

    def blocked(self, along_m: float, margin_m: float = 0.0) -> bool:
        """Whether ``along_m`` lies in a junction or within ``margin_m`` of one."""
        return any(start - margin_m < along_m < end + margin_m for start, end in self.junctions)


BEHIND_M = 24.0
AHEAD_M = 290.0


def plan_for(rng: np.random.Generator, path_m: float, character: Character) -> Plan:
    """Draw a street long enough for a path of ``path_m`` metres and the view beyond its end."""
    lane_width = character.breadth * float(rng.uniform(2.75, 3.4))
    lawn_sign = -1 if rng.random() < 0.15 else 1
    sides: list[Side] = []
    strips: list[Strip] = []
    for sign in (-1, 1):
        has_lawn = lawn_sign == sign or bool(rng.random() < 0.3)
        side, own = _side(rng, sign, lane_width, sign < 0 and character.tram, has_lawn and character.green, character)
        sides.append(side)
        strips += own
    junctions = []
    start = float(rng.uniform(22, 46))
    while start < path_m + AHEAD_M:
        width = float(rng.uniform(8, 13))
        junctions.append((start, start + width))
        start += width + float(rng.uniform(48, 90))
    bend = bend_for(rng)
    dashed = bool(rng.random() < 0.75)
    return Plan(bend, sides[0], sides[1], tuple(strips), tuple(junctions), dashed, path_m + AHEAD_M)


def _side(
    rng: np.random.Generator, sign: int, lane_width: float, has_track: bool, has_lawn: bool, character: Character
) -> tuple[Side, list[Strip]]:
    """Draw one side from the middle line outwards; strips come with signed distances."""
    at = 0.0
    strips: list[Strip] = []

    def lay(width: float, surface: Surface) -> float:
        nonlocal at
        near, at = at, at + width
        strips.append(Strip(min(sign * near, sign * at), max(sign * near, sign * at), surface))
        return near + width / 2

    lane = lay(lane_width, Surface.ASPHALT)
    track = None
    if has_track:
        track = _lay_track(lay, Surface(int(rng.choice([Surface.ASPHALT, Surface.ASPHALT, Surface.GRASS]))))
    elif rng.random() < 0.3:
        lay(0.12, Surface.MARKING)
        lay(float(rng.uniform(1.3, 1.8)), Surface(int(rng.choice([Surface.ASPHALT, Surface.CYCLE_LANE]))))
    parking = None
    if rng.random() < (0.1 if has_track else 0.4):
        parking = lay(float(rng.uniform(2.1, 2.5)), Surface(int(rng.choice([Surface.ASPHALT, Surface.COBBLES]))))
    curb = at
    lay(0.18, Surface.CURB)
    lawn = None
    outside = bool(rng.random() < 0.5)
    if has_lawn and outside:
        lawn_start = at
        lay(float(rng.uniform(1.4, 3.0)), Surface.GRASS)
        lawn = (lawn_start, at)
    pavement_start = at
    lay(character.pavement * float(rng.uniform(2.6, 5.2)), Surface.PAVING)
    pavement = (pavement_start, at)
    if has_lawn and not outside:
        lawn_start = at
        lay(float(rng.uniform(2.0, 4.5)), Surface.GRASS)
        lawn = (lawn_start, at)
    garden = None
    if rng.random() < 0.5 and character.green:
        garden_start = at
        lay(float(rng.uniform(1.5, 5.0)), Surface.GRASS)
        garden = (garden_start, at)
    house = at
    lay(70.0 - at, Surface.ASPHALT if character.edge(sign) is Edge.CAR_PARK else Surface.GRASS)
    return Side(sign, lane, track, parking, curb, lawn, pavement, garden, house), strips


def _lay_track(lay: Callable[[float, Surface], float], bed: Surface) -> float:
    """Lay a tram's bed with two rails 1.435 m apart; returns the track's middle."""
    lay(0.14, Surface.MARKING if bed == Surface.ASPHALT else Surface.CURB)
    lay(0.86, bed)
    lay(0.09, Surface.RAIL)
    middle = lay(1.435, bed)
    lay(0.09, Surface.RAIL)
    lay(0.86, bed)
    if bed == Surface.GRASS:
        lay(0.2, Surface.CURB)
    return middle
