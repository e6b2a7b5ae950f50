"""Who drives, walks and parks where."""

from __future__ import annotations

from math import pi

import numpy as np

from contextnet.data.synthetic.bodies import Thing
from contextnet.data.synthetic.character import Character, Edge
from contextnet.data.synthetic.fleet import Fleet
from contextnet.data.synthetic.path import CameraPath
from contextnet.data.synthetic.plan import BEHIND_M, Plan, Side
from contextnet.data.synthetic.tracks import TURNED_ROUND, Track

VIEW_M = 150.0
_LENGTH_M = {"car": 5.0, "truck": 9.5, "bus": 12.5, "tram": 24.0, "motorcycle": 2.2, "bicycle": 2.0}
_ALL_KINDS = ("car", "truck", "car", "bus", "motorcycle", "car", "bicycle", "car")


class Traffic:
    """Fills the street with moving and parked vehicles and with people."""

    def __init__(self, rng: np.random.Generator, plan: Plan, path: CameraPath, fleet: Fleet, duration_s: float) -> None:
        self._rng, self._plan, self._path, self._fleet, self._duration_s = rng, plan, path, fleet, duration_s
        self._last_m = path.start_m + path.speed_m_per_s * duration_s
        self.things: list[Thing] = []
        self._turn = int(rng.integers(2))

    def fill(self, character: Character) -> list[Thing]:
        """Place everybody: whom a busy street of this layout holds, and who stands in a car park."""
        self._own_lane()
        self._oncoming_lane()
        for side in (self._plan.left, self._plan.right):
            self._trams(side)
            self._parked(side)
            self._pavement(side)
            self._racks(side)
        self._crossing()
        self._side_streets()
        for side in (self._plan.left, self._plan.right):
            if character.edge(side.sign) is Edge.CAR_PARK:
                self._car_park(side)
        return self.things

    def _put(self, kind: str, along: float, across: float, speed: float = 0.0, turn: float = 0.0) -> None:
        track = Track(self._plan.bend, along, across, speed, 0.0, turn)
        if kind in ("motorcycle", "bicycle"):
            self.things.append(self._fleet.cycle(kind, speed != 0.0, track))
        else:
            self.things.append(self._fleet.vehicle(kind, track))

    def _kinds(self) -> list[str]:
        return [_ALL_KINDS[i] for i in self._rng.permutation(len(_ALL_KINDS)).tolist()]

    def _own_lane(self) -> None:
        """Traffic ahead of the camera at the camera's speed: two riders at the edge, vehicles in the middle."""
        rng, lane = self._rng, self._plan.right.lane_m
        speed, start = self._path.speed_m_per_s, self._path.start_m
        near = start + float(rng.uniform(9, 18))
        for kind, ahead in zip(
            rng.permutation(["bicycle", "motorcycle"]), (near, near + float(rng.uniform(4, 9))), strict=True
        ):
            self._put(str(kind), ahead, 2 * lane - float(rng.uniform(0.1, 0.8)), speed)
        at = start + float(rng.uniform(17, 30))
        for kind in self._kinds() + self._kinds():
            if kind not in ("motorcycle", "bicycle"):
                centre = at + _LENGTH_M[kind] / 2
                self._put(kind, centre, lane + float(rng.uniform(-0.2, 0.2)), speed)
                at = centre + _LENGTH_M[kind] / 2 + float(rng.uniform(6, 18))
            if at > start + VIEW_M:
                break

    def _oncoming_lane(self) -> None:
        rng, lane = self._rng, self._plan.left.lane_m
        speed = float(rng.uniform(3.5, 8))
        end = self._last_m + VIEW_M + speed * self._duration_s
        at = float(rng.uniform(6, 22))
        kinds = [str(kind) for kind in rng.permutation(["bus", "truck", "car"])] + ["car"]
        while at < end:
            kinds = kinds or self._kinds()
            kind = kinds.pop()
            length = _LENGTH_M[kind]
            self._put(kind, at + length / 2, -lane + float(rng.uniform(-0.25, 0.25)), -speed, TURNED_ROUND)
            # The first few stand close, so that lorry and bus are in view from the start.
            at += length + float(rng.uniform(5, 13) if len(kinds) > 1 and at < 45 else rng.uniform(9, 28))

    def _trams(self, side: Side) -> None:
        """Trams one after the other, so that one is always in view; on the left most of them come towards us."""
        if side.track_m is None:
            return
        rng = self._rng
        towards = side.sign < 0 and rng.random() < 0.5
        speed = -float(rng.uniform(2, 5)) if towards else self._path.speed_m_per_s * float(rng.choice([0.0, 0.8, 1.0]))
        at = float(rng.uniform(22, 34)) - 12.0
        end = self._last_m + abs(speed) * self._duration_s + VIEW_M
        while at < end:
            self._put("tram", at + 12.0, side.sign * side.track_m, speed, TURNED_ROUND if towards else 0.0)
            at += 24.0 + float(rng.uniform(12, 30))

    def _parked(self, side: Side) -> None:
        if side.parking_m is None:
            return
        rng, turn = self._rng, 0.0 if side.sign > 0 else TURNED_ROUND
        at = -BEHIND_M / 2
        kinds: list[str] = []
        while at < self._plan.length_m - 20:
            kinds = kinds or [*self._kinds(), "car", "car", "car"]
            kind = kinds.pop()
            length = _LENGTH_M[kind]
            if kind == "bus" or self._plan.blocked(at + length / 2, length / 2 + 5.5) or rng.random() < 0.45:
                at += 6.0
                continue
            across = side.sign * (side.parking_m + float(rng.uniform(-0.1, 0.1)))
            if kind in ("motorcycle", "bicycle"):
                self._stand_across(kind, at + 1.0, across)
            else:
                self._put(kind, at + length / 2, across, 0.0, turn + float(rng.normal(0, 0.02)))
            at += length + float(rng.uniform(0.5, 1.4))

    def _stand_across(self, kind: str, along: float, across: float) -> None:
        """Four machines in a row, across the street's direction."""
        for i in range(4):
            turn = pi / 2 * float(self._rng.choice([-1, 1])) + float(self._rng.normal(0, 0.15))
            track = Track(self._plan.bend, along + 0.75 * i, across, 0.0, 0.0, turn)
            self.things.append(self._fleet.cycle(kind, False, track, from_side=True))

    def _racks(self, side: Side) -> None:
        """Bicycles and motorcycles on the pavement's outer edge."""
        rng = self._rng
        at = float(rng.uniform(8, 16))
        number = int(rng.integers(3))
        while at < self._plan.length_m - 100:
            if not self._plan.blocked(at, 6.0):
                kind = "bicycle" if number % 3 else "motorcycle"
                number += 1
                self._stand_across(kind, at, side.sign * (side.pavement[0] + 0.9))
            at += float(rng.uniform(9, 18))

    def _pavement(self, side: Side) -> None:
        """People who walk either way, stand alone or in twos."""
        rng = self._rng
        inner, outer = side.pavement
        at = float(rng.uniform(4, 10))
        spacing = float(rng.uniform(3.5, 9))
        while at < self._plan.length_m - 120:
            across = side.sign * float(rng.uniform(inner + 0.5, outer - 0.4))
            speed = float(rng.choice([-1, 1])) * float(rng.uniform(0.9, 1.6)) if rng.random() < 0.8 else 0.0
            turn = (TURNED_ROUND if speed < 0 else 0.0) if speed else float(rng.uniform(-pi, pi))
            for step in range(2 if rng.random() < 0.3 else 1):
                aside = across + side.sign * 0.65 * step
                track = Track(self._plan.bend, at + 0.2 * step, aside, speed, 0.0, turn)
                self.things.append(self._fleet.person(track))
            at += spacing * float(rng.uniform(0.4, 1.6))

    def _crossing(self) -> None:
        """People and riders who cross the street at the junctions."""
        rng, plan = self._rng, self._plan
        for start, end in plan.junctions:
            for along in (start - 2.1, end + 2.1):
                for _ in range(int(rng.integers(0, 3))):
                    self._crosser(along + float(rng.uniform(-1, 1)))
            if rng.random() < 0.7:
                sign = float(rng.choice([-1, 1]))
                # Riders of the crossing street wait near the corner or pass, far enough off to be seen from the side.
                across = -sign * float(rng.uniform(4.5, 9))
                kind = "bicycle" if rng.random() < 0.7 else "motorcycle"
                track = Track(
                    plan.bend, (start + end) / 2, across, 0.0, sign * float(rng.uniform(0.4, 1.0)), sign * pi / 2
                )
                self.things.append(self._fleet.cycle(kind, True, track, from_side=True))

    def _side_streets(self) -> None:
        """Vehicles that wait in the streets to both sides of a junction; in every one a lorry or a bus."""
        for number, (start, end) in enumerate(self._plan.junctions):
            large = ("bus", "truck") if (number + self._turn) % 2 else ("truck", "bus")
            for side, kind in zip((self._plan.left, self._plan.right), large, strict=True):
                across = side.sign * (side.curb_m + float(self._rng.uniform(0.8, 3.0)) + _LENGTH_M[kind] / 2)
                along = (start + end) / 2 + side.sign * 1.9
                self._put(kind, along, across, 0.0, -side.sign * pi / 2)

    def _car_park(self, side: Side) -> None:
        """Two rows of cars that stand across the street's direction, noses or tails to it."""
        rng, first = self._rng, side.house_m + 4.0
        for across in (first, first + 11.0):
            for along in np.arange(-BEHIND_M / 2, self._plan.length_m - 100, 2.7).tolist():
                if rng.random() < 0.7 and not self._plan.blocked(along, 3.0):
                    turn = pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.03))
                    self._put("car", along, side.sign * across, 0.0, turn)

    def _crosser(self, along: float) -> None:
        rng = self._rng
        sign = float(rng.choice([-1, 1]))
        across = float(rng.uniform(-self._plan.left.curb_m, self._plan.right.curb_m))
        track = Track(self._plan.bend, along, across, 0.0, sign * float(rng.uniform(0.9, 1.5)), sign * pi / 2)
        self.things.append(self._fleet.person(track))
