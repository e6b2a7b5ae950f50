"""What a data set is made of: samples, and the protocol that every source of them follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import LabelSet


@dataclass(frozen=True)
class Sample:
    """One image with its ground truth and where both came from.

    ``image`` is uint8 (H, W, 3) RGB. ``label`` is uint8 (H, W) train ids with 255 for void, or None without ground
    truth. ``instances`` is int32 (H, W) as Cityscapes writes it (file id × 1000 + number for a single object, the
    file id alone for the rest), or None where the data set has no instances. ``mask_ids`` is uint8 (H, W), the mask
    as its file holds it, from which the numbering of a split is judged, or None where no mask file was read.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8] | None
    image_path: Path
    label_path: Path | None = None
    instances: NDArray[np.int32] | None = None
    mask_ids: NDArray[np.uint8] | None = None


class SegmentationData(Protocol):
    """One split of a data set, read sample by sample from disk. Reading sample i twice gives the same values."""

    @property
    def name(self) -> str:
        """Kind and split, as in ``camvid/train``."""
        ...

    @property
    def labels(self) -> LabelSet:
        """The classes that the samples' train ids number."""
        ...

    @property
    def licence(self) -> str:
        """The licence notice that weights trained on this data must carry; empty where there is none."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``, 0-based. Raises ``DataError`` naming the file when it cannot be used."""
        ...
