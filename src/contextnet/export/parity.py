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
"""The least share of pixels that get the source's label, by the precision that stores or computes the network."""


OWN_DISAGREEMENTS = 2
"""How often float32 may differ, as a multiple of how often the network differs from itself when it sums otherwise."""


@dataclass(frozen=True)
class Parity:
    """How a model file in one engine compares with its source: the share of pixels with equal labels, 0..1.

    ``precision`` is what the engine says that it computed in, as in "int8+bf16"; ``tolerance`` is the least share that
    is accepted; ``images`` is how many were compared.
    """

    engine: str
    precision: str
    images: int
    equal_share: float
    tolerance: float

    @property
    def is_within(self) -> bool:
        """Whether enough pixels are equal."""
        return self.equal_share >= self.tolerance

    def require(self) -> None:
        """Raise ``ExportError`` when too few pixels are equal."""
        if not self.is_within:
            raise ExportError(
                f"the exported network differs from its source: in {self.engine} ({self.precision}) "
                f"{self.equal_share:.4%} of the pixels of {self.images} images have the same label, expected at least "
                f"{self.tolerance:.2%}; nothing was written"
            )


def tolerance(stored: str, computed: str) -> float:
    """Give the least share of equal labels for a model file of precision ``stored`` that is computed in ``computed``.

    ``computed`` is as engines tell it, as in "int8+bf16"; the coarsest of all counts.
    """
    return min(TOLERANCES[precision] for precision in (stored, *computed.split("+")))


def own_tolerance(own_share: float) -> float:
    """Give the least share in float32 of a network that keeps ``own_share`` of its labels when its sums are reordered.

    Max pooling that is undone turns rounding into other labels: among values that are nearly equal, another one is the
    largest. What such a network does to itself no export can avoid; at most float16's share is accepted.
    """
    return max(TOLERANCES["fp16"], min(TOLERANCES["fp32"], 1 - OWN_DISAGREEMENTS * (1 - own_share)))


def equal_share(labels: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]]) -> float:
    """Give the share of pixels, 0..1, that two labellings of the same images, at least one, have in common."""
    equal = sum(int(np.count_nonzero(one == other)) for one, other in zip(labels, others, strict=True))
    return equal / sum(one.size for one in labels)


def compare(
    exported: Labeller,
    images: Sequence[Image],
    expected: Sequence[NDArray[np.uint8]],
    engine: str,
    precision: str,
    least: float,
) -> Parity:
    """Label ``images``, at least one, with an exported network and hold its labels against those of its source.

    ``engine`` and ``precision`` tell what computes, ``least`` is the share of equal pixels that is accepted.
    """
    share = equal_share([exported(image) for image in images], expected)
    return Parity(engine, precision, len(images), share, least)
