"""Your own data: folders of images and masks, matched by name, with the classes in a YAML file.

::

    ROOT/labels.yaml            name, classes and void ids (see LabelSet.from_yaml)
    ROOT/SPLIT/images/NAME.*    any image format that is read
    ROOT/SPLIT/masks/NAME.png   one channel, or a palette whose indices are the ids

SPLIT is any name. Without split folders, ``ROOT/images`` and ``ROOT/masks`` form the one split ``all``.
"""

from __future__ import annotations

from pathlib import Path

from contextnet.data.layout import existing_root, in_usual_order, match_by_stem, require_split
from contextnet.data.pairs import PairedFiles
from contextnet.errors import DataError
from contextnet.labels import LabelSet


def folder_splits(root: str | Path) -> tuple[str, ...]:
    """Name the splits of a folder of pairs that are there. Raises ``DataError`` when the root is not."""
    return in_usual_order(_split_folders(_root(root)))


def open_folder(root: str | Path, split: str) -> PairedFiles:
    """List the pairs of one split of a folder of pairs.

    Raises ``DataError`` when labels.yaml, the split or its masks folder is not there, or the split is empty.
    """
    folder = _root(root)
    splits = _split_folders(folder)
    require_split(split, splits, folder, "folder")
    labels_path = folder / "labels.yaml"
    if not labels_path.is_file():
        raise DataError(f"{labels_path}: does not exist; list the classes and their mask ids in it")
    labels = LabelSet.from_yaml(labels_path)
    images, masks = splits[split] / "images", splits[split] / "masks"
    if not masks.is_dir():
        raise DataError(f"{masks}: does not exist; put the mask of every image in {images} there, as a PNG")
    pairs, orphans = match_by_stem(images, masks)
    return PairedFiles(f"{labels.name}/{split}", labels, "", pairs, labels, orphans)


def _root(root: str | Path) -> Path:
    return existing_root(root, "folder", "labels.yaml and SPLIT/images, SPLIT/masks")


def _split_folders(folder: Path) -> dict[str, Path]:
    splits = {entry.parent.name: entry.parent for entry in folder.glob("*/images") if entry.is_dir()}
    if (folder / "images").is_dir():
        splits.setdefault("all", folder)
    return splits
