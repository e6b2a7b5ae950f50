"""What kind of place a street is: how busy, how green, how lit, and how the camera looks at it.

A busy street, the default, shows all 19 classes in nearly every view: made for tests and films. Varied streets are
each of another character, many of them nearly empty: made to train on, where the same composition in every picture
would be learnt by heart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from contextnet.data.synthetic.ids import LABEL_ID, label_of


class Edge(Enum):
    """What lines a side of the street."""

    HOUSES = "houses"
    GREEN = "green"
    CAR_PARK = "car park"


@dataclass(frozen=True)
class Character:
    """How one street differs from a busy one.

    ``traffic``, ``cycles``, ``people``, ``trees`` and ``furniture`` are the shares 0..1 that are kept of what stands in
    a busy street, ``large_vehicles`` that of trams and, times ``traffic``, of lorries and buses; ``bare`` is the share
    of the street's kinds of trees that have no leaves. ``green`` allows lawns and
    front gardens, ``tram`` the track; ``breadth`` and ``pavement`` are factors on the lanes' and pavements' widths.
    ``left`` and ``right`` say what lines the sides. The camera looks ``aside_rad`` to the right and ``down_rad``
    below where it drives, ``lift_m`` higher, from ``start_m`` along the street, its focal length times ``zoom``.
    ``dimness`` is a factor on the light on all surfaces, ``exposure`` one on the whole picture.
    """

    traffic: float = 1.0
    large_vehicles: float = 1.0
    cycles: float = 1.0
    people: float = 1.0
    trees: float = 1.0
    furniture: float = 1.0
    bare: float = 0.0
    green: bool = True
    tram: bool = True
    breadth: float = 1.0
    pavement: float = 1.0
    left: Edge = Edge.HOUSES
    right: Edge = Edge.HOUSES
    aside_rad: float = 0.0
    down_rad: float = 0.0
    lift_m: float = 0.0
    start_m: float = 0.0
    zoom: float = 1.0
    dimness: float = 1.0
    exposure: float = 1.0

    def edge(self, sign: int) -> Edge:
        """What lines the left (-1) or the right (+1) side."""
        return self.left if sign < 0 else self.right


BUSY = Character()


def character_for(rng: np.random.Generator) -> Character:
    """Draw a street's character: from an empty lane between houses to a busy road beside a car park."""

    def share(least: float) -> float:
        """From ``least`` to 1, even in the logarithm."""
        return float(least ** rng.random())

    def edge() -> Edge:
        return Edge(str(rng.choice([edge.value for edge in Edge], p=[0.62, 0.26, 0.12])))

    aside = 0.0 if rng.random() < 0.4 else float(rng.normal(0, 0.28))
    dimness = float(rng.uniform(0.4, 1.05))
    return Character(
        traffic=share(0.08),
        large_vehicles=share(0.04),
        cycles=share(0.06),
        people=share(0.06),
        trees=share(0.1),
        furniture=share(0.15),
        bare=float(np.clip(rng.uniform(-0.5, 1.5), 0, 1)),
        green=bool(rng.random() < 0.5),
        tram=bool(rng.random() < 0.12),
        breadth=float(rng.uniform(0.9, 1.6)),
        pavement=float(rng.uniform(0.4, 1.1)),
        left=edge(),
        right=edge(),
        aside_rad=float(np.clip(aside, -0.7, 0.7)),
        down_rad=float(rng.uniform(-0.06, 0.05)),
        lift_m=float(rng.uniform(-0.1, 0.6)),
        start_m=float(rng.uniform(0, 70)),
        zoom=float(rng.uniform(0.75, 1.2)),
        dimness=dimness,
        # A camera opens its iris in the dark, and then a bright sky burns out.
        exposure=float(dimness ** -rng.uniform(0.1, 0.9)),
    )


class Thinning:
    """Leaves out what a street's character has fewer of; a busy street keeps everything."""

    def __init__(self, rng: np.random.Generator, character: Character) -> None:
        self._rng = rng
        self._share = _shares(character)

    def keeps(self, ids: tuple[int, ...]) -> bool:
        """Whether the thing that draws these instance ids stays; asked once a thing."""
        share = min((self._share.get(label_of(number), 1.0) for number in ids), default=1.0)
        return share >= 1.0 or bool(self._rng.random() < share)


def _shares(character: Character) -> Mapping[int, float]:
    """The share kept by label id; classes that are not here are kept whole."""
    large = character.traffic * character.large_vehicles
    shares = {
        "car": character.traffic,
        "truck": large,
        "bus": large,
        "train": character.large_vehicles,
        "motorcycle": character.cycles,
        "bicycle": character.cycles,
        "person": character.people,
        "vegetation": character.trees,
        "pole": character.furniture,
    }
    return {LABEL_ID[name]: share for name, share in shares.items()}
