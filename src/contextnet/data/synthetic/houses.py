"""Houses along both sides of the street, with walls and fences between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from contextnet.data.synthetic.barriers import PIECE_M, BarrierArt, fence_art, wall_art
from contextnet.data.synthetic.character import Character, Edge
from contextnet.data.synthetic.facades import HouseArt, house_art
from contextnet.data.synthetic.ids import LABEL_ID
from contextnet.data.synthetic.plan import BEHIND_M, Plan, Side
from contextnet.data.synthetic.plants import bush_art
from contextnet.data.synthetic.quads import Quad, Vector
from contextnet.data.synthetic.shade import Block
from contextnet.data.synthetic.texture import Texture

HOUSE_DESIGNS = 9
CORNER_M = 3.5
CORNER_LAWN_M = 3.0
RAILING_M = 1.05
BACK_ROW_M = 26.0


@dataclass(eq=False)
class Rows:
    """What the rows of houses consist of: surfaces, ground plans, and gaps (sign, start, end) without houses."""

    quads: list[Quad] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    gaps: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Designs:
    """The houses and barriers that one drive's street is made of."""

    houses: tuple[HouseArt, ...]
    barriers: tuple[BarrierArt, ...]


def designs_for(seed: int, quality: float) -> Designs:
    """Draw the designs of one drive: houses, and in turn walls, fences and a hedge."""
    houses = tuple(house_art(np.random.default_rng([seed, 20, i]), quality) for i in range(HOUSE_DESIGNS))
    rng = np.random.default_rng([seed, 21])
    hedge = bush_art(rng, quality, PIECE_M, 1.3)
    barriers = (
        wall_art(np.random.default_rng([seed, 22]), quality),
        fence_art(np.random.default_rng([seed, 23]), quality),
        BarrierArt("vegetation", hedge.texture, hedge.height_m),
        wall_art(np.random.default_rng([seed, 24]), quality),
        fence_art(np.random.default_rng([seed, 25]), quality),
    )
    return Designs(houses, barriers)


def build_rows(rng: np.random.Generator, plan: Plan, designs: Designs, character: Character) -> Rows:
    """Line both sides with houses, or leave them open; barriers at gaps and gardens; close the view at the end."""
    rows = Rows()
    for side in (plan.left, plan.right):
        open_side = character.edge(side.sign) is not Edge.HOUSES
        for number, (start, end) in enumerate(_stretches(plan)):
            if open_side:
                _leave_open(rng, plan, side, start, end, designs, rows)
                continue
            # Wall and fence take turns, also between the sides, so that every stretch shows both.
            _fill(rng, plan, side, start, end, designs, rows, number + (side.sign > 0))
            if side.garden is not None:
                _fence_gardens(rng, plan, side, side.garden[0] + 0.1, (start, end), designs, rows)
        _back_row(rng, plan, side, designs, rows)
        _railings(rng, plan, side, designs, rows)
    _far_end(rng, plan, designs, rows)
    return rows


def _stretches(plan: Plan) -> Iterator[tuple[float, float]]:
    """The pieces of street between junctions, corners left free."""
    start = -BEHIND_M
    for junction_start, junction_end in plan.junctions:
        if junction_start - CORNER_M > start:
            yield start, junction_start - CORNER_M
        start = junction_end + CORNER_M
    if start < plan.length_m:
        yield start, plan.length_m


def _fill(
    rng: np.random.Generator,
    plan: Plan,
    side: Side,
    start: float,
    end: float,
    designs: Designs,
    rows: Rows,
    turn: int,
) -> None:
    """Line one stretch with a lawn and a yard at the corner, then houses, one gap to three houses."""
    at, number = start + CORNER_LAWN_M, 1
    _corner_barriers(plan, side, at, (designs.barriers[turn % 2], designs.barriers[1 - turn % 2]), rows)
    while at < end - 2:
        house = designs.houses[int(rng.integers(len(designs.houses)))]
        gap_due = number % 4 == 1
        if gap_due or at + house.width_m > end:
            gap_end = min(end, at + float(rng.uniform(6, 11))) if gap_due else end
            barrier = designs.barriers[turn % 2]
            _barrier(plan, side, at, gap_end, side.house_m, barrier, rows)
            rows.gaps.append((side.sign, at, gap_end))
            at, turn = gap_end, turn + 1
        else:
            _house(plan, side, at, house, rows)
            at += house.width_m + (0.0 if rng.random() < 0.75 else 0.4)
        number += 1


def _leave_open(
    rng: np.random.Generator, plan: Plan, side: Side, start: float, end: float, designs: Designs, rows: Rows
) -> None:
    """One stretch without houses: trees stand there, in places behind a hedge, a fence or a wall."""
    at = start
    while at < end - 1:
        stop = min(end, at + float(rng.uniform(12, 40)))
        if rng.random() < 0.5:
            barrier = designs.barriers[int(rng.integers(len(designs.barriers)))]
            _barrier(plan, side, at, stop, side.house_m, barrier, rows)
        rows.gaps.append((side.sign, at, stop))
        at = stop


