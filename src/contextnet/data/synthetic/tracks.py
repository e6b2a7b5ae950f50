"""How things move: along the street at constant speed, as a pure function of time."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

from contextnet.data.synthetic.bend import Bend
from contextnet.data.synthetic.quads import Vector


@dataclass(frozen=True)
class Track:
    """A course in street coordinates.

    At time 0 at (``along_m``, ``across_m``), from there with ``along_speed`` and ``across_speed`` in m/s. The heading
    follows the street, turned by ``turn_rad``.
    """

    bend: Bend
    along_m: float
    across_m: float
    along_speed: float = 0.0
    across_speed: float = 0.0
    turn_rad: float = 0.0

    def at(self, time_s: float) -> tuple[Vector, float]:
        """World position on the ground and heading in radians, to the right positive."""
        along = self.along_m + self.along_speed * time_s
        position = self.bend.place(along, self.across_m + self.across_speed * time_s)
        return position, self.bend.heading(along) + self.turn_rad

    @property
    def moves(self) -> bool:
        """Whether the position changes with time."""
        return self.along_speed != 0.0 or self.across_speed != 0.0


TURNED_ROUND = pi
