"""A class found by its name or its train id."""

from __future__ import annotations

import difflib

from contextnet.errors import DataError
from contextnet.labels import LabelSet


def find_train_id(labels: LabelSet, name_or_id: str | int) -> int:
    """Give the train id of a class.

    Raises ``DataError`` naming the nearest class for a name, and the range for a train id, that ``labels`` has not.
    """
    if not isinstance(name_or_id, str):
        if not 0 <= name_or_id < labels.num_classes:
            raise DataError(
                f"label set '{labels.name}' has no train id {name_or_id}; its classes are 0 to {labels.num_classes - 1}"
            )
        return int(name_or_id)
    if name_or_id not in labels.names:
        near = difflib.get_close_matches(name_or_id, labels.names, n=1, cutoff=0.0)[0]
        raise DataError(
            f"label set '{labels.name}' has no class '{name_or_id}'; the nearest is '{near}'; "
            f"known: {', '.join(labels.names)}"
        )
    return labels.names.index(name_or_id)
