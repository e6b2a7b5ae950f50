"""Data for the tests of evaluation: samples kept in memory, and random street-like label images with objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample
from contextnet.labels import CITYSCAPES, LabelSet

Uint8Array = NDArray[np.uint8]


class MemoryData:
    """A split whose samples are given; keeps the indices in the order of reading."""

    licence = ""

    def __init__(self, samples: list[Sample], labels: LabelSet = CITYSCAPES, name: str = "memory/val") -> None:
        self._samples = samples
        self.labels = labels
        self.name = name
        self.indices: list[int] = []

    @property
    def reads(self) -> int:
        return len(self.indices)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        self.indices.append(index)
        return self._samples[index]


class Replay:
    """A predictor that returns the given predictions in order, whatever the image."""

    def __init__(self, predictions: list[Uint8Array]) -> None:
        self._predictions: Iterator[Uint8Array] = iter(predictions)

    def labels(self, image_HW3: Uint8Array) -> Uint8Array:
        return next(self._predictions)


@dataclass(frozen=True)
class Scene:
    """Ground truth as Cityscapes files hold it, and a prediction in train ids."""

    file_ids: Uint8Array
    instances: NDArray[np.int32]
    predicted: Uint8Array


def sample_of(scene: Scene, image_path: Path) -> Sample:
    height, width = scene.file_ids.shape
    return Sample(
        np.zeros((height, width, 3), np.uint8), CITYSCAPES.encode(scene.file_ids), image_path, None, scene.instances
    )


_OBJECT_IDS = (24, 25, 26, 27, 28, 29, 30, 31, 32, 33)  # 29 and 30 have objects in the files and are not evaluated
_STUFF_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23)
_VOID_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18)


def random_scene(generator: np.random.Generator) -> Scene:
    """Paint random ellipses of stuff, void, single objects and groups, and predict them with errors."""
    height, width = (int(n) for n in generator.integers(9, 72, 2))
    file_ids = np.full((height, width), generator.choice(_STUFF_IDS), np.uint8)
    instances = file_ids.astype(np.int32)
    stuff = generator.permutation(_STUFF_IDS)[: generator.integers(1, 6)]
    objects = generator.permutation(_OBJECT_IDS)[: generator.integers(0, 6)]
    numbers = dict.fromkeys(_OBJECT_IDS, 0)
    for _ in range(int(generator.integers(5, 26))):
        blob = _ellipse(generator, height, width)
        kind = generator.random()
        if kind < 0.35 or (kind < 0.9 and not objects.size):
            file_id = number = int(generator.choice(stuff))
        elif kind < 0.8:
            file_id = int(generator.choice(objects))
            number = file_id * 1000 + numbers[file_id]
            numbers[file_id] += 1
        elif kind < 0.9:
            file_id = number = int(generator.choice(objects))  # a group: the class without a number
        else:
            file_id = number = int(generator.choice(_VOID_IDS))
        file_ids[blob], instances[blob] = file_id, number
    return Scene(file_ids, instances, _predict(generator, CITYSCAPES.encode(file_ids)))


def _predict(generator: np.random.Generator, label: Uint8Array) -> Uint8Array:
    """Start from the truth, guess where it is void, and spoil some blobs and some single pixels."""
    height, width = label.shape
    guess = generator.integers(0, 19, label.shape).astype(np.uint8)
    predicted = np.where(label == 255, guess, label)
    for _ in range(int(generator.integers(0, 6))):
        predicted[_ellipse(generator, height, width)] = generator.choice([*range(19), 255])
    noisy = generator.random(label.shape) < generator.choice([0.0, 0.02, 0.3])
    return np.where(noisy, guess, predicted).astype(np.uint8)


def _ellipse(generator: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:height, :width]
    radius_rows, radius_columns = generator.uniform(1.0, height / 3), generator.uniform(1.0, width / 3)
    row, column = generator.uniform(0, height), generator.uniform(0, width)
    inside: NDArray[np.bool_] = ((rows - row) / radius_rows) ** 2 + ((columns - column) / radius_columns) ** 2 <= 1
    return inside
