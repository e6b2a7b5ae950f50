"""A table as it stands in JSON, its fields and types checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contextnet.errors import ContextNetError

ROW_FIELDS = ("network", "source", "remark")
"""What every row has beside the values of its columns."""


class TableError(ContextNetError):
    """A table of results is damaged, of another kind, or contradicts itself."""


class ColumnDocument(BaseModel):
    """One column: the key of its values in the rows, and how it is shown."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(min_length=1)
    heading: str
    decimals: int = Field(ge=0, le=9)
    mark: str


class TableDocument(BaseModel):
    """A whole table; ``rows`` are looked at by ``read_table_document`` alone."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1)
    title: str
    facts: dict[str, Any]
    columns: list[ColumnDocument]
    rows: list[dict[str, Any]]
    notes: list[str]


class RowDocument(BaseModel):
    """What a row has beside its values."""

    model_config = ConfigDict(strict=True)

    network: str
    source: Literal["here", "paper"]
    remark: str


def read_table_document(values: Any, source: str) -> TableDocument:
    """Check JSON values, types strictly: neither "65.9" nor true is a number, and a row lacks no column.

    Raises ``TableError`` that begins with ``source`` and names the first field that is unknown, missing or wrong.
    """
    try:
        document = TableDocument.model_validate(values)
    except ValidationError as error:
        raise _first_fault(error, source, "") from None
    keys = [column.key for column in document.columns]
    for index, row in enumerate(document.rows):
        _check_row(row, keys, source, f"rows.{index}")
    return document


def _check_row(row: Mapping[str, Any], keys: list[str], source: str, place: str) -> None:
    try:
        RowDocument.model_validate(row)
    except ValidationError as error:
        raise _first_fault(error, source, f"{place}.") from None
    for key in keys:
        if key not in row:
            raise TableError(f"{source}: {place}.{key}: field required")
        if not _is_value(row[key]):
            raise TableError(f"{source}: {place}.{key}: input should be a finite number, a text or null")
    for key in row:
        if key not in {*keys, *ROW_FIELDS}:
            raise TableError(f"{source}: {place}.{key}: no column has this key")


def _is_value(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _first_fault(error: ValidationError, source: str, place: str) -> TableError:
    first = error.errors()[0]
    field = place + (".".join(str(part) for part in first["loc"]) or "document")
    expected = first["msg"].partition(" or instance of ")[0].lower()
    return TableError(f"{source}: {field}: {expected}")
