"""Masks numbered otherwise than expected: file ids against train ids, and 0/255 masks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import IGNORE_INDEX, LabelSet

_MOSTLY_VOID = 0.5


@dataclass(frozen=True)
class Suspicion:
    """What masks seem to hold in place of the expected ids, and what to do about it."""

    kind: str
    detail: str
    remedy: str


def train_id_numbering(labels: LabelSet) -> LabelSet:
    """Give the twin of ``labels`` whose mask files hold train ids: class c is c, void is 255."""
    classes = tuple(replace(c, file_ids=(i,)) for i, c in enumerate(labels.classes))
    return LabelSet(labels.name, classes, (IGNORE_INDEX,))


def wrong_numbering(counts: NDArray[np.int64], expected: LabelSet, labels: LabelSet) -> Suspicion | None:
    """Judge from the pixel count of each mask value (256,) whether masks are numbered otherwise than ``expected``.

    ``labels`` is the data set's own label set. One mask of few classes can be read both ways, so pass the counts of a
    whole split where there is one. None means that nothing is wrong or that no known mistake explains it.
    """
    binary = _binary(counts, expected)
    if binary is not None:
        return binary
    train_ids = train_id_numbering(labels)
    expects_train_ids = _class_ids(expected) == _class_ids(train_ids)
    other = labels if expects_train_ids else train_ids
    if _class_ids(other) == _class_ids(expected):
        return None
    unknown_here, void_here = _unknown_and_void(counts, expected)
    unknown_there, void_there = _unknown_and_void(counts, other)
    total = max(int(counts.sum()), 1)
    if np.count_nonzero(counts) == 1 and void_here == total:
        return None  # nothing is labelled: that tells of no numbering
    # Train ids are nearly all valid file ids too (void ones above all), so void that vanishes is the evidence then.
    mostly_void = void_here > _MOSTLY_VOID * total and void_there < void_here
    if unknown_there or not (unknown_here or mostly_void):
        return None
    if expects_train_ids:
        return Suspicion(
            "file ids",
            "these look like file ids (labelIds) where train ids are expected",
            "open the data as kind 'cityscapes', or make the labelTrainIds files anew",
        )
    return Suspicion(
        "train ids",
        "these look like train ids where file ids (labelIds) are expected",
        "open Cityscapes as kind 'cityscapes-trainids'; for a folder, give labels.yaml the ids that the masks hold",
    )


def _binary(counts: NDArray[np.int64], expected: LabelSet) -> Suspicion | None:
    if set(np.flatnonzero(counts).tolist()) != {0, 255}:
        return None
    # Of one class alone, 0 for the class and 255 for void is all that a mask can hold.
    one_class = expected.num_classes == 1 and 0 in expected.classes[0].file_ids and 255 in expected.void_ids
    if one_class or any(255 in c.file_ids for c in expected.classes):
        return None
    return Suspicion(
        "binary masks",
        "only 0 and 255 occur, as in a black-and-white mask",
        "write the class id for 255, or read them by the label set that 'contextnet data check' proposes",
    )


def _class_ids(labels: LabelSet) -> tuple[tuple[int, ...], ...]:
    return tuple(c.file_ids for c in labels.classes)


def _unknown_and_void(counts: NDArray[np.int64], labels: LabelSet) -> tuple[int, int]:
    """Count the pixels that ``labels`` does not know, and those that it calls void."""
    known = [i for c in labels.classes for i in c.file_ids]
    void = int(counts[list(labels.void_ids)].sum())
    return int(counts.sum()) - int(counts[known].sum()) - void, void
