"""What every way of making images worse is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from contextnet.data.conditions.srgb import Picture


class Worsening(Protocol):
    """Makes an image worse, by a fixed amount; where every pixel stands, and so its label, stays the same."""

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Give the worse image, uint8 (H, W, 3) as the given one, which is left as it is.

        The same image and a generator in the same state give the same pixels.
        """
        ...

    def describe(self) -> str:
        """Say in a few words, with figures and units, by how much."""
        ...
