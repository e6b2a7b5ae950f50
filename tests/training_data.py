"""Data for the tests of training: a tiny network's recipe, and images whose colour tells the class of every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from contextnet.data.decoding import DecodedSplit, decode_split
from contextnet.data.sample import Sample
from contextnet.images import write_png
from contextnet.labels import LabelClass, LabelSet
from contextnet.training.recipe.recipe import Recipe, parse_recipe

COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
LABELS = LabelSet("blocks", tuple(LabelClass(f"class {i}", c, "block", (i,)) for i, c in enumerate(COLORS)))


@dataclass(frozen=True)
class Blocks:
    """Samples in memory: blocks of 16×16 pixels, each of one class and painted in its colour."""

    count: int = 4
    size_hw: tuple[int, int] = (32, 64)
    seed: int = 0
    name: str = "blocks/train"
    labels: LabelSet = LABELS
    licence: str = "no restrictions"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if index >= self.count:
            raise IndexError(index)
        height, width = self.size_hw
        random = np.random.default_rng([self.seed, index])
        cells = random.integers(0, len(COLORS), (-(-height // 16), -(-width // 16)), dtype=np.uint8)
        label = cells.repeat(16, axis=0).repeat(16, axis=1)[:height, :width].copy()
        return Sample(np.array(COLORS, np.uint8)[label], label, Path(f"{index}.png"), Path(f"{index}_mask.png"))


def blocks_split(count: int = 4) -> DecodedSplit:
    return decode_split(Blocks(count))


def tiny_recipe(**changes: Any) -> Recipe:
    """A recipe of a few steps in float32; a changed table replaces the whole one, but for the precision."""
    values: dict[str, Any] = {
        "name": "tiny",
        "network": {"variant": "cn14-160", "width": 0.25, "dropout": 0.1},
        "data": {"source": "folder:nowhere"},
        "augmentation": {"crop_hw": [32, 64], "scale": [0.8, 1.25]},
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        "batch_size": 2,
        "epochs": 2,
        "tensorboard": False,
    }
    changes["execution"] = {"precision": "float32"} | changes.get("execution", {})
    return parse_recipe(values | changes, "tiny recipe")


def write_pairs(root: Path, train: int = 8, val: int = 1) -> None:
    """Write the blocks as a folder data set, its masks with ids 1, 2 and 3."""
    classes = [{"name": c.name, "ids": [i]} for i, c in enumerate(LABELS.classes, start=1)]
    for split, count in (("train", train), ("val", val)):
        for name in ("images", "masks"):
            (root / split / name).mkdir(parents=True)
        for index in range(count):
            sample = Blocks(count, seed=len(split))[index]
            assert sample.label is not None
            write_png(root / split / "images" / f"{index}.png", sample.image)
            write_png(root / split / "masks" / f"{index}.png", sample.label + 1)
    (root / "labels.yaml").write_text(yaml.safe_dump({"name": "blocks", "classes": classes}), encoding="utf-8")
