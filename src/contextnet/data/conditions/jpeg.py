"""Images that were compressed too much."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from contextnet.data.conditions.srgb import Picture


@dataclass(frozen=True)
class JpegCompression:
    """An image that was kept as a JPEG file of a ``quality`` of 1…95, with colours at half the size (4:2:0)."""

    quality: int

    def worsen(self, image_HW3: Picture, random: np.random.Generator) -> Picture:
        """Write an image as a JPEG file, in memory, and read it."""
        file = io.BytesIO()
        Image.fromarray(image_HW3).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        return np.array(Image.open(file).convert("RGB"))

    def describe(self) -> str:
        """Say which quality."""
        return f"quality {self.quality}"
