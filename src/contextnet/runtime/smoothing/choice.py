"""The smoothers by name."""

from __future__ import annotations

from collections.abc import Callable

from contextnet.errors import ContextNetError
from contextnet.runtime.smoothing.exponential import Exponential
from contextnet.runtime.smoothing.motion import AlongMotion
from contextnet.runtime.smoothing.smoother import Smoother

SMOOTHERS: dict[str, Callable[[int], Smoother | None]] = {
    "none": lambda stride: None,
    "exponential": lambda stride: Exponential(),
    "motion": lambda stride: AlongMotion(stride=stride),
}


def open_smoother(name: str, stride: int) -> Smoother | None:
    """Make a smoother that has seen no frame, for the scores of a network of this stride; None for "none".

    Raises ``ContextNetError`` for an unknown name.
    """
    if name not in SMOOTHERS:
        raise ContextNetError(f"smoother '{name}' does not exist; use one of {', '.join(SMOOTHERS)}")
    return SMOOTHERS[name](stride)