def _corner_barriers(plan: Plan, side: Side, along: float, arts: tuple[BarrierArt, BarrierArt], rows: Rows) -> None:
    """Wall and fence of two corner yards, towards the crossing street and so towards the camera."""
    x, _, z = plan.bend.place(along, side.sign * side.house_m)
    for piece, art in enumerate(arts):
        left = x + PIECE_M * piece if side.sign > 0 else x - PIECE_M * (piece + 1)
        origin = (left, art.height_m, z)
        rows.quads.append(Quad(origin, (PIECE_M, 0, 0), (0, -art.height_m, 0), art.texture, (LABEL_ID[art.label],)))


def _fence_gardens(
    rng: np.random.Generator,
    plan: Plan,
    side: Side,
    distance: float,
    stretch: tuple[float, float],
    designs: Designs,
    rows: Rows,
) -> None:
    """Barriers between pavement and front gardens, each garden its own, some open."""
    at, end = stretch
    while at < end - 1:
        stop = min(end, at + float(rng.uniform(8, 16)))
        if rng.random() < 0.75:
            kind = designs.barriers[int(rng.integers(len(designs.barriers)))]
            _barrier(plan, side, at, max(at + 1.0, stop - 0.9), distance, kind, rows)
        at = stop


def _house(plan: Plan, side: Side, at: float, art: HouseArt, rows: Rows) -> None:
    front = side.house_m
    label = (LABEL_ID["building"],)
    rows.blocks.append(Block(side.sign, at, at + art.width_m, front, art.height_m + art.roof_m * 0.6))
    rows.quads.append(_along(plan, side.sign, at, at + art.width_m, front, art.height_m, art.front, label))
    x, _, z = plan.bend.place(at, side.sign * front)
    left = x if side.sign > 0 else x - art.depth_m
    top = art.height_m + art.roof_m
    rows.quads.append(Quad((left, top, z), (art.depth_m, 0, 0), (0, -top, 0), art.gable, label))
    if art.roof_m > 0:
        ridge = _along(plan, side.sign, at, at + art.width_m, front + art.depth_m / 2, top, art.roof, label)
        down = (-side.sign * art.depth_m / 2, -art.roof_m, 0.0)
        rows.quads.append(Quad(ridge.origin, ridge.across, down, art.roof, label))


def _along(
    plan: Plan, sign: int, start: float, end: float, front: float, height: float, texture: Texture, ids: tuple[int, ...]
) -> Quad:
    """An upright surface along the street that faces its middle."""
    near, far = plan.bend.place(start, sign * front), plan.bend.place(end, sign * front)
    first, last = (far, near) if sign > 0 else (near, far)
    across: Vector = (last[0] - first[0], 0.0, last[2] - first[2])
    return Quad((first[0], height, first[2]), across, (0.0, -height, 0.0), texture, ids)


def _barrier(plan: Plan, side: Side, start: float, end: float, distance: float, art: BarrierArt, rows: Rows) -> None:
    ids = (LABEL_ID[art.label],)
    count = max(1, round((end - start) / PIECE_M))
    edges = np.linspace(start, end, count + 1).tolist()
    for near, far in pairwise(edges):
        rows.quads.append(_along(plan, side.sign, near, far, distance, art.height_m, art.texture, ids))


def _back_row(rng: np.random.Generator, plan: Plan, side: Side, designs: Designs, rows: Rows) -> None:
    """A second row behind the first, seen through gaps and across junctions."""
    at = -BEHIND_M
    while at < plan.length_m:
        house = designs.houses[int(rng.integers(len(designs.houses)))]
        if not plan.blocked(at + house.width_m / 2, house.width_m / 2):
            ids = (LABEL_ID["building"],)
            rows.quads.append(
                _along(
                    plan, side.sign, at, at + house.width_m, side.house_m + BACK_ROW_M, house.height_m, house.front, ids
                )
            )
        at += house.width_m + float(rng.uniform(0, 3))


def _railings(rng: np.random.Generator, plan: Plan, side: Side, designs: Designs, rows: Rows) -> None:
    """Low fences at the kerb that guide people to the crossings, and a yard wall or fence before each junction."""
    low = replace(designs.barriers[1], height_m=min(RAILING_M, designs.barriers[1].height_m))
    for start, end in plan.junctions:
        if side.sign > 0 or rng.random() < 0.5:
            yard = side.garden[0] + 0.1 if side.garden is not None else side.house_m - 0.3
            _barrier(plan, side, start - 18, start - 6, yard, designs.barriers[0 if side.sign > 0 else 1], rows)
        for first, last in ((start - 14, start - 6), (end + 6, end + 13)):
            if side.sign > 0 or rng.random() < 0.5:
                _barrier(plan, side, first, last, side.curb_m + 0.35, low, rows)


def _far_end(rng: np.random.Generator, plan: Plan, designs: Designs, rows: Rows) -> None:
    """Houses across the street where it ends."""
    middle, _, z = plan.bend.place(plan.length_m + 4.0, 0.0)
    x = middle - 90.0
    while x < middle + 90.0:
        house = designs.houses[int(rng.integers(len(designs.houses)))]
        origin = (x, house.height_m, z)
        rows.quads.append(
            Quad(origin, (house.width_m, 0, 0), (0, -house.height_m, 0), house.front, (LABEL_ID["building"],))
        )
        x += house.width_m
