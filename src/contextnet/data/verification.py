"""Proof that a split can be used, before any time is spent on it: every sample is read, and its numbering judged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from contextnet.data.numbering import Suspicion, wrong_numbering
from contextnet.data.reading import READ_TIMEOUT_S, read_ahead
from contextnet.data.relabel import Relabelled, paired_files
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError


class NumberingCheck:
    """Counts the mask values of a split sample by sample, and judges from the sums how the masks are numbered.

    One mask of few classes can be read in several ways, so the sums are judged as a whole, once all are counted. Data
    that is not read from mask files has no numbering to be wrong about; relabelled data has that of its files.
    """

    def __init__(self, data: SegmentationData) -> None:
        self._files = paired_files(data)
        self._counts = np.zeros(256, np.int64)
        self._first: Sample | None = None

    def add(self, sample: Sample) -> None:
        """Count the mask values of one sample."""
        if sample.mask_ids is not None:
            self._counts += np.bincount(sample.mask_ids.ravel(), minlength=256)
            self._first = self._first or sample

    def finish(self) -> None:
        """Raise ``DataError`` naming the first mask when the sums say that the masks are numbered otherwise."""
        if self._first is None or self._files is None:
            return
        suspicion = wrong_numbering(self._counts, self._files.numbering, self._files.labels)
        if suspicion is not None:
            raise DataError.at(self._first.label_path, judged_over_split(suspicion), suspicion.remedy)


def judged_over_split(suspicion: Suspicion) -> str:
    """Say what the masks of a split seem to hold, next to the name of its first mask."""
    return f"{suspicion.detail} (judged over the whole split; this is its first mask)"


def verify_split(
    data: SegmentationData,
    progress: Callable[[int, int], None] | None = None,
    *,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> None:
    """Read every sample of a split once and keep none: what an evaluation would fail by is raised now.

    ``progress`` hears samples done and samples in all. Raises ``DataError`` naming the first sample, in order, that
    cannot be read or has no ground truth, or has instances where others have none; naming the first mask when the
    split is numbered otherwise than expected; naming the split when it is empty or wholly void, and the sample that
    takes longer than ``read_timeout_s``.
    """
    if len(data) == 0:
        raise DataError(f"'{data.name}' holds no sample; check the split with 'contextnet data check'")
    numbering = NumberingCheck(data)
    first: Sample | None = None
    labelled = False
    for index, outcome in enumerate(read_ahead(data, read_timeout_s)):
        if isinstance(outcome, DataError):
            raise outcome
        labelled |= has_labelled_pixel(outcome, data)
        first = first or outcome
        _refuse_mixed_instances(outcome, first)
        numbering.add(outcome)
        if progress:
            progress(index + 1, len(data))
    numbering.finish()
    if not labelled:
        raise void_only(data)


def void_only(data: SegmentationData) -> DataError:
    """Make the error that names a split without a labelled pixel, be it by its masks or by what its classes became."""
    if isinstance(data, Relabelled):
        return DataError(
            f"'{data.name}' holds no pixel of a class that becomes one of label set '{data.labels.name}'; "
            "say under 'classes' what its classes become, or check its masks with 'contextnet data check'"
        )
    return DataError(f"'{data.name}' holds void pixels only; check its masks with 'contextnet data check'")


def has_labelled_pixel(sample: Sample, data: SegmentationData) -> bool:
    """Tell whether any pixel of a sample is not void. Raises ``DataError`` when it has no ground truth."""
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no ground truth; '{data.name}' cannot be trained on or scored")
    return bool((sample.label < data.labels.num_classes).any())


def _refuse_mixed_instances(sample: Sample, first: Sample) -> None:
    if (sample.instances is None) != (first.instances is None):
        has, other = ("no", "one") if sample.instances is None else ("an", "none")
        raise DataError.at(
            sample.image_path,
            f"has {has} instance mask while {first.image_path} has {other}",
            "give one to every image of the split or to none",
        )
