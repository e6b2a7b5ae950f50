"""Your own data: folders of images and masks, matched by name, with the classes in a YAML file.

::

    ROOT/labels.yaml            name, classes and void, by mask id or by mask colour (see label_file)
    ROOT/SPLIT/images/NAME.*    any image format that is read
    ROOT/SPLIT/masks/NAME.png   one channel, a palette whose indices are the ids, or colours

SPLIT is any name. Without split folders, ``ROOT/images`` and ``ROOT/masks`` form the one split ``all``.
"""

from __future__ import annotations

from pathlib import Path

from contextnet.data.label_file import read_label_file
from contextnet.data.layout import existing_root, in_usual_order, match_by_stem, require_split
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.errors import DataError


def folder_splits(root: str | Path) -> tuple[str, ...]:
    """Name the splits of a folder of pairs that are there. Raises ``DataError`` when the root is not."""
    return in_usual_order(_split_folders(_root(root)))


def open_folder(root: str | Path, split: str) -> PairedFiles:
    """List the pairs of one split of a folder of pairs.

    Raises ``DataError`` when labels.yaml, the split or its masks folder is not there, or the split is empty.
    """
    labels_path = folder_labels_path(root)
    _require_split_folder(root, split)
    if not labels_path.is_file():
        raise DataError(
            f"{labels_path}: does not exist; list the classes and their mask ids or colours in it, "
            f"or let 'contextnet data check folder:{root} --write-labels {labels_path}' propose them"
        )
    file = read_label_file(labels_path)
    pairs, orphans = folder_pairs(root, split)
    return PairedFiles(f"{file.labels.name}/{split}", file.labels, "", pairs, file.labels, orphans, file.colors)


def folder_labels_path(root: str | Path) -> Path:
    """Give the path of labels.yaml, whether or not it is there. Raises ``DataError`` when the root is not."""
    return _root(root) / "labels.yaml"


def folder_pairs(root: str | Path, split: str) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """List the pairs of a split and the masks that no image claims; labels.yaml is not needed.

    Raises ``DataError`` when the split or its masks folder is not there, or the split is empty.
    """
    folder = _require_split_folder(root, split)
    images, masks = folder / "images", folder / "masks"
    if not masks.is_dir():
        raise DataError(f"{masks}: does not exist; put the mask of every image in {images} there, as a PNG")
    return match_by_stem(images, masks)


def _require_split_folder(root: str | Path, split: str) -> Path:
    folder = _root(root)
    splits = _split_folders(folder)
    require_split(split, splits, folder, "folder")
    return splits[split]


def _root(root: str | Path) -> Path:
    return existing_root(root, "folder", "labels.yaml and SPLIT/images, SPLIT/masks")


def _split_folders(folder: Path) -> dict[str, Path]:
    splits = {entry.parent.name: entry.parent for entry in folder.glob("*/images") if entry.is_dir()}
    if (folder / "images").is_dir():
        splits.setdefault("all", folder)
    return splits
