"""Cityscapes: fine and coarse annotations, as the zip files unpack.

::

    ROOT/leftImg8bit/SPLIT/CITY/CITY_*_leftImg8bit.png
    ROOT/gtFine/SPLIT/CITY/CITY_*_gtFine_labelIds.png      also _labelTrainIds.png and _instanceIds.png
    ROOT/gtCoarse/SPLIT/CITY/CITY_*_gtCoarse_labelIds.png

``train_extra`` is annotated coarsely only. ``test`` has no ground truth: the masks that the zip holds for it are void
from edge to edge and are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from contextnet.data.layout import existing_root, in_usual_order, require_split
from contextnet.data.numbering import train_id_numbering
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES

CITYSCAPES_LICENCE = (
    "Trained on Cityscapes (Cordts et al. 2016): non-commercial use under https://www.cityscapes-dataset.com/license/."
)

Annotation = Literal["fine", "coarse"]
MaskIds = Literal["labelIds", "labelTrainIds"]

_GROUND_TRUTH: dict[Annotation, str] = {"fine": "gtFine", "coarse": "gtCoarse"}
_PACKAGES: dict[Annotation, str] = {"fine": "gtFine_trainvaltest.zip", "coarse": "gtCoarse.zip"}
_IMAGE_ENDING = "_leftImg8bit.png"


def cityscapes_splits(root: str | Path, annotation: Annotation = "fine") -> tuple[str, ...]:
    """Name the splits whose images are there and, but for ``test``, their ground truth in the wanted annotation.

    Raises ``DataError`` when the root is not there.
    """
    folder = _root(root)
    found = [s for s in _image_folders(folder) if s == "test" or _masks(folder, s, annotation).is_dir()]
    return in_usual_order(found)


def open_cityscapes(
    root: str | Path, split: str, *, annotation: Annotation = "fine", mask_ids: MaskIds = "labelIds"
) -> PairedFiles:
    """List the pairs of a Cityscapes split: train, val, test or train_extra.

    ``mask_ids`` names the mask files to read; ``labelTrainIds`` are those that cityscapesscripts makes. Instance masks
    are read where they exist. Raises ``DataError`` when the root, the split or its ground truth is not there.
    """
    folder = _root(root)
    images = folder / "leftImg8bit"
    require_split(split, _image_folders(folder), folder, "Cityscapes")
    image_paths = sorted((images / split).glob(f"*/*{_IMAGE_ENDING}"))
    if not image_paths:
        raise DataError(f"{images / split}: holds no image; expected CITY/*{_IMAGE_ENDING}")
    annotation = "coarse" if split == "train_extra" else annotation
    name = f"cityscapes/{split}" if annotation == "fine" else f"cityscapes-coarse/{split}"
    numbering = CITYSCAPES if mask_ids == "labelIds" else train_id_numbering(CITYSCAPES)
    if split == "test":
        pairs = tuple(Pair(path) for path in image_paths)
        return PairedFiles(name, CITYSCAPES, CITYSCAPES_LICENCE, pairs, numbering)
    masks = _masks(folder, split, annotation)
    if not masks.is_dir():
        raise DataError(f"{masks}: does not exist; unpack {_PACKAGES[annotation]} of Cityscapes in {folder}")
    ending = f"_{_GROUND_TRUTH[annotation]}_{mask_ids}.png"
    pairs = tuple(_pair(path, masks, ending, mask_ids) for path in image_paths)
    claimed = {pair.label_path for pair in pairs}
    orphans = tuple(path for path in sorted(masks.glob(f"*/*{ending}")) if path not in claimed)
    return PairedFiles(name, CITYSCAPES, CITYSCAPES_LICENCE, pairs, numbering, orphans)


def _root(root: str | Path) -> Path:
    return existing_root(root, "Cityscapes", "leftImg8bit and gtFine or gtCoarse")


def _image_folders(folder: Path) -> list[str]:
    images = folder / "leftImg8bit"
    return [entry.name for entry in images.iterdir() if entry.is_dir()] if images.is_dir() else []


def _masks(folder: Path, split: str, annotation: Annotation) -> Path:
    """Where the ground truth of a split stands; ``train_extra`` has coarse annotations only."""
    return folder / _GROUND_TRUTH["coarse" if split == "train_extra" else annotation] / split


def _pair(image_path: Path, masks: Path, ending: str, mask_ids: MaskIds) -> Pair:
    stem = image_path.name.removesuffix(_IMAGE_ENDING)
    label_path = masks / image_path.parent.name / f"{stem}{ending}"
    instances_path = label_path.with_name(label_path.name.replace(f"_{mask_ids}.", "_instanceIds."))
    return Pair(image_path, label_path, instances_path if instances_path.exists() else None)
