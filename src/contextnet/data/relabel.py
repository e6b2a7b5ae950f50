"""The samples of one data set in the classes of another, so that several data sets can be learned from together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contextnet.data.pairs import PairedFiles
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX, MAX_CLASSES, LabelSet

VOID = "void"
"""The word that makes a class void; a class of this name goes before it."""

_NO_CLASS = MAX_CLASSES


@dataclass(frozen=True)
class Relabelling:
    """What becomes of every class of ``labels`` in the label set ``target``.

    ``train_ids`` holds the target's train id for each class of ``labels``, in their order; 255 makes a class void.
    """

    labels: LabelSet
    target: LabelSet
    train_ids: tuple[int, ...]

    @property
    def changes_nothing(self) -> bool:
        """Whether both label sets are equal and every class stays what it is."""
        return self.labels == self.target and self.train_ids == tuple(range(self.labels.num_classes))

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """The target's train ids by train id, uint8 (256,): void stays 255, and 254 stands for what is no class."""
        table = np.full(256, _NO_CLASS, np.uint8)
        table[: len(self.train_ids)] = self.train_ids
        table[IGNORE_INDEX] = IGNORE_INDEX
        return table

    def lines(self) -> tuple[str, ...]:
        """Say in a few lines what becomes of the classes: those that keep their name, those that change it, void."""
        kept: list[str] = []
        changed: dict[int, list[str]] = {}
        for name, train_id in zip(self.labels.names, self.train_ids, strict=True):
            keeps = train_id != IGNORE_INDEX and self.target.names[train_id].casefold() == name.casefold()
            (kept if keeps else changed.setdefault(train_id, [])).append(name)
        lines = [f"{', '.join(kept)} → the same name"] if kept else []
        for train_id, names in sorted(changed.items()):  # void, 255, comes last
            becomes = VOID if train_id == IGNORE_INDEX else self.target.names[train_id]
            lines.append(f"{', '.join(names)} → {becomes}")
        return tuple(lines)


def relabelling(labels: LabelSet, target: LabelSet, classes: Mapping[str, str], field: str = "classes") -> Relabelling:
    """Find what becomes of the classes of ``labels``: what ``classes`` says, else the same name, else void.

    ``classes`` gives a class of ``target``, or ``void``, by the name of a class of ``labels``. Its names are exact; the
    same name is found in whatever case, unless several of ``target`` differ in case alone.
    Raises ``DataError`` that begins with ``field`` for a name that is not there, with the nearest one, and where every
    class would become void.
    """
    for name, becomes in classes.items():
        _require_class(name, labels.names, labels.name, f"'{field}' names '{name}'")
        _require_class(becomes, (*target.names, VOID), target.name, f"'{field}' turns '{name}' into '{becomes}'")
    train_ids = tuple(_train_id(name, target, classes) for name in labels.names)
    if all(train_id == IGNORE_INDEX for train_id in train_ids):
        raise DataError(
            f"'{field}': every class of label set '{labels.name}' ({', '.join(labels.names)}) becomes void; say there "
            f"which become a class of '{target.name}': {', '.join(target.names)}"
        )
    return Relabelling(labels, target, train_ids)


def _require_class(name: str, known: Sequence[str], label_set: str, found: str) -> None:
    if name not in known:
        by_folded = {other.casefold(): other for other in known}
        near = by_folded[difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.0)[0]]
        raise DataError(
            f"{found}, which is no class of label set '{label_set}'; the nearest is '{near}'; known: {', '.join(known)}"
        )


def _train_id(name: str, target: LabelSet, classes: Mapping[str, str]) -> int:
    wanted = classes.get(name, name)
    if wanted in target.names:
        return target.names.index(wanted)
    # Names that differ in case alone are two classes; which of them is meant has to be said.
    alike = [] if name in classes else [i for i, c in enumerate(target.names) if c.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else IGNORE_INDEX


@dataclass(frozen=True)
class Relabelled:
    """A split whose samples are brought to another label set. It follows ``SegmentationData``.

    ``inner`` is the split as it is on disk, whose name and licence it keeps. Instances are left out, since their file
    ids are those of the inner label set, unless nothing changes.
    """

    inner: SegmentationData
    relabelling: Relabelling

    @property
    def name(self) -> str:
        """Kind and split of the inner data."""
        return self.inner.name

    @property
    def labels(self) -> LabelSet:
        """The label set that the samples are brought to."""
        return self.relabelling.target

    @property
    def licence(self) -> str:
        """The licence notice of the inner data."""
        return self.inner.licence

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``. Raises ``DataError`` as the inner data does, and for a train id that is no class."""
        sample = self.inner[index]
        instances = sample.instances if self.relabelling.changes_nothing else None
        if sample.label is None:
            return replace(sample, instances=instances)
        label: NDArray[np.uint8] = self.relabelling.table[sample.label]
        if np.any(label == _NO_CLASS):
            found = np.unique(sample.label[label == _NO_CLASS]).tolist()
            of = self.relabelling.labels
            raise DataError.at(
                sample.label_path or sample.image_path,
                f"holds the train ids {found}, but label set '{of.name}' has {of.num_classes} classes",
                f"give each pixel a class or {IGNORE_INDEX}",
            )
        return replace(sample, label=label, instances=instances)

    def without_instances(self) -> Relabelled:
        """Give the same split with its instance masks left unread, as training wants it."""
        return replace(self, inner=without_instances(self.inner))


def without_instances(data: SegmentationData) -> SegmentationData:
    """Give the same data with its instance masks left unread; data that is not read from files stays as it is."""
    return data.without_instances() if isinstance(data, PairedFiles | Relabelled) else data


def paired_files(data: SegmentationData) -> PairedFiles | None:
    """Give the files that ``data`` is read from, whatever label set it is brought to; None where there are none."""
    while isinstance(data, Relabelled):
        data = data.inner
    return data if isinstance(data, PairedFiles) else None
