"""Things that are smaller or larger in the image than a network is used to, and labels brought back to their size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.conditions.srgb import Picture


@dataclass(frozen=True)
class Scaling:
    """An image that is shown at ``scale`` times its height and width."""

    scale: float

    def size_of(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Give the new size: each side times the scale, to the nearest pixel, halves up, and at least one."""
        height, width = (max(1, int(side * self.scale + 0.5)) for side in size_hw)
        return height, width

    def resize(self, image_HW3: Picture) -> Picture:
        """Bring an image, uint8 (H, W, 3), to its new size: bilinear, antialiased where it gets smaller."""
        height, width = self.size_of((image_HW3.shape[0], image_HW3.shape[1]))
        return np.array(Image.fromarray(image_HW3).resize((width, height), Image.Resampling.BILINEAR))

    def describe(self) -> str:
        """Say how large the image becomes."""
        return f"{100 * self.scale:g} % of the height and width"


def labels_at(labels_HW: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring labels, uint8 (h, w), to a size (H, W) by nearest neighbour: each is one that stood in the source.

    Row i takes row ⌊(i + ½) · h / H⌋, in which the middle of its pixels falls; so do columns.
    """
    rows, columns = (
        ((2 * np.arange(new) + 1) * old // (2 * new)) for old, new in zip(labels_HW.shape, size_hw, strict=True)
    )
    labels: NDArray[np.uint8] = labels_HW[rows[:, None], columns[None, :]]
    return labels
