"""Classes merged into coarser ones: a new label set, and the table that takes labels there.

A planner may want to know what is drivable and who is vulnerable, and nothing of building, pole and sky.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX, LabelClass, LabelSet
from contextnet.runtime.class_lookup import find_train_id
from contextnet.runtime.palette import with_palette


@dataclass(frozen=True, eq=False)
class Regrouping:
    """The way from the classes of ``source`` to those of ``target``.

    ``table``, uint8 (256,), holds the train id of ``target`` for every train id of ``source``; void, classes without a
    place in ``target`` and ids that ``source`` has not become ``IGNORE_INDEX``.
    """

    source: LabelSet
    target: LabelSet
    table: NDArray[np.uint8]

    def apply(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn train ids of ``source``, uint8 of any shape, into those of ``target``."""
        return np.take(self.table, labels)


def regroup(
    labels: LabelSet,
    groups: Mapping[str, Sequence[str]],
    *,
    keep_others: bool,
    colors: Mapping[str, Sequence[int]] | None = None,
) -> Regrouping:
    """Merge the classes that each group lists, such as ``{"vulnerable": ["person", "rider"]}``, into one class.

    The groups come first, in the order given. Classes that no group lists follow in their own order where
    ``keep_others``, and become void otherwise. A group has the colour of its first member unless ``colors`` gives
    another, the category of its members where they share one and its own otherwise, and is a class with instances
    where all of them are. It owns the file ids of all its members, so masks of the data set read as the regrouped
    classes; the first member's is the one written. Raises ``DataError`` naming the group when a class is unknown,
    stands twice, or the group is empty, is no list, or has the name of a class that stays.
    """
    group_of: dict[str, str] = {}
    for group, members in groups.items():
        _require_list(group, members)
        for member in members:
            _place(labels, group, member, group_of)
    others = [c for c in labels.classes if c.name not in group_of]
    for other in others:
        if keep_others and other.name in groups:
            raise DataError(f"group '{other.name}' has the name of a class that stays; list that class or rename it")
    merged = [_merge(labels, group, members) for group, members in groups.items()]
    target = LabelSet(
        f"{labels.name} regrouped",
        (*merged, *others) if keep_others else tuple(merged),
        labels.void_ids if keep_others else _void_ids(labels, others),
    )
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for train_id, name in enumerate(labels.names):
        place = group_of.get(name, name if keep_others else None)
        if place is not None:
            table[train_id] = target.names.index(place)
    return Regrouping(labels, with_palette(target, colors or {}), table)


def _require_list(group: str, members: Sequence[str]) -> None:
    if isinstance(members, str):
        raise DataError(f"group '{group}' is the text '{members}'; give a list of class names")
    if not members:
        raise DataError(f"group '{group}' lists no class; name at least one or leave the group out")


def _place(labels: LabelSet, group: str, member: str, group_of: dict[str, str]) -> None:
    try:
        find_train_id(labels, member)
    except DataError as error:
        raise DataError(f"group '{group}': {error}") from None
    if member in group_of:
        where = "twice" if group_of[member] == group else f"and group '{group_of[member]}' lists it too"
        raise DataError(f"group '{group}' lists class '{member}' {where}; a class goes into one group, once")
    group_of[member] = group


def _merge(labels: LabelSet, group: str, members: Sequence[str]) -> LabelClass:
    classes = [labels.classes[find_train_id(labels, member)] for member in members]
    categories = {c.category for c in classes}
    return LabelClass(
        group,
        classes[0].color,
        categories.pop() if len(categories) == 1 else group,
        tuple(file_id for c in classes for file_id in c.file_ids),
        all(c.has_instances for c in classes),
    )


def _void_ids(labels: LabelSet, dropped: Sequence[LabelClass]) -> tuple[int, ...]:
    """Add the file ids of the dropped classes to those of void; the first of all is written for void."""
    ids = [file_id for c in dropped for file_id in c.file_ids]
    taken = {file_id for c in labels.classes for file_id in c.file_ids}
    # Without ids of its own, void is written as 255; a dropped class's id must not take that place.
    own = labels.void_ids or (() if IGNORE_INDEX in taken else (IGNORE_INDEX,))
    return (*own, *ids)
