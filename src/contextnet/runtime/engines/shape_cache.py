"""What was made for the shapes that came last, since making it for a shape costs far more than using it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")
Shape = tuple[int, ...]

KEPT_SHAPES = 4
"""How many shapes of images an engine stays set up for; on a GPU one holds 100 to 200 MB of its memory at 1024×2048."""


class ShapeCache(Generic[Made]):
    """Makes a value for each shape that is asked for, and keeps those of the last ``room`` shapes."""

    def __init__(self, make: Callable[[Shape], Made], room: int) -> None:
        self._make = make
        self._room = room
        self._kept: OrderedDict[Shape, Made] = OrderedDict()

    def __getitem__(self, shape: Shape) -> Made:
        """Give the value of a shape; what has not been asked for the longest goes before a new one is made."""
        if shape not in self._kept:
            # First, so that the memory of the old one is there for the new one.
            while len(self._kept) >= self._room:
                self._kept.popitem(last=False)
            self._kept[shape] = self._make(shape)
        self._kept.move_to_end(shape)
        return self._kept[shape]

    def clear(self) -> None:
        """Let all values go."""
        self._kept.clear()
