"""Things that stand or move on the street: solid ones made of quads, flat ones that turn towards the camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, hypot, pi
from typing import Protocol

from contextnet.data.synthetic.quads import Quad, Vector
from contextnet.data.synthetic.texture import Texture
from contextnet.data.synthetic.tracks import Track


class Body(Protocol):
    """A thing's looks, apart from where it is."""

    @property
    def radius_m(self) -> float:
        """Largest horizontal distance from the thing's middle to its edge."""
        ...

    def quads(self, position: Vector, heading_rad: float, time_s: float, eye: Vector) -> list[Quad]:
        """The surfaces of the thing at ``position`` with ``heading_rad``, as ``eye`` may see them."""
        ...


@dataclass(frozen=True, eq=False)
class Solid:
    """A body of fixed quads in its own axes: x to its right, y up, z forwards, origin on the ground."""

    parts: tuple[Quad, ...]
    radius_m: float

    def quads(self, position: Vector, heading_rad: float, time_s: float, eye: Vector) -> list[Quad]:
        """All parts, turned and shifted."""
        return [part.moved(position, heading_rad) for part in self.parts]

    def with_ids(self, ids: tuple[int, ...]) -> Solid:
        """The same body as another object."""
        return replace(self, parts=tuple(replace(part, ids=ids) for part in self.parts))


class Look(Protocol):
    """Chooses the picture of a flat body."""

    def __call__(self, view_rad: float, time_s: float) -> Texture:
        """Give the picture for a body whose heading is ``view_rad`` to the right of the direction of view."""
        ...


@dataclass(frozen=True, eq=False)
class Flat:
    """A body drawn as one upright picture that faces the camera: people, riders, trees, poles."""

    width_m: float
    height_m: float
    look: Look
    ids: tuple[int, ...]
    base_m: float = 0.0
    shaded: bool = False

    @property
    def radius_m(self) -> float:
        """Half the picture's width."""
        return self.width_m / 2

    def quads(self, position: Vector, heading_rad: float, time_s: float, eye: Vector) -> list[Quad]:
        """One quad across the direction of view."""
        x, z = position[0] - eye[0], position[2] - eye[2]
        distance = hypot(x, z)
        if distance < 0.3:
            return []
        right_x, right_z = z / distance, -x / distance
        view = heading_rad - atan2(x, z)
        texture = self.look((view + pi) % (2 * pi) - pi, time_s)
        half = self.width_m / 2
        origin = (position[0] - right_x * half, position[1] + self.base_m + self.height_m, position[2] - right_z * half)
        across = (right_x * self.width_m, 0.0, right_z * self.width_m)
        return [Quad(origin, across, (0.0, -self.height_m, 0.0), texture, self.ids, turning=True, shaded=self.shaded)]


@dataclass(frozen=True, eq=False)
class Fixed:
    """A look that is the same from all sides."""

    texture: Texture

    def __call__(self, view_rad: float, time_s: float) -> Texture:
        """Give the one picture."""
        return self.texture


@dataclass(frozen=True, eq=False)
class Thing:
    """A body on its track; ``ids`` are all instance ids that it draws, ``shadow`` its decals in body axes."""

    body: Body
    track: Track
    ids: tuple[int, ...]
    shadow: tuple[Quad, ...] = ()

    def quads(self, time_s: float, eye: Vector) -> list[Quad]:
        """The surfaces at ``time_s``."""
        position, heading = self.track.at(time_s)
        return self.body.quads(position, heading, time_s, eye)

    def shadows(self, time_s: float) -> list[Quad]:
        """The decals on the ground at ``time_s``."""
        position, heading = self.track.at(time_s)
        return [decal.moved(position, heading) for decal in self.shadow]
