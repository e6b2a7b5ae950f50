"""YAML as plain values: no tags, no key twice, no surprises."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class PlainYamlError(ValueError):
    """A text is not plain YAML; the message is the reason alone, for the caller to name the file."""


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


def parse_plain_yaml(text: str) -> Any:
    """Read a YAML text as plain values: mappings, lists, text, numbers, dates, true and false, nothing.

    Raises ``PlainYamlError`` when it is malformed, holds a tag, an impossible date, an integer of thousands of digits
    or one key twice in a table, or is nested too deeply.
    """
    try:
        for token in yaml.scan(text):
            if isinstance(token, yaml.TagToken):
                raise PlainYamlError(f"a tag (!…) in line {token.start_mark.line + 1}; write plain values")
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise PlainYamlError("nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise PlainYamlError(" ".join(str(error).split())) from None
