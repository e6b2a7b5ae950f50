"""From the words of a recipe or a command line, ``KIND:ROOT`` and a split, to a data set."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial

from contextnet.data.camvid import open_camvid
from contextnet.data.cityscapes import open_cityscapes
from contextnet.data.folder import open_folder
from contextnet.data.kitti import open_kitti
from contextnet.data.pairs import PairedFiles, missing_mask_message
from contextnet.data.sample import SegmentationData
from contextnet.data.synthetic.source import open_synthetic
from contextnet.errors import DataError

SOURCES: dict[str, Callable[[str, str], SegmentationData]] = {
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "cityscapes-coarse": partial(open_cityscapes, annotation="coarse"),
    "cityscapes-trainids": partial(open_cityscapes, mask_ids="labelTrainIds"),
    "kitti": open_kitti,
    "folder": open_folder,
    "synthetic": open_synthetic,
}
"""Opener of each kind, called with what follows the colon and the split."""


def open_data(source: str, split: str, *, allow_missing: bool = False) -> SegmentationData:
    """Open one split of the data set that ``source`` (``KIND:ROOT``) names, as in ``camvid:/data/camvid``.

    An image whose mask is missing is refused here, before any time is spent, unless ``allow_missing``: the data check
    opens a split that way to list them all. Raises ``DataError`` for an unknown kind, root or split.
    """
    kind, colon, root = source.partition(":")
    if not colon or not root:
        raise DataError(f"data source '{source}': expected KIND:ROOT, as in camvid:/data/camvid; kinds: {_kinds()}")
    if kind not in SOURCES:
        near = difflib.get_close_matches(kind.lower(), SOURCES, n=1, cutoff=0.5)
        advice = f"did you mean '{near[0]}'? " if near else ""
        raise DataError(f"data source '{source}': unknown kind '{kind}'; {advice}kinds: {_kinds()}")
    data = SOURCES[kind](root, split)
    if isinstance(data, PairedFiles) and not allow_missing:
        missing = data.missing_masks()
        if missing:
            more = f" ({len(missing) - 1} more images have none either)" if len(missing) > 1 else ""
            raise DataError(missing_mask_message(missing[0]) + more)
    return data


def _kinds() -> str:
    return ", ".join(sorted(SOURCES))
