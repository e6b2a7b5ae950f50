"""Label sets: which classes exist, how they are drawn, and how the ids in mask files map to training ids.

Three kinds of id appear in this package:

* **file ids** are what a mask file holds (Cityscapes' ``labelIds`` 0..33, CamVid's 0..11);
* **train ids** 0..C-1 number the classes of a label set, in order; the network's channel c scores train id c;
* ``IGNORE_INDEX`` (255) marks void pixels, which neither training nor evaluation counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError

IGNORE_INDEX = 255
MAX_CLASSES = 254
_UNKNOWN = 254

Color = tuple[int, int, int]
Uint8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelClass:
    """One class of a label set.

    ``color`` is RGB, 0..255. ``file_ids`` are the mask values that mean this class; the first one is written back.
    ``has_instances`` marks the classes that iIoU covers.
    """

    name: str
    color: Color
    category: str
    file_ids: tuple[int, ...]
    has_instances: bool = False


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set in train-id order, and the file ids that mean void.

    Raises ``DataError`` when a file id or a part of a colour is outside 0..255, a file id is claimed twice, or a class
    name stands twice.
    """

    name: str
    classes: tuple[LabelClass, ...]
    void_ids: tuple[int, ...] = (IGNORE_INDEX,)

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MAX_CLASSES:
            raise DataError(f"label set '{self.name}' has {len(self.classes)} classes; 1 to {MAX_CLASSES} are possible")
        _refuse_repeats(self.name, "class name", [c.name for c in self.classes])
        file_ids = [i for c in self.classes for i in c.file_ids] + list(self.void_ids)
        _refuse_repeats(self.name, "file id", file_ids)
        outside = [i for i in file_ids if not 0 <= i <= 255]
        if outside:
            raise DataError(f"label set '{self.name}' names file ids {outside}; masks hold 0 to 255")
        empty = [c.name for c in self.classes if not c.file_ids]
        if empty:
            raise DataError(f"label set '{self.name}': class '{empty[0]}' has no file id; give it at least one")
        for label in self.classes:
            if not all(0 <= part <= 255 for part in label.color):
                raise DataError(
                    f"label set '{self.name}': class '{label.name}' has the colour {list(label.color)}; "
                    "red, green and blue are 0 to 255 each"
                )

    @property
    def num_classes(self) -> int:
        """Number of classes, void not counted."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in train-id order."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Category names in order of first appearance."""
        return tuple(dict.fromkeys(c.category for c in self.classes))

    @cached_property
    def palette(self) -> Uint8Array:
        """Colours as uint8 (256, 3) RGB, indexed by train id; black for everything else, void included."""
        table = np.zeros((256, 3), np.uint8)
        for train_id, label in enumerate(self.classes):
            table[train_id] = label.color
        return table

    @cached_property
    def _encoding(self) -> Uint8Array:
        table = np.full(256, _UNKNOWN, np.uint8)
        table[list(self.void_ids)] = IGNORE_INDEX
        for train_id, label in enumerate(self.classes):
            table[list(label.file_ids)] = train_id
        return table

    @cached_property
    def _decoding(self) -> Uint8Array:
        table = np.full(256, self.void_ids[0] if self.void_ids else IGNORE_INDEX, np.uint8)
        for train_id, label in enumerate(self.classes):
            table[train_id] = label.file_ids[0]
        return table

    def unknown_ids(self, mask: Uint8Array) -> dict[int, int]:
        """Count the pixels of every file id in ``mask`` (uint8, any shape) that this label set does not know."""
        counts = np.bincount(mask.ravel(), minlength=256)
        return {i: int(counts[i]) for i in np.flatnonzero((self._encoding == _UNKNOWN) & (counts > 0)).tolist()}

    def encode(self, mask: Uint8Array) -> Uint8Array:
        """Turn file ids (uint8, any shape) into train ids with 255 for void.

        Raises ``DataError`` naming the ids when the mask holds one that the label set does not know.
        """
        train_ids: Uint8Array = self._encoding[mask]
        if np.any(train_ids == _UNKNOWN):
            unknown = self.unknown_ids(mask)
            shown = ", ".join(f"{i} ({n} pixels)" for i, n in sorted(unknown.items())[:8])
            raise DataError(f"ids outside label set '{self.name}': {shown}; map them to a class or to void")
        return train_ids

    def decode(self, train_ids: Uint8Array) -> Uint8Array:
        """Turn train ids (uint8, any shape) back into file ids: each class's first one, void for 255."""
        file_ids: Uint8Array = self._decoding[train_ids]
        return file_ids

    def colorize(self, train_ids: Uint8Array) -> Uint8Array:
        """Paint train ids (uint8, H × W) as RGB (uint8, H × W × 3), void black."""
        image: Uint8Array = self.palette[train_ids]
        return image

    def to_json(self) -> dict[str, Any]:
        """Describe the label set as plain JSON values; ``from_json`` reads them back."""
        return {
            "name": self.name,
            "classes": [
                {
                    "name": c.name,
                    "color": list(c.color),
                    "category": c.category,
                    "ids": list(c.file_ids),
                    "instances": c.has_instances,
                }
                for c in self.classes
            ],
            "void": list(self.void_ids),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str = "label set") -> LabelSet:
        """Build a label set from JSON values as ``to_json`` writes them and a YAML file of ids holds them.

        Types are strict: neither "1" nor true is an id. Raises ``DataError`` that begins with ``source`` and names the
        field or the class when a key is unknown or a value wrong.
        """
        # What checks types takes longer to import than all else that labels an image.
        from contextnet.label_document import read_label_document

        document = read_label_document(values, source)
        classes = tuple(
            LabelClass(c.name, _color(c.color, i), c.category or c.name, tuple(c.ids), c.instances)
            for i, c in enumerate(document.classes)
        )
        try:
            return cls(document.name, classes, tuple(document.void))
        except DataError as error:
            raise DataError(f"{source}: {error}") from None


