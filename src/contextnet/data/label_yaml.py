"""Writing a label-set YAML that ``label_file`` reads back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors
from contextnet.labels import Color, LabelClass

# What YAML takes for text as it stands, its words for truth and nothing aside.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][A-Za-z0-9_]*(?:[ -][A-Za-z0-9_]+)*", re.I)


def label_file_yaml(file: LabelFile, head: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """Write a label file as YAML text: ``head`` as comments at the top, ``notes`` behind the classes, in their order.

    ``read_label_file`` gives the same value again where the file ids of colour-coded masks are the train ids and each
    class is drawn in its first mask colour.
    """
    labels, colors = file.labels, file.colors
    lines = [f"# {_comment(line)}" for line in head]
    lines.append(f"name: {_text(labels.name)}")
    if colors is not None:
        lines.append("encoding: color")
    lines.append("classes:")
    for train_id, label in enumerate(labels.classes):
        note = f"  # {_comment(notes[train_id])}" if train_id < len(notes) else ""
        lines.append(f"  - {{{', '.join(_fields(label, train_id, colors))}}}{note}")
    if colors is None:
        lines.append(f"void: [{', '.join(str(i) for i in labels.void_ids)}]")
    else:
        lines.append(f"void_colors: [{_colors(colors.void)}]")
    return "\n".join(lines) + "\n"


def _fields(label: LabelClass, train_id: int, colors: MaskColors | None) -> Iterable[str]:
    yield f"name: {_text(label.name)}"
    if colors is None:
        yield f"ids: [{', '.join(str(i) for i in label.file_ids)}]"
        yield f"color: {list(label.color)}"
    else:
        first, *others = colors.by_class[train_id]
        yield f"color: {list(first)}"
        if others:
            yield f"colors: [{_colors(others)}]"
    if label.category != label.name:
        yield f"category: {_text(label.category)}"
    if label.has_instances:
        yield "instances: true"


def _colors(colors: Iterable[Color]) -> str:
    return ", ".join(str(list(color)) for color in colors)


def _text(text: str) -> str:
    """Quote a text where YAML would read it as anything else, what is not printable ASCII by its number."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = (c if " " <= c <= "~" and c not in '\\"' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(escaped)}"'


def _comment(text: str) -> str:
    """Give a text as what may follow a number sign: one line, without what YAML does not allow anywhere."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
