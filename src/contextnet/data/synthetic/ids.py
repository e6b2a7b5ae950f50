"""The Cityscapes label ids by name, and numbers for single objects."""

from __future__ import annotations

from collections import Counter

from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES

LABEL_ID: dict[str, int] = {c.name: c.file_ids[0] for c in CITYSCAPES.classes}
HAS_INSTANCES: frozenset[int] = frozenset(c.file_ids[0] for c in CITYSCAPES.classes if c.has_instances)
INSTANCE_STEP = 1000


def label_of(instance_id: int) -> int:
    """Label id of an instance id, which is the label id itself for classes that are not counted."""
    return instance_id // INSTANCE_STEP if instance_id >= INSTANCE_STEP else instance_id


class InstanceNumbers:
    """Hands out instance ids: label id × 1000 + running number for counted classes, the bare label id for the rest."""

    def __init__(self) -> None:
        self._used: Counter[int] = Counter()

    def take(self, name: str) -> int:
        """Give the next free id of class ``name``. Raises ``DataError`` after 1000 objects of one class."""
        label_id = LABEL_ID[name]
        if label_id not in HAS_INSTANCES:
            return label_id
        number = self._used[label_id]
        if number >= INSTANCE_STEP:
            raise DataError(f"a drive holds over {INSTANCE_STEP} objects of class '{name}'; use a smaller frame_count")
        self._used[label_id] = number + 1
        return label_id * INSTANCE_STEP + number