def _refuse_repeats(label_set: str, what: str, values: list[Any]) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DataError(f"label set '{label_set}': {what} {value!r} stands twice")
        seen.add(value)


def _color(given: list[int] | None, index: int) -> Color:
    return default_color(index) if given is None else (given[0], given[1], given[2])


def default_color(index: int) -> Color:
    """Colour of class ``index`` where none is given: the bit-interleaved colour map of PASCAL VOC, from 1 on."""
    value, red, green, blue = index + 1, 0, 0, 0
    for bit in range(7, -1, -1):
        red |= (value & 1) << bit
        green |= (value >> 1 & 1) << bit
        blue |= (value >> 2 & 1) << bit
        value >>= 3
    return red, green, blue


def _cityscapes() -> LabelSet:
    rows: list[tuple[str, int, str, bool, Color]] = [
        ("road", 7, "flat", False, (128, 64, 128)),
        ("sidewalk", 8, "flat", False, (244, 35, 232)),
        ("building", 11, "construction", False, (70, 70, 70)),
        ("wall", 12, "construction", False, (102, 102, 156)),
        ("fence", 13, "construction", False, (190, 153, 153)),
        ("pole", 17, "object", False, (153, 153, 153)),
        ("traffic light", 19, "object", False, (250, 170, 30)),
        ("traffic sign", 20, "object", False, (220, 220, 0)),
        ("vegetation", 21, "nature", False, (107, 142, 35)),
        ("terrain", 22, "nature", False, (152, 251, 152)),
        ("sky", 23, "sky", False, (70, 130, 180)),
        ("person", 24, "human", True, (220, 20, 60)),
        ("rider", 25, "human", True, (255, 0, 0)),
        ("car", 26, "vehicle", True, (0, 0, 142)),
        ("truck", 27, "vehicle", True, (0, 0, 70)),
        ("bus", 28, "vehicle", True, (0, 60, 100)),
        ("train", 31, "vehicle", True, (0, 80, 100)),
        ("motorcycle", 32, "vehicle", True, (0, 0, 230)),
        ("bicycle", 33, "vehicle", True, (119, 11, 32)),
    ]
    void = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255)
    return LabelSet("cityscapes", tuple(LabelClass(n, rgb, cat, (i,), inst) for n, i, cat, inst, rgb in rows), void)


def _camvid() -> LabelSet:
    rows: list[tuple[str, str, Color]] = [
        ("sky", "sky", (128, 128, 128)),
        ("building", "construction", (128, 0, 0)),
        ("pole", "object", (192, 192, 128)),
        ("road", "flat", (128, 64, 128)),
        ("pavement", "flat", (60, 40, 222)),
        ("tree", "nature", (128, 128, 0)),
        ("sign", "object", (192, 128, 128)),
        ("fence", "construction", (64, 64, 128)),
        ("car", "vehicle", (64, 0, 128)),
        ("pedestrian", "human", (64, 64, 0)),
        ("bicyclist", "human", (0, 128, 192)),
    ]
    return LabelSet("camvid", tuple(LabelClass(n, rgb, cat, (i,)) for i, (n, cat, rgb) in enumerate(rows)), (11, 255))


CITYSCAPES = _cityscapes()
"""The 19 evaluated classes of Cityscapes in train-id order, mapped from ``labelIds`` (-1 is 255 in a PNG)."""

CAMVID = _camvid()
"""CamVid's 11 classes in the order of the SegNet split; 11 is void."""
