"""CamVid in the SegNet split: 11 classes, one-channel masks beside the images.

::

    ROOT/train/*.png  ROOT/trainannot/*.png   367 images
    ROOT/val/*.png    ROOT/valannot/*.png     101 images
    ROOT/test/*.png   ROOT/testannot/*.png    233 images; without testannot the split has no ground truth
"""

from __future__ import annotations

from pathlib import Path

from contextnet.data.layout import existing_root, match_by_stem, require_split
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.images import image_files
from contextnet.labels import CAMVID

CAMVID_LICENCE = "Trained on CamVid (Brostow, Fauqueur, Cipolla 2009; SegNet split): CC BY-NC 4.0, non-commercial use."

_SPLITS = ("train", "val", "test")


def camvid_splits(root: str | Path) -> tuple[str, ...]:
    """Name the splits of CamVid that are there. Raises ``DataError`` when the root is not."""
    folder = _root(root)
    return tuple(split for split in _SPLITS if (folder / split).is_dir())


def open_camvid(root: str | Path, split: str) -> PairedFiles:
    """List the pairs of a CamVid split. Raises ``DataError`` when the root or the split is not there."""
    folder = _root(root)
    require_split(split, camvid_splits(folder), folder, "CamVid")
    images, masks = folder / split, folder / f"{split}annot"
    orphans: tuple[Path, ...] = ()
    if split == "test" and not masks.is_dir():
        pairs = tuple(Pair(path) for path in image_files(images))
    else:
        pairs, orphans = match_by_stem(images, masks)
    return PairedFiles(f"camvid/{split}", CAMVID, CAMVID_LICENCE, pairs, CAMVID, orphans)


def _root(root: str | Path) -> Path:
    return existing_root(root, "CamVid", "train, trainannot, val and valannot")
