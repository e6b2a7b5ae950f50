"""A label set drawn in colours of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from contextnet.errors import DataError
from contextnet.labels import Color, LabelSet
from contextnet.runtime.class_lookup import find_train_id


def with_palette(labels: LabelSet, colors: Mapping[str, Sequence[int]]) -> LabelSet:
    """Give the label set with the colours (red, green, blue), 0..255 each, of the named classes; others keep theirs.

    Raises ``DataError`` naming the class when it is unknown or its colour is not three whole numbers of 0..255.
    """
    classes = list(labels.classes)
    for name, color in colors.items():
        train_id = find_train_id(labels, name)
        classes[train_id] = replace(classes[train_id], color=_checked(name, color))
    return replace(labels, classes=tuple(classes))


def _checked(name: str, color: Sequence[int]) -> Color:
    if len(color) != 3 or not all(_is_level(part) for part in color):
        raise DataError(f"class '{name}' is given the colour {color!r}; give red, green and blue, 0 to 255 each")
    return int(color[0]), int(color[1]), int(color[2])


def _is_level(part: object) -> bool:
    return isinstance(part, int | np.integer) and not isinstance(part, bool) and 0 <= int(part) <= 255
