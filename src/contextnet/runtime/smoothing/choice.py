"""The smoothers by name."""

from __future__ import annotations

from collections.abc import Callable

from contextnet.errors import ContextNetError
from contextnet.runtime.smoothing.exponential import Exponential
from contextnet.runtime.smoothing.motion import AlongMotion
from contextnet.runtime.smoothing.smoother import Smoother
from contextnet.spec import OUTPUT_STRIDE

SMOOTHERS: dict[str, Callable[[int], Smoother | None]] = {
    "none": lambda side: None,
    "exponential": lambda side: Exponential(),
    "motion": lambda side: AlongMotion(side=side),
}


def open_smoother(name: str, side: int = OUTPUT_STRIDE) -> Smoother | None:
    """Make a smoother that has seen no frame, for cells of ``side`` × ``side`` pixels; None for "none".

    Raises ``ContextNetError`` for an unknown name.
    """
    if name not in SMOOTHERS:
        raise ContextNetError(f"smoother '{name}' does not exist; use one of {', '.join(SMOOTHERS)}")
    return SMOOTHERS[name](side)
