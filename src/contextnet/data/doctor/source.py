"""The label doctor on a data set by its words, ``KIND:ROOT``: all masks of its splits, read by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from contextnet.data.doctor.census import count_masks
from contextnet.data.doctor.class_list import find_class_list
from contextnet.data.doctor.diagnosis import Diagnosis, diagnose
from contextnet.data.doctor.unlabelled import lacks_labels, unlabelled_pairs
from contextnet.data.label_file import LabelFile
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.data.sources import open_data
from contextnet.errors import DataError


def diagnose_source(
    source: str, splits: Sequence[str], progress: Callable[[int, int], None] | None = None
) -> Diagnosis:
    """Count what every mask of the splits holds and propose the label sets that read them.

    ``progress`` is called with the masks done and their total. Raises ``DataError`` for data without mask files, and
    for a class list beside the data that cannot be read.
    """
    root = Path(source.partition(":")[2]).expanduser()
    present: LabelFile | None = None
    pairs: list[Pair] = []
    for split in splits:
        if lacks_labels(source):
            pairs.extend(unlabelled_pairs(root, split)[0])
            continue
        data = open_data(source, split, allow_missing=True)
        if not isinstance(data, PairedFiles):
            raise DataError(f"data source '{source}': has no mask files, so there is no label set to propose")
        present = LabelFile(data.numbering, data.colors)
        pairs.extend(data.pairs)
    masks = [pair.label_path for pair in pairs if pair.label_path is not None and pair.label_path.exists()]
    return diagnose(count_masks(masks, progress), _set_name(root), find_class_list(root), present)


def _set_name(root: Path) -> str:
    return root.resolve().name or "classes"
