"""What one process counted of a split, and how it travels to the process that scores the whole.

A share is plain values throughout: it can be pickled, or written as JSON and read back bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contextnet.evaluation.instances import ClassObjects


@dataclass(frozen=True)
class ImageTally:
    """What stays of one image: its place in the split, 0-based, its mIoU, and its objects class by class.

    ``miou`` is None where the image has no labelled pixel, ``objects`` where it has no instance mask.
    """

    index: int
    path: Path
    miou: float | None
    objects: tuple[ClassObjects, ...] | None


@dataclass(frozen=True)
class Share:
    """The counts of the samples that belong to ``rank``: those whose index, modulo ``world_size``, is the rank.

    ``split_size`` is the number of all samples of the split. ``confusion`` is ``ConfusionMatrix.counts``, summed over
    the share. What is kept in floating point is kept image by image, because such sums depend on their order.
    """

    rank: int
    world_size: int
    data_name: str
    split_size: int
    class_names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    images: tuple[ImageTally, ...]

    def to_json(self) -> dict[str, Any]:
        """Describe the share as plain JSON values; ``from_json`` reads the very same share back."""
        values: dict[str, Any] = TypeAdapter(Share).dump_python(self, mode="json")
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Share:
        """Read what ``to_json`` wrote. Raises ``ValueError`` when a key is missing or a value has another type."""
        return TypeAdapter(Share).validate_python(values)
