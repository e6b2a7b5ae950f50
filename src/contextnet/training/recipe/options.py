"""What the tables of a recipe share: strict fields, unknown keys refused, and the ranges that recur."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=8, le=8192)]
# YAML has lists only, so a pair is not held to being a tuple; its numbers are still strict.
SizePair = Annotated[tuple[Side, Side], Field(strict=False)]
PositivePair = Annotated[tuple[Positive, Positive], Field(strict=False)]
SharePair = Annotated[tuple[Share, Share], Field(strict=False)]


class Options(BaseModel):
    """One table of a recipe: its values never change, and none is turned into another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
