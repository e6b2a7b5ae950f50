"""KITTI semantics: 200 annotated street images in the Cityscapes classes and ids.

::

    ROOT/training/image_2/*.png  ROOT/training/semantic/*.png   200 pairs
    ROOT/testing/image_2/*.png                                  200 images without ground truth

KITTI names no validation split. Here ``val`` is every fifth image of ``training`` by name (the 5th, 10th, …: 40 of
200) and ``train`` the other 160. The instance masks are numbered otherwise than Cityscapes' and are not read.
"""

from __future__ import annotations

from pathlib import Path

from contextnet.data.layout import existing_root, match_by_stem, require_split
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.errors import DataError
from contextnet.images import image_files
from contextnet.labels import CITYSCAPES

KITTI_LICENCE = "Trained on KITTI semantics (Abu Alhaija et al. 2018): CC BY-NC-SA 3.0, non-commercial use."

_VAL_EVERY = 5
_FOLDERS = {"train": "training", "val": "training", "test": "testing"}


def kitti_splits(root: str | Path) -> tuple[str, ...]:
    """Name the splits of KITTI that are there. Raises ``DataError`` when the root is not."""
    folder = _root(root)
    return tuple(split for split, name in _FOLDERS.items() if (folder / name / "image_2").is_dir())


def open_kitti(root: str | Path, split: str) -> PairedFiles:
    """List the pairs of a KITTI split: train, val or test. Raises ``DataError`` when root or split is not there."""
    folder = _root(root)
    require_split(split, kitti_splits(folder), folder, "KITTI")
    images = folder / _FOLDERS[split] / "image_2"
    name = f"kitti/{split}"
    if split == "test":
        pairs = tuple(Pair(path) for path in image_files(images))
        return PairedFiles(name, CITYSCAPES, KITTI_LICENCE, pairs, CITYSCAPES)
    everything, orphans = match_by_stem(images, folder / "training" / "semantic")
    in_val = split == "val"
    pairs = tuple(pair for i, pair in enumerate(everything) if (i % _VAL_EVERY == _VAL_EVERY - 1) == in_val)
    if not pairs:
        raise DataError(f"{images}: holds {len(everything)} images, too few for a '{split}' split of every fifth")
    return PairedFiles(name, CITYSCAPES, KITTI_LICENCE, pairs, CITYSCAPES, orphans)


def _root(root: str | Path) -> Path:
    return existing_root(root, "KITTI", "training/image_2, training/semantic and testing/image_2")
