"""Pictures with what conditions act on: a bright sky, dark walls, a textured road, edges and colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.sample import Sample
from contextnet.labels import CAMVID, LabelSet


def street_picture(size_hw: tuple[int, int] = (180, 240), seed: int = 0) -> NDArray[np.uint8]:
    """Draw sky above, walls to both sides and a road below, with a grain of ±12; uint8 (H, W, 3)."""
    height, width = size_hw
    random = np.random.default_rng(seed)
    picture = np.empty((height, width, 3), np.int64)
    picture[:] = (225, 232, 240)
    picture[:, : width // 4], picture[:, -(width // 4) :] = (120, 70, 60), (60, 90, 50)
    picture[height // 2 :] = (90, 92, 96)
    picture[height // 2 :: 16, :, :] = (200, 200, 190)
    picture += random.integers(-12, 13, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class StreetData:
    """A split of such pictures; sample i is drawn from seed i, and its labels are random."""

    count: int = 2
    size_hw: tuple[int, int] = (180, 240)
    name: str = "street/val"
    labels: LabelSet = CAMVID
    licence: str = "for tests"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        label = np.random.default_rng(index).integers(0, self.labels.num_classes, self.size_hw, np.uint8)
        return Sample(street_picture(self.size_hw, index), label, Path(f"{index}.png"), Path(f"{index}_mask.png"))
