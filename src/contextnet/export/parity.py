"""A model file against its source: the same images through both, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import ExportError

Image = NDArray[np.uint8]
Labeller = Callable[[Image], NDArray[np.uint8]]
"""Anything that labels an image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""

TOLERANCES = {"fp32": 0.9999, "fp16": 0.995, "bf16": 0.995, "int8": 0.97}
"""The least share of pixels that get the source's label, by the precision that computes them."""


@dataclass(frozen=True)
class Parity:
    """How a model file in one engine compares with its source: the share of pixels with equal labels, 0..1.

    ``tolerance`` is the least share that is accepted; ``images`` is how many were compared.
    """

    engine: str
    precision: str
    images: int
    equal_share: float
    tolerance: float


def compare(
    exported: Labeller, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]], engine: str, precision: str
) -> Parity:
    """Label ``images`` with an exported network and hold its labels against those that its source gives.

    Raises ``ExportError`` when fewer pixels are equal than ``TOLERANCES`` has for ``precision``.
    """
    pixels = equal = 0
    for image, labels in zip(images, expected, strict=True):
        pixels += labels.size
        equal += int(np.count_nonzero(exported(image) == labels))
    parity = Parity(engine, precision, len(images), equal / pixels, TOLERANCES[precision])
    if parity.equal_share < parity.tolerance:
        raise ExportError(
            f"the exported network differs from its source: in {engine} ({precision}) {parity.equal_share:.4%} of the "
            f"pixels of {len(images)} images have the same label, expected at least {parity.tolerance:.2%}; "
            "nothing was written"
        )
    return parity
