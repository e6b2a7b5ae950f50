"""Samples of random pixels without files, and a split whose samples a function makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contextnet.data.sample import Sample
from contextnet.errors import ImageError
from contextnet.labels import CAMVID, LabelSet


def sample(index: int, size_hw: tuple[int, int] = (4, 6)) -> Sample:
    random = np.random.default_rng(index)
    image = random.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    label = random.choice(np.array([0, 3, 10, 255], np.uint8), size_hw)
    return Sample(image, label, Path(f"{index}.png"), Path(f"{index}_mask.png"))


@dataclass
class CallableData:
    """A split whose samples a function makes; keeps the indices in the order of reading."""

    count: int
    read: Callable[[int], Sample] = sample
    name: str = "made/train"
    labels: LabelSet = CAMVID
    licence: str = "for tests"
    indices: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.indices.append(index)
        return self.read(index)


def broken_at(*indices: int) -> Callable[[int], Sample]:
    def read(index: int) -> Sample:
        if index in indices:
            raise ImageError(f"{index}.png: is damaged")
        return sample(index)

    return read
