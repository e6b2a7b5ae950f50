"""YAML as plain values, and the reasons for which a text is refused."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from contextnet.plain_yaml import PlainYamlError, parse_plain_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: 1\nb: [x, 2.5, true, null]\n", {"a": 1, "b": ["x", 2.5, True, None]}),
        ("rate: 1e-4", {"rate": 0.0001}),
        ("rate: -2.E+3", {"rate": -2000.0}),
        ("day: 2024-01-31", {"day": datetime.date(2024, 1, 31)}),
        ("a: {b: 1}\nc: {b: 2}\n", {"a": {"b": 1}, "c": {"b": 2}}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_plain_values(text: str, expected: Any) -> None:
    found = parse_plain_yaml(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1, 2", "while parsing a flow sequence"),
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice .*line 3"),
        ("a:\n  - {b: 1, b: 2}\n", "key 'b' stands twice .*line 2"),
        ("!!python/object/apply:os.getcwd []", r"^a tag \(!…\) in line 1; write plain values$"),
        ("a: !!int ''", r"^a tag \(!…\) in line 1"),
        ("a: 1\nb: !!int 3", r"^a tag \(!…\) in line 2"),
        ("[" * 20_000, "^nested too deeply$"),
        ("7" * 5000, "^Exceeds the limit"),
        ("2024-13-45", "^month must be in 1..12"),
        ("a: \x00", "unacceptable character"),
        ("? [a]\n: 1", "found unhashable key"),
    ],
)
def test_refusals_give_the_reason_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(PlainYamlError, match=reason) as caught:
        parse_plain_yaml(text)
    assert "\n" not in str(caught.value)
