"""The label-set YAML of a folder of your own: classes by mask id or by mask colour.

::

    name: yard                                     name: yard
    classes:                                       encoding: color
      - {name: ground, ids: [1]}                   classes:
      - {name: person, ids: [2, 3]}                  - {name: ground, color: [128, 64, 128]}
    void: [0, 255]                                   - {name: person, color: [220, 20, 60], colors: [[255, 0, 0]]}
                                                   void_colors: [[0, 0, 0]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contextnet.data.mask_colors import MaskColors, as_color
from contextnet.errors import DataError
from contextnet.labels import IGNORE_INDEX, LabelSet
from contextnet.plain_yaml import PlainYamlError, parse_plain_yaml

ENCODINGS = ("id", "color")


@dataclass(frozen=True)
class LabelFile:
    """A label set and how masks hold it: by the file ids of ``labels``, or by ``colors`` where there are any.

    Under colours the file ids of ``labels`` are its train ids, so that predictions are written as those.
    """

    labels: LabelSet
    colors: MaskColors | None = None


def read_label_file(path: Path) -> LabelFile:
    """Read a label-set YAML. Raises ``DataError`` naming the file and the field or class that is wrong in it."""
    try:
        values = parse_plain_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (PlainYamlError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a YAML label set: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"{path}: a label set is a mapping with 'name', 'classes' and 'void'")
    return parse_label_file(values, str(path))


def parse_label_file(values: Mapping[str, Any], source: str) -> LabelFile:
    """Build a label file from the plain values of its YAML. Raises ``DataError`` that begins with ``source``."""
    given = {key: value for key, value in values.items() if key != "encoding"}
    match values.get("encoding", "id"):
        case "id":
            _refuse_colors(given, source)
            return LabelFile(LabelSet.from_json(given, source))
        case "color":
            return _parse_colors(given, source)
        case other:
            raise DataError(f"{source}: encoding: {other!r} is none of {', '.join(ENCODINGS)}")


def _refuse_colors(values: Mapping[str, Any], source: str) -> None:
    classes = values.get("classes")
    listed = classes if isinstance(classes, list) else []
    fields = [f"classes.{i}.colors" for i, c in enumerate(listed) if isinstance(c, dict) and "colors" in c]
    fields += ["void_colors"] if "void_colors" in values else []
    if fields:
        raise DataError(
            f"{source}: {fields[0]}: has its place only under 'encoding: color'; give ids, or add that line"
        )


_Part = Annotated[int, Field(ge=0, le=255)]
_ColorDocument = Annotated[list[_Part], Field(min_length=3, max_length=3)]


class _ColorClassDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    color: _ColorDocument
    colors: list[_ColorDocument] = []
    category: str | None = None
    instances: bool = False


class _ColorSetDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    classes: list[_ColorClassDocument] = Field(min_length=1)
    void_colors: list[_ColorDocument] = []


def _parse_colors(values: Mapping[str, Any], source: str) -> LabelFile:
    try:
        document = _ColorSetDocument.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        by_id = field.rpartition(".")[2] in {"ids", "void"}
        reason = "ids have no place under 'encoding: color'; name colours" if by_id else first["msg"].lower()
        raise DataError(f"{source}: {field}: {reason}") from None
    labels = LabelSet.from_json(
        {
            "name": document.name,
            "classes": [
                {**c.model_dump(exclude={"colors"}), "ids": [train_id]} for train_id, c in enumerate(document.classes)
            ],
            "void": [IGNORE_INDEX],
        },
        source,
    )
    try:
        by_class = tuple(tuple(as_color(rgb) for rgb in (c.color, *c.colors)) for c in document.classes)
        return LabelFile(labels, MaskColors(by_class, tuple(as_color(rgb) for rgb in document.void_colors)))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
