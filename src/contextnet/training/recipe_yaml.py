"""From a recipe file and overrides on the command line to plain values: YAML without tags, repeats or surprises."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from contextnet.errors import RecipeError


class _PlainLoader(yaml.SafeLoader):
    """YAML's plain types only; a key that stands twice in one table is refused, and 1e-4 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' stands twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes a number with an exponent but without a dot for text.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe's plain values and apply overrides written as ``key.key=value`` (the value is YAML).

    Raises ``RecipeError`` naming the file or the override when it cannot be read or is not a mapping in plain YAML.
    """
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not plain YAML: {_reason(error)}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: holds {_described(values)}; a recipe is a mapping of keys to values")
    for override in overrides:
        _apply_override(values, override)
    return values


def _parse(text: str) -> Any:
    return yaml.load(text, _PlainLoader)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())


def _described(values: Any) -> str:
    return "nothing" if values is None else f"a {type(values).__name__}"


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *parents, last = (part.strip() for part in key.split("."))
    if not equals or not all((*parents, last)):
        raise RecipeError(f"override '{override}': write it as key=value, for example epochs=60 or data.val_split=test")
    try:
        value = _parse(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"override '{override}': the value is not plain YAML: {_reason(error)}") from None
    table = values
    for depth, parent in enumerate(parents, start=1):
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            above = ".".join(parents[:depth])
            raise RecipeError(f"override '{override}': '{above}' is a value and has no key '{last}'")
        table = inner
    table[last] = value
