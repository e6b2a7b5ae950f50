"""Every network that this project trains and runs, as data: those of the paper, and those that it compares with."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from contextnet.errors import ContextNetError, WeightsError
from contextnet.spec import VARIANTS, ContextNetSpec, complaints_of_head, variant

KIND, BASELINE = "kind", "baseline"
"""What tells a baseline's description from that of a ``ContextNetSpec``, which has no such field."""


@dataclass(frozen=True)
class _Traits:
    """What a baseline is by its paper: ``stride`` of its scores, ``multiple`` that sides are padded to, and its parts.

    ``has_auxiliary`` tells of a classifier for training alone, ``has_dropout`` of dropout before the classifier,
    ``has_pyramid`` of cells that span the whole image and are normalized.
    """

    stride: int
    multiple: int
    has_auxiliary: bool = False
    has_dropout: bool = False
    has_pyramid: bool = False


_BASELINES = {
    "segnet": _Traits(1, 32),
    "enet": _Traits(1, 8),
    "icnet": _Traits(4, 32, has_auxiliary=True),
    "erfnet": _Traits(1, 8),
    "pspnet": _Traits(8, 8, has_auxiliary=True, has_dropout=True, has_pyramid=True),
    "deeplab-v2": _Traits(8, 8),
    "fast-scnn": _Traits(8, 32, has_auxiliary=True, has_dropout=True, has_pyramid=True),
    "dabnet": _Traits(8, 8),
}

BASELINES: tuple[str, ...] = tuple(_BASELINES)
"""The networks that ContextNet is compared with: those of Table 6, then Fast-SCNN and DABNet."""

NETWORKS: tuple[str, ...] = (*VARIANTS, *BASELINES)
"""Every network that has a name."""


@dataclass(frozen=True)
class BaselineSpec:
    """One of ``BASELINES``, as its own paper builds it. JSON in (``from_json``), JSON out (``to_json``).

    ``dropout`` is the rate before the classifier. ``auxiliary`` adds a classifier for training where its paper has any:
    one of the two that ICNet's and Fast-SCNN's papers have. What its paper lacks stays False, or 0, whatever is given.
    Raises ``WeightsError`` when the values do not make a network.
    """

    name: str
    num_classes: int
    auxiliary: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in _BASELINES:
            raise WeightsError(f"no baseline is called {reprlib.repr(self.name)}; known: {', '.join(BASELINES)}")
        for complaint in complaints_of_head(self.num_classes, self.dropout):
            raise WeightsError(f"network '{self.name}': {complaint}")
        # Frozen, so that this is the way to leave out what the network cannot have.
        traits = _BASELINES[self.name]
        object.__setattr__(self, "auxiliary", self.auxiliary and traits.has_auxiliary)
        object.__setattr__(self, "dropout", self.dropout if traits.has_dropout else 0.0)

    @property
    def size_multiple(self) -> int:
        """Heights and widths divisible by this run as they are; others are padded to the next multiple."""
        return _BASELINES[self.name].multiple

    @property
    def output_stride(self) -> int:
        """How many image pixels one score spans, each way."""
        return _BASELINES[self.name].stride

    @property
    def has_pyramid(self) -> bool:
        """Whether cells that span the whole image are among what it normalizes."""
        return _BASELINES[self.name].has_pyramid

    def to_json(self) -> dict[str, Any]:
        """Describe the network as plain JSON values."""
        return {KIND: BASELINE, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BaselineSpec:
        """Rebuild a description from JSON values; raises ``WeightsError`` naming what is wrong."""
        kinds: dict[str, type] = {"name": str, "num_classes": int, "auxiliary": bool, "dropout": float}
        if unknown := sorted(map(str, values.keys() - kinds.keys() - {KIND})):
            raise WeightsError(f"network description: {reprlib.repr(unknown[0])} is no part of it; remove it")
        for key, kind in kinds.items():
            if key not in values:
                raise WeightsError(f"network description: '{key}' is missing")
            accepted = (int, float) if kind is float else kind
            if not isinstance(values[key], accepted) or (kind is not bool and isinstance(values[key], bool)):
                raise WeightsError(f"network description: '{key}' is {values[key]!r:.40}; expected {kind.__name__}")
        return cls(values["name"], values["num_classes"], values["auxiliary"], values["dropout"])


NetworkSpec: TypeAlias = ContextNetSpec | BaselineSpec
"""A whole network as data."""


def spec_from_json(values: Mapping[str, Any]) -> NetworkSpec:
    """Rebuild a network's description from JSON values; raises ``WeightsError`` naming the first wrong field."""
    if isinstance(values, Mapping) and KIND in values:
        if values[KIND] != BASELINE:
            raise WeightsError(f"network description: '{KIND}' is {values[KIND]!r:.40}; expected '{BASELINE}'")
        return BaselineSpec.from_json(values)
    return ContextNetSpec.from_json(values)


def named_spec(
    name: str,
    num_classes: int = 19,
    *,
    width: float = 1.0,
    pyramid_pooling: bool = False,
    auxiliary: bool = False,
    dropout: float = 0.1,
) -> NetworkSpec:
    """Describe one of ``NETWORKS``; a baseline has its paper's widths, and of the rest what its paper has.

    Raises ``ContextNetError`` as ``variant`` does, and for a baseline of another width or with pyramid pooling added.
    """
    if name not in _BASELINES:
        if name not in VARIANTS:
            raise ContextNetError(f"no network is called '{name}'; known: {', '.join(NETWORKS)}")
        return variant(
            name, num_classes, width=width, pyramid_pooling=pyramid_pooling, auxiliary=auxiliary, dropout=dropout
        )
    if width != 1 or pyramid_pooling:
        raise ContextNetError(f"'{name}' is built as its paper says; leave out width and pyramid pooling")
    return BaselineSpec(name, num_classes, auxiliary, dropout)


def require_contextnet(spec: NetworkSpec, work: str) -> ContextNetSpec:
    """Give a network of the paper as it is; raises ``ContextNetError`` for another, which cannot be ``work``."""
    if isinstance(spec, ContextNetSpec):
        return spec
    raise ContextNetError(f"'{spec.name}' cannot be {work}: that is for ContextNet's variants ({', '.join(VARIANTS)})")
