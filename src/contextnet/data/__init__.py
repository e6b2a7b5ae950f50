"""Data sets on disk, samples from them, and the check before training. No torch."""

from __future__ import annotations

from contextnet.data.check import ClassShare, DataReport, Problem, check_split
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.data.sample import Sample, SegmentationData
from contextnet.data.sources import list_splits, open_data
from contextnet.data.verification import verify_split

__all__ = [
    "ClassShare",
    "DataReport",
    "Pair",
    "PairedFiles",
    "Problem",
    "Sample",
    "SegmentationData",
    "check_split",
    "list_splits",
    "open_data",
    "verify_split",
]
