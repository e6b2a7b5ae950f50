"""The smoothers by name."""

from __future__ import annotations

from collections.abc import Callable

from contextnet.errors import ContextNetError
from contextnet.runtime.smoothing.exponential import Exponential
from contextnet.runtime.smoothing.motion import AlongMotion
from contextnet.runtime.smoothing.smoother import Smoother


def _nothing() -> None:
    """Leave the scores as they are."""


SMOOTHERS: dict[str, Callable[[], Smoother | None]] = {
    "none": _nothing,
    "exponential": Exponential,
    "motion": AlongMotion,
}


def open_smoother(name: str) -> Smoother | None:
    """Make a smoother that has seen no frame; None for "none". Raises ``ContextNetError`` for an unknown name."""
    if name not in SMOOTHERS:
        raise ContextNetError(f"smoother '{name}' does not exist; use one of {', '.join(SMOOTHERS)}")
    return SMOOTHERS[name]()
