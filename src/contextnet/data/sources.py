"""From the words of a recipe or a command line, ``KIND:ROOT`` and a split, to a data set."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from contextnet.data.camvid import camvid_splits, open_camvid
from contextnet.data.cityscapes import cityscapes_splits, open_cityscapes
from contextnet.data.folder import folder_splits, open_folder
from contextnet.data.kitti import kitti_splits, open_kitti
from contextnet.data.pairs import PairedFiles, missing_mask
from contextnet.data.parts import split_and_part, take_part
from contextnet.data.sample import SegmentationData
from contextnet.data.synthetic.source import open_synthetic, synthetic_splits
from contextnet.errors import DataError


@dataclass(frozen=True)
class Kind:
    """How data of one kind is opened and listed.

    ``open`` is called with what follows the colon and the split, ``splits`` with what follows the colon.
    """

    open: Callable[[str, str], SegmentationData]
    splits: Callable[[str], tuple[str, ...]]


KINDS: dict[str, Kind] = {
    "camvid": Kind(open_camvid, camvid_splits),
    "cityscapes": Kind(open_cityscapes, cityscapes_splits),
    "cityscapes-coarse": Kind(
        partial(open_cityscapes, annotation="coarse"), partial(cityscapes_splits, annotation="coarse")
    ),
    "cityscapes-trainids": Kind(partial(open_cityscapes, mask_ids="labelTrainIds"), cityscapes_splits),
    "kitti": Kind(open_kitti, kitti_splits),
    "folder": Kind(open_folder, folder_splits),
    "synthetic": Kind(open_synthetic, synthetic_splits),
}
"""The kinds of data by the word before the colon."""


def open_data(source: str, split: str, *, allow_missing: bool = False) -> SegmentationData:
    """Open one split of the data set that ``source`` (``KIND:ROOT``) names, as in ``camvid:/data/camvid``.

    ``SPLIT@PART`` is a part of a split by its file names, see ``contextnet.data.parts``. An image whose mask is missing
    is refused here, before any time is spent, unless ``allow_missing``: the data check opens a split that way to list
    them all. Raises ``DataError`` for an unknown kind, root or split, and for a part that cannot be taken.
    """
    kind, root = _kind_and_root(source)
    whole, part = split_and_part(split, lambda: kind.splits(root))
    data = kind.open(root, whole)
    if part is not None:
        if not isinstance(data, PairedFiles):
            raise DataError(
                f"data source '{source}', split '{split}': its samples have no file names, by which a part is taken; "
                f"name the whole split '{whole}'"
            )
        data = take_part(data, part)
    if isinstance(data, PairedFiles) and not allow_missing:
        missing = data.missing_masks()
        if missing:
            more = f" ({len(missing) - 1} more images have none either)" if len(missing) > 1 else ""
            raise DataError(f"{missing_mask(missing[0])}{more}")
    return data


def list_splits(source: str) -> tuple[str, ...]:
    """Name the splits that the data set of ``source`` (``KIND:ROOT``) has: train, val and test first.

    Raises ``DataError`` for an unknown kind or root, and when there is no split at all.
    """
    kind, root = _kind_and_root(source)
    splits = kind.splits(root)
    if not splits:
        raise DataError(f"data source '{source}': holds no split; check the folder and its layout")
    return splits


def _kind_and_root(source: str) -> tuple[Kind, str]:
    name, colon, root = source.partition(":")
    kinds = ", ".join(sorted(KINDS))
    if not colon or not root:
        raise DataError(f"data source '{source}': expected KIND:ROOT, as in camvid:/data/camvid; kinds: {kinds}")
    if name not in KINDS:
        near = difflib.get_close_matches(name.lower(), KINDS, n=1, cutoff=0.5)
        advice = f"did you mean '{near[0]}'? " if near else ""
        raise DataError(f"data source '{source}': unknown kind '{name}'; {advice}kinds: {kinds}")
    return KINDS[name], root
