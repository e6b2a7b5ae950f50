"""Folders of pairs that have no labels.yaml yet: what the check says of them."""

from __future__ import annotations

from pathlib import Path

from contextnet.data.check import DataReport, Problem
from contextnet.data.folder import folder_labels_path, folder_pairs, folder_splits
from contextnet.data.pairs import Pair, missing_mask
from contextnet.data.parts import split_and_part

_FOLDER = "folder:"


def lacks_labels(source: str) -> bool:
    """Tell whether ``source`` (``KIND:ROOT``) is a folder of pairs without labels.yaml.

    Raises ``DataError`` when it is a folder whose root is not there.
    """
    return source.startswith(_FOLDER) and not folder_labels_path(source.removeprefix(_FOLDER)).is_file()


def unlabelled_pairs(root: str | Path, split: str) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """List the pairs of a split, or of ``SPLIT@PART``, and the masks that no image claims, as ``folder_pairs`` does."""
    whole, part = split_and_part(split, lambda: folder_splits(root))
    pairs, orphans = folder_pairs(root, whole)
    if part is None:
        return pairs, orphans
    return part.of_pairs(pairs, whole), tuple(path for path in orphans if part.takes(path))


def check_unlabelled(source: str, split: str) -> DataReport:
    """Report a split of such a folder without reading its files: labels.yaml is missing, and images or masks may be.

    Raises ``DataError`` when the split or its part is not there or empty.
    """
    root = source.removeprefix(_FOLDER)
    pairs, orphans = unlabelled_pairs(root, split)
    path = folder_labels_path(root)
    problems = [Problem("missing labels", path, "does not exist", "name the classes and their mask ids or colours")]
    for pair in pairs:
        if pair.label_path is not None and not pair.label_path.exists():
            error = missing_mask(pair)
            problems.append(Problem("missing mask", Path(error.file), error.detail, error.remedy))
    problems += [
        Problem("missing image", orphan, "is a mask that no image claims", "add its image or remove the mask")
        for orphan in orphans
    ]
    masks = sum(p.label_path is not None and p.label_path.exists() for p in pairs)
    return DataReport(f"{path.parent.name}/{split}", len(pairs), masks, (), {}, (), 0, 0, tuple(problems))
