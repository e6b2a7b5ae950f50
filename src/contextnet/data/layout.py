"""Finding a data set's folders: roots, splits, and masks matched to images by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from contextnet.data.pairs import Pair
from contextnet.errors import DataError
from contextnet.images import image_files


def existing_root(root: str | Path, kind: str, expected: str) -> Path:
    """Give the root folder as a path, ``~`` expanded. Raises ``DataError`` saying what a ``kind`` root holds."""
    path = Path(root).expanduser()
    if not path.is_dir():
        found = "is a file" if path.exists() else "does not exist"
        raise DataError(f"{path}: {found}; the root of {kind} data is a folder with {expected}")
    return path


def in_usual_order(splits: Iterable[str]) -> tuple[str, ...]:
    """Sort split names: train, val and test first, whatever else there is by name."""
    usual = ("train", "val", "test")
    return tuple(sorted(splits, key=lambda name: (usual.index(name) if name in usual else len(usual), name)))


def require_split(split: str, existing: Iterable[str], root: Path, kind: str) -> None:
    """Raise ``DataError`` naming the splits that exist when ``split`` is not one of them."""
    names = sorted(existing)
    if split not in names:
        have = ", ".join(names) if names else "none"
        raise DataError(f"{root}: has no {kind} split '{split}'; splits found: {have}")


def match_by_stem(images: Path, masks: Path) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """Pair every image of a folder with the PNG of the same stem in ``masks``; also list the masks left over.

    A mask that is missing is expected as ``STEM.png``. Raises ``DataError`` when ``images`` is empty or one stem
    stands for two images.
    """
    pairs: dict[str, Pair] = {}
    for path in image_files(images):
        if path.stem in pairs:
            first = pairs[path.stem].image_path
            raise DataError(f"{path}: has the same stem as {first.name}, so both claim one mask; rename or remove one")
        pairs[path.stem] = Pair(path, masks / f"{path.stem}.png")
    masks_found = masks.glob("*.png") if masks.is_dir() else ()
    orphans = tuple(sorted(m for m in masks_found if m.stem not in pairs and not m.name.startswith(".")))
    return tuple(pairs.values()), orphans
