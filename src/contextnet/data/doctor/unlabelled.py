"""Folders of pairs that have no labels.yaml yet: what the check says of them."""

from __future__ import annotations

from pathlib import Path

from contextnet.data.check import DataReport, Problem
from contextnet.data.folder import folder_labels_path, folder_pairs
from contextnet.data.pairs import missing_mask

_FOLDER = "folder:"


def lacks_labels(source: str) -> bool:
    """Tell whether ``source`` (``KIND:ROOT``) is a folder of pairs without labels.yaml.

    Raises ``DataError`` when it is a folder whose root is not there.
    """
    return source.startswith(_FOLDER) and not folder_labels_path(source.removeprefix(_FOLDER)).is_file()


def check_unlabelled(source: str, split: str) -> DataReport:
    """Report a split of such a folder without reading its files: labels.yaml is missing, and images or masks may be.

    Raises ``DataError`` when the split is not there or empty.
    """
    root = source.removeprefix(_FOLDER)
    pairs, orphans = folder_pairs(root, split)
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
