"""From a seed to a street, and from a street to its drawn world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.synthetic.camera import Camera
from contextnet.data.synthetic.character import BUSY, Character, Thinning, character_for
from contextnet.data.synthetic.fleet import Fleet, fleet_art
from contextnet.data.synthetic.ground import ground_for
from contextnet.data.synthetic.houses import build_rows, designs_for
from contextnet.data.synthetic.light import Light, light_for
from contextnet.data.synthetic.path import CameraPath, path_for
from contextnet.data.synthetic.plan import Plan, plan_for
from contextnet.data.synthetic.roadside import Planner, roadside_art
from contextnet.data.synthetic.scene import Scene, World
from contextnet.data.synthetic.shade import house_shadow
from contextnet.data.synthetic.sky import Sky
from contextnet.data.synthetic.traffic import Traffic

FULL_HEIGHT_PX = 1024
MIN_QUALITY = 0.2


@dataclass(frozen=True)
class Street:
    """What a seed decides before anything is drawn: character, light, layout, the camera's way, its lens's zoom."""

    seed: int
    character: Character
    light: Light
    plan: Plan
    path: CameraPath
    zoom: float
    duration_s: float


def street_for(seed: int, duration_s: float, varied: bool = False) -> Street:
    """Draw the plan of street ``seed`` for a film of ``duration_s``: a busy one, or of a character of its own."""

    # Each part has its own generator: a change to one leaves the others as they are.
    def rng(part: int) -> np.random.Generator:
        return np.random.default_rng([seed, part])

    character = character_for(rng(10)) if varied else BUSY
    plan_rng, path_rng = rng(2), rng(3)
    longest_m = character.start_m + 9.5 * duration_s
    plan = plan_for(plan_rng, longest_m, character)
    path = path_for(path_rng, plan.bend, plan.right.lane_m, character)
    zoom = character.zoom * float(path_rng.uniform(0.68, 1.0))
    return Street(seed, character, light_for(rng(1), character), plan, path, zoom, duration_s)


def scene_for(street: Street, camera: Camera) -> Scene:
    """Draw all that stands and moves in ``street``, as finely as ``camera`` can show it."""
    seed, plan, light, character = street.seed, street.plan, street.light, street.character
    thinning = Thinning(np.random.default_rng([seed, 11]), character)
    quality = min(1.0, max(MIN_QUALITY, camera.size_hw[0] / FULL_HEIGHT_PX))
    rows = build_rows(np.random.default_rng([seed, 4]), plan, designs_for(seed, quality), character)
    shadow = house_shadow(plan, light, rows.blocks)
    art = roadside_art(seed, quality, light, character.bare)
    side = Planner(np.random.default_rng([seed, 5]), plan, art, shadow, light, thinning).furnish(rows)
    fleet = Fleet(np.random.default_rng([seed, 6]), fleet_art(seed, quality), light, shadow, quality)
    things = Traffic(np.random.default_rng([seed, 7]), plan, street.path, fleet, street.duration_s).fill(character)
    things = [thing for thing in things if thinning.keeps(thing.ids)]
    ground = ground_for(np.random.default_rng([seed, 8]), plan, light, shadow.edge, shadow.sign)
    world = World(light, ground, tuple(rows.quads + side.quads), tuple(side.decals), tuple(side.flats), tuple(things))
    return Scene(world, camera, Sky(np.random.default_rng([seed, 9]), light, camera), seed * 100_003)
