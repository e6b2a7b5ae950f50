"""Images without much difference between dark and bright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contextnet.data.conditions.srgb import Picture


@dataclass(frozen=True)
class LowContrast:
    """Values that are drawn towards the image's mean, of all pixels and channels: ``share`` of the distance is left."""

    share: float

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Flatten an image."""
        mean = image_HW3.mean(dtype=np.float64)
        flatter: Picture = np.rint(mean + (image_HW3 - mean) * self.share).astype(np.uint8)
        return flatter

    def describe(self) -> str:
        """Say how much is left."""
        return f"{100 * self.share:g} % of the contrast left"
