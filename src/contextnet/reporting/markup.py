"""HTML and SVG as values: whatever is plain text is escaped on its way into an element."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

_VOID_ELEMENTS = frozenset({"img", "meta", "br"})


@dataclass(frozen=True)
class Html:
    """Source text that already is markup, every text in it escaped."""

    source: str


Child = Html | str
Attribute = str | float | None


def element(tag: str, *children: Child, **attributes: Attribute) -> Html:
    """Make one element; children that are plain text are escaped, markup goes in as it is.

    An attribute's underscores become hyphens and a trailing one falls away (``class_``); None leaves it out, and
    numbers are written with at most two decimals.
    """
    written = "".join(f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    if tag in _VOID_ELEMENTS:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children).source}</{tag}>")


def join(children: Iterable[Child]) -> Html:
    """Put pieces one after the other, plain text escaped."""
    return Html("".join(child.source if isinstance(child, Html) else _escaped(child) for child in children))


def number(value: float, digits: int = 2) -> str:
    """Write a number with at most ``digits`` decimals and no zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: str | float) -> str:
    return _escaped(value) if isinstance(value, str) else number(value)


def _escaped(text: str) -> str:
    """Escape markup; control characters, which HTML forbids, become the replacement character."""
    clean = "".join(c if c.isprintable() or c in "\n\t\u00a0\u00ad" else "\ufffd" for c in text)
    return escape(clean, quote=True)
