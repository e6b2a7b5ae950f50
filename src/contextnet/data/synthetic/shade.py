"""The shadow that the row of houses throws on the street."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.ground import ALONG_STEP_M, along_bins
from contextnet.data.synthetic.light import Light
from contextnet.data.synthetic.plan import BEHIND_M, Plan

NOWHERE_M = 1000.0


@dataclass(frozen=True)
class Block:
    """A house seen from above: its stretch of the street, the distance of its front, its height, all in metres."""

    sign: int
    start_m: float
    end_m: float
    front_m: float
    height_m: float


@dataclass(frozen=True, eq=False)
class HouseShadow:
    """Ground with across × ``sign`` beyond ``edge`` (float32, one value per along bin) lies in shadow; sign 0: none."""

    edge: NDArray[np.float32]
    sign: int

    def covers(self, along_m: float, across_m: float) -> bool:
        """Whether a street position lies in the shadow."""
        if self.sign == 0:
            return False
        place = int(np.clip((along_m + BEHIND_M) / ALONG_STEP_M, 0, len(self.edge) - 1))
        return bool(across_m * self.sign > self.edge[place])


def house_shadow(plan: Plan, light: Light, blocks: Sequence[Block]) -> HouseShadow:
    """Find where ``blocks`` keep the sun off the ground."""
    along = along_bins(plan)
    edge = np.full(len(along), NOWHERE_M, np.float32)
    sign = 1 if light.sun[0] > 0 else -1
    if not light.casts_shadows:
        return HouseShadow(edge, 0)
    reach, shift = abs(light.sun[0]) / light.sun[1], -light.sun[2] / light.sun[1]
    for block in blocks:
        if block.sign == sign:
            first = np.searchsorted(along, block.start_m + shift * block.height_m)
            last = np.searchsorted(along, block.end_m + shift * block.height_m)
            edge[first:last] = np.minimum(edge[first:last], block.front_m - reach * block.height_m)
    return HouseShadow(edge, sign)
