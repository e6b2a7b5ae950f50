"""The recipe's ``network``: which network is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contextnet.network_spec import NETWORKS, NetworkSpec, named_spec, spec_from_json
from contextnet.spec import MAX_MULTIPLIER, MIN_MULTIPLIER
from contextnet.training.recipe.options import Options


class NetworkOptions(Options):
    """Which network is trained: a name from ``contextnet.network_spec.NETWORKS`` and what is added to it.

    ``architecture`` describes any other network instead, as a pruned one, as its spec's ``to_json`` does.
    """

    variant: str = "cn14"
    width: Annotated[float, Field(ge=MIN_MULTIPLIER, le=MAX_MULTIPLIER)] = 1.0
    pyramid_pooling: bool = False
    auxiliary: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    architecture: dict[str, Any] | None = None

    @field_validator("variant")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NETWORKS:
            raise ValueError(f"no network is called '{name}'; known: {', '.join(NETWORKS)}")
        return name

    @field_validator("architecture")
    @classmethod
    def _alone(cls, architecture: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
        if architecture is not None:
            for name in ("variant", "width", "pyramid_pooling"):
                if name in info.data and info.data[name] != cls.model_fields[name].default:
                    raise ValueError(f"describes the whole network; leave out '{name}'")
        return architecture

    @model_validator(mode="after")
    def _buildable(self) -> NetworkOptions:
        self.spec(num_classes=1)
        return self

    def spec(self, num_classes: int) -> NetworkSpec:
        """Describe the network for a number of classes."""
        if self.architecture is not None:
            described = spec_from_json(self.architecture)
            return replace(described, num_classes=num_classes, auxiliary=self.auxiliary, dropout=self.dropout)
        return named_spec(
            self.variant,
            num_classes,
            width=self.width,
            pyramid_pooling=self.pyramid_pooling,
            auxiliary=self.auxiliary,
            dropout=self.dropout,
        )
