"""A label set as it stands in JSON or YAML, its fields and types checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contextnet.errors import DataError


class ClassDocument(BaseModel):
    """One class: its mask ids, and where they are given its colour (red, green, blue), category and instances."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    ids: list[int] = Field(min_length=1)
    color: list[int] | None = Field(None, min_length=3, max_length=3)
    category: str | None = None
    instances: bool = False


class LabelSetDocument(BaseModel):
    """The classes in the order of their train ids, and the mask ids of void."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    classes: list[ClassDocument] = Field(min_length=1)
    void: list[int] = [255]


def read_label_document(values: Mapping[str, Any], source: str) -> LabelSetDocument:
    """Check JSON values, types strictly: neither "1" nor true is an id.

    Raises ``DataError`` that begins with ``source`` and names the first field that is unknown or wrong.
    """
    try:
        return LabelSetDocument.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise DataError(f"{source}: {field}: {first['msg'].lower()}") from None
