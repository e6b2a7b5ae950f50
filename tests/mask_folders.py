"""Folders of pairs without labels.yaml, their masks drawn from a field of area numbers, for the label doctor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from contextnet.images import write_png

SIZE_HW = (32, 64)
SPLITS = {"train": 2, "val": 1}


def draw_field(shares: Sequence[float], seed: int) -> np.ndarray:
    """Blocks of 2×2 pixels, area number k on about ``shares[k]`` of them and on one at least; uint8 (H, W)."""
    height, width = SIZE_HW[0] // 2, SIZE_HW[1] // 2
    blocks = np.maximum(1, np.round(np.array(shares) / sum(shares) * height * width)).astype(int)
    blocks[np.argmax(blocks)] += height * width - blocks.sum()
    numbers = np.repeat(np.arange(len(shares), dtype=np.uint8), blocks)
    np.random.default_rng(seed).shuffle(numbers)
    return numbers.reshape(height, width).repeat(2, axis=0).repeat(2, axis=1)


def fields(shares: Sequence[float]) -> dict[tuple[str, str], np.ndarray]:
    """One field for every mask of the splits, by split and stem."""
    names = [(split, f"{split}{i}") for split, count in SPLITS.items() for i in range(count)]
    return {name: draw_field(shares, seed) for seed, name in enumerate(names)}


def write_folder(root: Path, shares: Sequence[float], values: Sequence[object], form: str = "plain") -> Path:
    """Write ``images`` and ``masks``; area number k is painted as ``values[k]``, an id or a colour.

    ``form`` is plain (grey or RGB), rgba, or palette, where the ids ``values`` are the indices of a palette in which
    index i has the colour (i, 255 - i, 7).
    """
    random = np.random.default_rng(5)
    for (split, stem), field in fields(shares).items():
        mask = np.array(values, np.uint8)[field]
        for folder in ("images", "masks"):
            (root / split / folder).mkdir(parents=True, exist_ok=True)
        write_png(root / split / "images" / f"{stem}.png", random.integers(0, 256, (*SIZE_HW, 3), np.uint8))
        path = root / split / "masks" / f"{stem}.png"
        if form == "palette":
            image = Image.fromarray(mask).convert("P")
            image.putdata(mask.ravel().tolist())
            image.putpalette([part for i in range(256) for part in (i, 255 - i, 7)])
            image.save(path)
        elif form == "rgba":
            alpha = np.full((*SIZE_HW, 1), 255, np.uint8)
            Image.fromarray(np.concatenate([mask, alpha], axis=-1)).save(path)
        else:
            write_png(path, mask)
    return root
