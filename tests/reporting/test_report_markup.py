from __future__ import annotations

import pytest

from contextnet.reporting.markup import Child, Html, element, join, number


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (element("p", "a < b & c"), "<p>a &lt; b &amp; c</p>"),
        (element("p", element("b", "x"), "<i>"), "<p><b>x</b>&lt;i&gt;</p>"),
        (element("p", title='"><script>'), '<p title="&quot;&gt;&lt;script&gt;"></p>'),
        (
            element("p", class_="note", stroke_width=1.5, x=2.0, id=None),
            '<p class="note" stroke-width="1.5" x="2"></p>',
        ),
        (element("svg", viewBox="0 0 1 1"), '<svg viewBox="0 0 1 1"></svg>'),
        (element("img", src="data:,"), '<img src="data:,">'),
        (element("p", "a\x00b\ud800\n"), "<p>a\ufffdb\ufffd\n</p>"),
    ],
)
def test_elements(made: Html, expected: str) -> None:
    assert made.source == expected


def test_join_escapes_text_and_keeps_markup() -> None:
    pieces: list[Child] = ["<", Html("<br>"), "it's"]
    assert join(pieces).source == "&lt;<br>it&#x27;s"


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (1.0, 2, "1"),
        (1.25, 1, "1.2"),
        (100.0, 2, "100"),
        (0.005, 2, "0.01"),
        (-0.001, 2, "0"),
        (-1.5, 2, "-1.5"),
        (7, 0, "7"),
    ],
)
def test_numbers(value: float, digits: int, expected: str) -> None:
    assert number(value, digits) == expected
