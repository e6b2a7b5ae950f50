"""What is wrong with a recipe, in one sentence: the key's full path, what was found, what was expected."""

from __future__ import annotations

import difflib
import reprlib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Table = type[BaseModel]


def explain(error: ValidationError, recipe: Table) -> str:
    """Say the first complaint about values for the model ``recipe``; a misspelt key gets the nearest valid one."""
    first = error.errors()[0]
    path, table = _locate(recipe, first["loc"])
    key = ".".join(path)
    kind = first["type"]
    if kind in {"extra_forbidden", "invalid_key"}:
        near = ".".join([*path[:-1], _nearest(path[-1], table)])
        return f"unknown key '{key}'; the nearest valid key is '{near}'; valid here: {', '.join(table.model_fields)}"
    if kind == "missing":
        return f"'{key}' is missing; add it"
    if kind == "union_tag_not_found":
        return f"'{key}.kind' is missing; write one of {_tags(recipe, path)}"
    if kind == "union_tag_invalid":
        return f"'{key}.kind' is {first['ctx']['tag']!r}; write one of {_tags(recipe, path)}"
    if kind == "value_error":
        return f"'{key}': {first['msg'].removeprefix('Value error, ')}"
    return f"'{key}' is {_shown(first['input'])}; {_expectation(first)}"


def _shown(value: Any) -> str:
    """Show a value in a few words, however deep it is: aliases make a small file hold an enormous list."""
    short = reprlib.Repr()
    short.maxlevel = 2
    return short.repr(value)


def _locate(recipe: Table, location: tuple[int | str, ...]) -> tuple[list[str], Table]:
    """Follow a complaint's location: the keys as the user writes them, and the innermost table they lead into.

    Where a key has several tables, pydantic puts the ``kind`` behind it, which the user's path does not have.
    """
    table, path = recipe, []
    tables: list[Table] = []
    for part in map(str, location):
        kinds = {_kind(candidate): candidate for candidate in tables}
        if len(tables) > 1 and part in kinds:
            table, tables = kinds[part], []
            continue
        if len(tables) == 1:
            table = tables[0]
        path.append(part)
        field = table.model_fields.get(part)
        tables = _tables(field) if field else []
    return path, table


def _tables(field: FieldInfo) -> list[Table]:
    candidates = get_args(field.annotation) or (field.annotation,)
    return [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]


def _kind(table: Table) -> str:
    field = table.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field else ""


def _tags(recipe: Table, path: list[str]) -> str:
    table = recipe
    for part in path[:-1]:
        table = _tables(table.model_fields[part])[0]
    return ", ".join(_kind(candidate) for candidate in _tables(table.model_fields[path[-1]]))


def _nearest(key: str, table: Table) -> str:
    return difflib.get_close_matches(key, table.model_fields, n=1, cutoff=0.0)[0]


_EXPECTED = {
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "string_too_short": "expected a text that is not empty",
    "tuple_type": "expected a list",
    "too_long": "expected a shorter list",
    "dict_type": "expected a table of keys",
    "model_type": "expected a table of keys",
    "model_attributes_type": "expected a table of keys",
}


def _expectation(complaint: ErrorDetails) -> str:
    if complaint["type"] in _EXPECTED:
        return _EXPECTED[complaint["type"]]
    context: dict[str, Any] = complaint.get("ctx", {})
    if complaint["type"] == "literal_error":
        return f"expected {context['expected']}"
    return complaint["msg"].replace("Input should be", "expected", 1)
