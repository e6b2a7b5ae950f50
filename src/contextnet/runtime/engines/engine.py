"""What every engine is: images go in, scores or labels come out, at once or a few calls later.

Shapes: images are uint8 (N, H, W, 3) RGB; scores float32 (N, C, H' / S, W' / S) of the images padded at the bottom and
the right to the network's multiple, S the network's output stride; labels uint8 (N, H, W) train ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Scores = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class EngineInfo:
    """What computes, where and how: name and version of the engine, device, precision of its arithmetic.

    ``in_flight`` is how many calls it computes at a time; 1 is for the least latency, more for the highest rate.
    """

    name: str
    version: str
    device: str
    precision: str
    in_flight: int


class Inference(Protocol):
    """One call on its way; its results may be taken once or several times, and stay valid."""

    def scores(self) -> Scores:
        """Wait, and give the scores."""
        ...

    def labels(self) -> Labels:
        """Wait, and give the labels."""
        ...


class Engine(Protocol):
    """A network ready to run on images of any size."""

    @property
    def info(self) -> EngineInfo:
        """What computes, where and how."""
        ...

    def submit(self, images: Images) -> Inference:
        """Begin with some images of one size; they must not change until the result has been taken.

        Returns at once while fewer than ``info.in_flight`` calls are being computed, otherwise waits for one of them.
        Calls may come from one thread at a time.
        """
        ...

    def close(self) -> None:
        """Give back memory and threads; calls that are on their way are finished first."""
        ...
