"""Data sets on disk, samples from them, and the check before training. No torch."""

from __future__ import annotations

from contextnet.data.check import ClassShare, DataReport, Problem, check_split
from contextnet.data.label_file import LabelFile, read_label_file
from contextnet.data.mask_colors import MaskColors
from contextnet.data.pairs import Pair, PairedFiles
from contextnet.data.relabel import Relabelled, Relabelling, relabelling
from contextnet.data.sample import Sample, SegmentationData
from contextnet.data.sources import list_splits, open_data
from contextnet.data.verification import verify_split

__all__ = [
    "ClassShare",
    "DataReport",
    "LabelFile",
    "MaskColors",
    "Pair",
    "PairedFiles",
    "Problem",
    "Relabelled",
    "Relabelling",
    "Sample",
    "SegmentationData",
    "check_split",
    "list_splits",
    "open_data",
    "read_label_file",
    "relabelling",
    "verify_split",
]
