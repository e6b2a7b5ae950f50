"""A picture of a stream, as much of it as labelling needs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class TimedImage(Protocol):
    """One picture of a stream: its pixels, its number and its time."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """The picture, uint8 (H, W, 3) RGB."""
        ...

    @property
    def index(self) -> int:
        """The picture's number in its source, from 0; pictures that were dropped count."""
        ...

    @property
    def time_s(self) -> float:
        """When the picture is to be shown, in seconds of the source's own clock."""
        ...

    @property
    def arrived_s(self) -> float:
        """When the picture came, by ``time.monotonic``."""
        ...
