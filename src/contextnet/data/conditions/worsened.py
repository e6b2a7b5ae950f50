"""A split of a data set whose images are made worse as they are read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np

from contextnet.data.conditions.worsening import Worsening
from contextnet.data.sample import Sample, SegmentationData
from contextnet.labels import LabelSet


@dataclass(frozen=True)
class Worsened:
    """A split under one condition. It follows ``SegmentationData``; only images change.

    ``condition`` names the condition. What is drawn at random comes from its name and the sample's index alone: every
    network sees the same pixels, and at another severity the same directions and places.
    """

    inner: SegmentationData
    condition: str
    worsening: Worsening

    @property
    def name(self) -> str:
        """Kind and split of the inner data, and the condition, as in ``camvid/val (rain)``."""
        return f"{self.inner.name} ({self.condition})"

    @property
    def labels(self) -> LabelSet:
        """The label set of the inner data."""
        return self.inner.labels

    @property
    def licence(self) -> str:
        """The licence notice of the inner data."""
        return self.inner.licence

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index`` and worsen its image. Raises ``DataError`` as the inner data does."""
        sample = self.inner[index]
        random = np.random.default_rng([zlib.crc32(self.condition.encode()), index])
        return replace(sample, image=self.worsening.worsen(sample.image, random))
