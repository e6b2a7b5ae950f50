"""The data sets of a recipe, all of them in the classes of one label set."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contextnet.data.label_file import read_label_file
from contextnet.data.relabel import Relabelled, relabelling
from contextnet.data.sample import SegmentationData
from contextnet.data.sources import open_data
from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet
from contextnet.training.recipe.data import DataOptions

BUILT_IN: dict[str, LabelSet] = {labels.name: labels for labels in (CAMVID, CITYSCAPES)}
"""The label sets that a recipe can name, by their names."""


@dataclass(frozen=True)
class TrainingSource:
    """One of the data sets that are learned from, in the classes of the training.

    An epoch goes through it ``repeat`` times. ``mapping`` says in a few lines what became of its classes; it is empty
    where they are what they were.
    """

    data: SegmentationData
    repeat: int = 1
    mapping: tuple[str, ...] = ()


def open_training_data(options: DataOptions) -> tuple[TrainingSource, ...]:
    """Open every data set that a recipe trains on, the main one first, each brought to the recipe's label set.

    Data that has its classes already is what ``open_data`` gives. Raises ``DataError`` for data that cannot be opened,
    a label set that cannot be read, and class names that do not fit.
    """
    target = _common_labels(options)
    data = open_data(options.source, options.train_split)
    target = target or data.labels
    sources = [_in_classes_of(target, data, options.classes, "data.classes")]
    for index, extra in enumerate(options.extra):
        data = open_data(extra.source, extra.split)
        sources.append(_in_classes_of(target, data, extra.classes, f"data.extra.{index}.classes", extra.repeat))
    return tuple(sources)


def open_validation_data(options: DataOptions) -> SegmentationData:
    """Open the split that a recipe validates on, brought to the recipe's label set; errors as for training data."""
    target = _common_labels(options)
    data = open_data(options.source, options.val_split)
    return _in_classes_of(target or data.labels, data, options.classes, "data.classes").data


def _common_labels(options: DataOptions) -> LabelSet | None:
    """Give the label set that the recipe names, or None where it is that of the main data set."""
    if options.labels is None:
        return None
    if options.labels in BUILT_IN:
        return BUILT_IN[options.labels]
    path = Path(options.labels).expanduser()
    if not path.is_file():
        near = difflib.get_close_matches(options.labels.lower(), BUILT_IN, n=1, cutoff=0.6)
        advice = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(
            f"'data.labels' is '{options.labels}', which is neither a file nor a built-in label set "
            f"({', '.join(BUILT_IN)}){advice}"
        )
    return read_label_file(path).labels


def _in_classes_of(
    target: LabelSet, data: SegmentationData, classes: Mapping[str, str], field: str, repeat: int = 1
) -> TrainingSource:
    change = relabelling(data.labels, target, classes, field)
    if change.changes_nothing:
        return TrainingSource(data, repeat)
    return TrainingSource(Relabelled(data, change).without_instances(), repeat, change.lines())
