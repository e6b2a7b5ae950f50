"""What stands beside the road: trees, bushes, lamps, signs, traffic lights, posts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from contextnet.data.synthetic.bodies import Fixed, Flat, Thing
from contextnet.data.synthetic.character import Thinning
from contextnet.data.synthetic.furniture import StandArt, bollard, guide_sign, lamp, sign_post, traffic_light
from contextnet.data.synthetic.houses import Rows
from contextnet.data.synthetic.ids import LABEL_ID
from contextnet.data.synthetic.light import Light
from contextnet.data.synthetic.plan import BEHIND_M, Plan, Side
from contextnet.data.synthetic.plants import PlantArt, bare_tree_art, bush_art, leaf_shadow, tree_art
from contextnet.data.synthetic.quads import Quad
from contextnet.data.synthetic.shade import HouseShadow
from contextnet.data.synthetic.tracks import Track

TREE_DESIGNS = 4
SIGN_DESIGNS = 5


@dataclass(eq=False)
class Roadside:
    """Flat things that turn to the camera, surfaces that do not, and shadows on the ground."""

    flats: list[Thing] = field(default_factory=list)
    quads: list[Quad] = field(default_factory=list)
    decals: list[Quad] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class RoadsideArt:
    """The designs of one drive."""

    trees: tuple[PlantArt, ...]
    bushes: tuple[PlantArt, ...]
    lamp: StandArt
    post: StandArt
    signs: tuple[StandArt, ...]
    board: StandArt
    lights: tuple[StandArt, ...]


def roadside_art(seed: int, quality: float, light: Light, bare: float) -> RoadsideArt:
    """Draw trees, of which a share ``bare`` is without leaves, bushes and street furniture."""

    def rng(number: int) -> np.random.Generator:
        return np.random.default_rng([seed, 30, number])

    state = str(rng(0).choice(["red", "amber", "green"], p=[0.42, 0.08, 0.5]))
    return RoadsideArt(
        trees=tuple(
            bare_tree_art(rng(10 + i), quality)
            if (i + 0.5) / TREE_DESIGNS < bare
            else tree_art(rng(10 + i), quality, light.sun[0])
            for i in range(TREE_DESIGNS)
        ),
        bushes=tuple(bush_art(rng(20 + i), quality, 2.0 + i, 1.1 + 0.35 * i) for i in range(3)),
        lamp=lamp(rng(1), quality),
        post=bollard(rng(2), quality),
        signs=tuple(sign_post(rng(40 + i), quality) for i in range(SIGN_DESIGNS)),
        board=guide_sign(rng(3), quality),
        lights=(traffic_light(state, quality, 0.0), traffic_light(state, quality, 3.2)),
    )


class Planner:
    """Puts designs at street positions."""

    def __init__(
        self,
        rng: np.random.Generator,
        plan: Plan,
        art: RoadsideArt,
        shadow: HouseShadow,
        light: Light,
        thinning: Thinning,
    ) -> None:
        self._rng, self._plan, self._art, self._shadow, self._light = rng, plan, art, shadow, light
        self._thinning = thinning
        self._leaf_shadow = leaf_shadow(np.random.default_rng(5))
        self.made = Roadside()

    def furnish(self, rows: Rows) -> Roadside:
        """Place everything on both sides."""
        for side in (self._plan.left, self._plan.right):
            self._trees(side)
            self._lamps(side)
            self._signs(side)
            self._posts(side)
            self._traffic_lights(side)
        for sign, start, end in rows.gaps:
            self._behind(self._plan.left if sign < 0 else self._plan.right, start, end)
        return self.made

    def _plant(self, art: PlantArt, along: float, across: float, scale: float = 1.0) -> None:
        ids = (LABEL_ID["vegetation"],)
        if not self._thinning.keeps(ids):
            return
        shaded = self._shadow.covers(along, across)
        body = Flat(art.width_m * scale, art.height_m * scale, Fixed(art.texture), ids, shaded=shaded)
        self.made.flats.append(Thing(body, Track(self._plan.bend, along, across), ids))
        if not shaded:
            x, _, z = self._plan.bend.place(along, across)
            self._tree_shadow(x, z, art.width_m * scale, art.height_m * scale)

    def _tree_shadow(self, x: float, z: float, width: float, height: float) -> None:
        sun = self._light.sun
        throw = 0.6 * height / sun[1] if self._light.casts_shadows else 0.0
        x, z, half = x - sun[0] * throw, z - sun[2] * throw, width / 2
        self.made.decals.append(
            Quad((x - half, 0, z + half), (width, 0, 0), (0, 0, -width), self._leaf_shadow, (0,), decal=True)
        )

    def _trees(self, side: Side) -> None:
        rng, strip = self._rng, side.lawn
        spacing = float(rng.uniform(8, 16)) if strip is not None else float(rng.uniform(14, 32))
        distance = (strip[0] + strip[1]) / 2 if strip is not None else side.pavement[0] + 0.7
        at = -BEHIND_M + float(rng.uniform(0, spacing))
        main = int(rng.integers(TREE_DESIGNS))
        while at < self._plan.length_m:
            if not self._plan.blocked(at, 7.0):
                design = main if rng.random() < 0.7 else int(rng.integers(TREE_DESIGNS))
                self._plant(self._art.trees[design], at, side.sign * distance, float(rng.uniform(0.75, 1.05)))
            at += spacing * float(rng.uniform(0.8, 1.25))
        if side.garden is not None:
            for spot in np.arange(-BEHIND_M, self._plan.length_m, 6.0).tolist():
                if rng.random() < 0.6 and not self._plan.blocked(spot, 4.0):
                    bush = self._art.bushes[int(rng.integers(3))]
                    self._plant(bush, spot, side.sign * (side.garden[0] + 1.1), float(rng.uniform(0.7, 1.2)))

    def _behind(self, side: Side, start: float, end: float) -> None:
        """Trees where there are no houses."""
        rng = self._rng
        for _ in range(max(1, int((end - start) / 3))):
            along, out = float(rng.uniform(start, end)), side.house_m + float(rng.uniform(2.5, 14))
            self._plant(
                self._art.trees[int(rng.integers(TREE_DESIGNS))], along, side.sign * out, float(rng.uniform(0.6, 1.1))
            )

    def _stand(self, art: StandArt, along: float, across: float, ids: tuple[int, ...], mirrored: bool = False) -> None:
        """A flat picture across the street that faces the oncoming camera; its pole stands at the position."""
        if not self._thinning.keeps(ids):
            return
        x, _, z = self._plan.bend.place(along, across)
        if mirrored:
            origin, width = (x + art.middle_m, art.height_m, z), -art.width_m
        else:
            origin, width = (x - art.middle_m, art.height_m, z), art.width_m
        shaded = self._shadow.covers(along, across)
        self.made.quads.append(
            Quad(origin, (width, 0, 0), (0, -art.height_m, 0), art.texture, ids, turning=True, shaded=shaded)
        )

    def _lamps(self, side: Side) -> None:
        at = float(self._rng.uniform(-10, 10))
        while at < self._plan.length_m:
            if not self._plan.blocked(at, 2.0):
                self._stand(self._art.lamp, at, side.sign * (side.curb_m + 0.6), (LABEL_ID["pole"],), side.sign < 0)
            at += float(self._rng.uniform(20, 28))

    def _signs(self, side: Side) -> None:
        rng, ids = self._rng, (LABEL_ID["pole"], LABEL_ID["traffic sign"])
        at = float(rng.uniform(0, 14))
        while at < self._plan.length_m:
            if not self._plan.blocked(at, 1.0):
                board = side.sign > 0 and rng.random() < 0.2
                art = self._art.board if board else self._art.signs[int(rng.integers(SIGN_DESIGNS))]
                self._stand(art, at, side.sign * (side.curb_m + (1.5 if board else 0.75)), ids)
            at += float(rng.uniform(7, 15))

    def _posts(self, side: Side) -> None:
        ids = (LABEL_ID["pole"],)
        for start, end in self._plan.junctions:
            for at in (start - 5.2, start - 4.4, end + 4.4, end + 5.2):
                self._stand(self._art.post, at, side.sign * (side.curb_m + 0.45), ids)
        if self._rng.random() < 0.5:
            for at in np.arange(5.0, self._plan.length_m, 3.0).tolist():
                if not self._plan.blocked(at, 6.0) and int(at / 24) % 2:
                    self._stand(self._art.post, at, side.sign * (side.curb_m + 0.4), ids)

    def _traffic_lights(self, side: Side) -> None:
        """Lights at junctions and, between junctions, at crossings for people on foot."""
        ids = (LABEL_ID["pole"], LABEL_ID["traffic light"])
        short, long = self._art.lights
        spots = [(start - 4.4, side.sign > 0) for start, _ in self._plan.junctions]
        spots += [(end + 4.6, False) for _, end in self._plan.junctions]
        ends = [0.0, *[end for _, end in self._plan.junctions]]
        for previous, (start, _) in zip(ends, self._plan.junctions, strict=False):
            if start - previous > 40:
                spots.append(((start + previous) / 2, bool(self._rng.random() < 0.4)))
        for at, with_arm in spots:
            art = long if with_arm else short
            self._stand(art, at, side.sign * (side.curb_m + 0.55), ids, mirrored=with_arm and side.sign < 0)
