"""Synthetic streets as a data set, straight from memory, and the seeds of its splits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from contextnet.data.sample import Sample
from contextnet.data.synthetic.drive import Drive
from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES, LabelSet

FIRST_SEED: dict[str, int] = {"train": 0, "val": 10_000, "demo": 20_000}
SEEDS_PER_SPLIT = 10_000
SYNTHETIC_LICENCE = "Trained on synthetic streets drawn by this package: Apache-2.0."
OPEN_DRIVES = 4


def drives_for(
    split: str,
    count: int,
    size_hw: tuple[int, int] = (1024, 2048),
    frame_count: int = 30,
    frames_per_s: float = 17.0,
    varied: bool = False,
) -> tuple[Drive, ...]:
    """Give the first ``count`` drives of a split, through busy streets or through varied ones (see ``Drive``).

    The seeds of train are 0…9999, of val 10000…19999, of demo 20000…29999, so no street stands in two splits.
    Raises ``DataError`` for an unknown split or too many drives.
    """
    if split not in FIRST_SEED:
        raise DataError(f"synthetic split '{split}' does not exist; use one of {', '.join(FIRST_SEED)}")
    if not 1 <= count <= SEEDS_PER_SPLIT:
        raise DataError(f"synthetic split '{split}': {count} drives asked for; 1 to {SEEDS_PER_SPLIT} are possible")
    first = FIRST_SEED[split]
    return tuple(Drive(first + i, size_hw, frame_count, frames_per_s, varied) for i in range(count))


class SyntheticStreets:
    """The frames of several drives, one after the other, as samples drawn when asked for.

    ``split`` only names the data. The last few drives that were read keep their streets drawn; reading in order is
    therefore much faster than at random. Threads may read at the same time. Raises ``DataError`` without drives, or
    for a label set that lacks the Cityscapes ids.
    """

    def __init__(self, drives: Sequence[Drive], labels: LabelSet = CITYSCAPES, split: str = "train") -> None:
        if not drives:
            raise DataError("synthetic streets need at least one drive; make some with drives_for")
        self._drives = tuple(drives)
        self._labels = labels
        self._split = split
        self._places = [(d, i) for d, drive in enumerate(self._drives) for i in range(len(drive))]
        self._open: OrderedDict[int, None] = OrderedDict()
        self._open_lock = Lock()

    def __reduce__(self) -> tuple[type[SyntheticStreets], tuple[tuple[Drive, ...], LabelSet, str]]:
        return SyntheticStreets, (self._drives, self._labels, self._split)

    @property
    def name(self) -> str:
        """Kind and split, as in ``synthetic/val``."""
        return f"synthetic/{self._split}"

    @property
    def labels(self) -> LabelSet:
        """The classes that the samples' train ids number."""
        return self._labels

    @property
    def licence(self) -> str:
        """The notice that weights trained on these streets carry: they are this package's own drawings."""
        return SYNTHETIC_LICENCE

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        """Draw sample ``index``, 0-based."""
        if not 0 <= index < len(self._places):
            raise IndexError(f"sample {index} of {len(self._places)}")
        number, frame_index = self._places[index]
        drive = self._drives[number]
        self._keep(number)
        frame = drive.frame(frame_index)
        path = Path(f"synthetic/seed-{drive.seed}/{frame_index:06d}")
        return Sample(frame.image, self._labels.encode(frame.label_ids), path, None, frame.instance_ids)

    def _keep(self, number: int) -> None:
        """Note that a drive is in use and free the one not used for longest."""
        with self._open_lock:
            self._open[number] = None
            self._open.move_to_end(number)
            while len(self._open) > OPEN_DRIVES:
                oldest, _ = self._open.popitem(last=False)
                self._drives[oldest].release()
