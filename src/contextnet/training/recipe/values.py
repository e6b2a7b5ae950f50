"""From a recipe file and overrides on the command line to plain values: YAML without tags, repeats or surprises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contextnet.errors import RecipeError
from contextnet.plain_yaml import PlainYamlError, parse_plain_yaml


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe's plain values and apply overrides written as ``key.key=value`` (the value is YAML).

    Raises ``RecipeError`` naming the file or the override when it cannot be read or is not a mapping in plain YAML.
    """
    try:
        values = parse_plain_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (PlainYamlError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not plain YAML: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: holds {_described(values)}; a recipe is a mapping of keys to values")
    for override in overrides:
        _apply_override(values, override)
    return values


def _described(values: Any) -> str:
    return "nothing" if values is None else f"a {type(values).__name__}"


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not equals or not all((*parents, last)):
        raise RecipeError(f"override '{override}': write it as key=value, for example epochs=60 or data.val_split=test")
    try:
        value = parse_plain_yaml(text)
    except PlainYamlError as error:
        raise RecipeError(f"override '{override}': the value is not plain YAML: {error}") from None
    table = values
    for depth, parent in enumerate(parents, start=1):
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            above = ".".join(parents[:depth])
            raise RecipeError(f"override '{override}': '{above}' is a value and has no key '{last}'")
        table = inner
    table[last] = value
