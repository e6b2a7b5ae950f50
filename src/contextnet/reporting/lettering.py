"""How much room a text of 12 pixels takes, and how it is broken into lines; estimated, as no font is known."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from contextnet.reporting.markup import Html, element

LETTER = 7.0
"""The width of a letter, in pixels: the mean of a wide system font."""

LINE = 14.0
"""From one line's foot to the next one's, in pixels."""

FOOT = 4.0
"""How far a line's middle lies above its foot, in pixels."""

_MORE = "…"


def text_width(text: str) -> float:
    """Estimate the width of one line, in pixels."""
    return LETTER * len(text)


def wrapped(text: str, width: float, most: int = 3) -> tuple[str, ...]:
    """Break a text into at most ``most`` lines of at most ``width`` pixels, none for an empty one.

    Lines end at spaces and hyphens, or within a word that is too long; what is cut off ends in "…".
    """
    letters = max(2, int(width // LETTER))
    lines = textwrap.wrap(text, letters)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: letters - 1].rstrip() + _MORE]
    return tuple(lines)


def written_lines(
    lines: Sequence[str], x: float, first_foot: float, class_: str = "", anchor: str = "start", full: str = ""
) -> Iterator[Html]:
    """Write lines below each other; where they are cut, the ``full`` text is their tooltip."""
    cut = full if lines and lines[-1].endswith(_MORE) else ""
    for number, line in enumerate(lines):
        tip = [element("title", full)] if cut else []
        y = first_foot + number * LINE
        yield element("text", line, *tip, x=x, y=y, text_anchor=anchor, class_=class_ or None)


def written_around(
    lines: Sequence[str], x: float, middle: float, class_: str = "", anchor: str = "start", full: str = ""
) -> Iterator[Html]:
    """Write lines below each other whose middle lies at the height ``middle``."""
    return written_lines(lines, x, middle + FOOT - (len(lines) - 1) * LINE / 2, class_, anchor, full)
