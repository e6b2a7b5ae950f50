"""Class names that lie beside a data set: class_dict.csv, labels.csv, label_colors.txt, labelmap.txt."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contextnet.data.mask_colors import as_color
from contextnet.errors import DataError
from contextnet.labels import Color

_VOID_NAMES = frozenset({"void", "unlabeled", "unlabelled", "ignore", "ignored", "undefined"})
_NAME_COLUMNS = ("name", "class", "label", "class_name")
_ID_COLUMNS = ("id", "index", "class_id", "label_id", "value")
_COLOR_COLUMNS = (("r", "red"), ("g", "green"), ("b", "blue"))
_MAX_BYTES = 1 << 20
_COLOR_LINE = re.compile(r"\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*?)\s*")
_MAP_LINE = re.compile(r"\s*([^:]+?)\s*:\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(:.*)?")


@dataclass(frozen=True)
class ListedClass:
    """One line of a class list: a name, and the colour or the mask id where the list has them."""

    name: str
    color: Color | None = None
    file_id: int | None = None

    @property
    def is_void(self) -> bool:
        """Whether the name says that such pixels are not to be learnt."""
        return self.name.lower() in _VOID_NAMES


@dataclass(frozen=True)
class ClassList:
    """The classes that a file beside the data lists, in its order."""

    path: Path
    classes: tuple[ListedClass, ...]


def find_class_list(root: Path) -> ClassList | None:
    """Read the first class list in a folder or in its ``labels`` folder; None where there is none.

    Raises ``DataError`` naming the file and what is wrong in it.
    """
    for folder in (root, root / "labels"):
        for name, parse in _PARSERS.items():
            path = folder / name
            if path.is_file():
                return ClassList(path, _checked(parse(_read(path), path), path))
    return None


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError.at(path, "is larger than 1 MiB", "a class list has one line a class; move this file away")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError.at(path, f"cannot be read: {error.strerror}", "check the file") from None
    except UnicodeDecodeError:
        raise DataError.at(path, "is not UTF-8 text", "save it as UTF-8 or move it away") from None


def _checked(classes: list[ListedClass], path: Path) -> tuple[ListedClass, ...]:
    if not classes:
        raise DataError.at(path, "lists no class", "write one line a class or move the file away")
    for what, values in (
        ("name", [c.name for c in classes]),
        ("colour", [c.color for c in classes if c.color is not None]),
        ("id", [c.file_id for c in classes if c.file_id is not None]),
    ):
        twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
        if twice is not None:
            raise DataError.at(path, f"lists the {what} {twice!r} twice", "give every class its own")
    return tuple(classes)


def _parse_csv(text: str, path: Path) -> list[ListedClass]:
    """Read a table with a header: a name column, and r, g, b or an id, or neither."""
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    name_column = next((columns[c] for c in _NAME_COLUMNS if c in columns), None)
    if name_column is None:
        raise DataError.at(path, f"has the columns {', '.join(columns) or 'none'}", "one must be called 'name'")
    parts = [next((columns[c] for c in names if c in columns), None) for names in _COLOR_COLUMNS]
    id_column = next((columns[c] for c in _ID_COLUMNS if c in columns), None)
    classes = []
    for row in rows:
        name = (row[name_column] or "").strip()
        if not name:
            continue
        where = f"line {rows.line_num}"
        color = None if None in parts else as_color(_byte(row[p or ""], path, where) for p in parts)
        file_id = None if id_column is None else _byte(row[id_column], path, where)
        classes.append(ListedClass(name, color, file_id))
    return classes


def _parse_color_lines(text: str, path: Path) -> list[ListedClass]:
    """Read lines of red, green, blue and name, as in CamVid's label_colors.txt."""
    return _parse_lines(text, path, _COLOR_LINE, "RED GREEN BLUE NAME", lambda m: (m[4], (m[1], m[2], m[3])))


def _parse_label_map(text: str, path: Path) -> list[ListedClass]:
    """Read lines of name:red,green,blue:: as annotation tools export them."""
    return _parse_lines(text, path, _MAP_LINE, "NAME:RED,GREEN,BLUE::", lambda m: (m[1], (m[2], m[3], m[4])))


def _parse_lines(
    text: str,
    path: Path,
    pattern: re.Pattern[str],
    expected: str,
    split: Callable[[re.Match[str]], tuple[str, tuple[str, str, str]]],
) -> list[ListedClass]:
    classes = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise DataError.at(path, f"line {number} is {line.strip()[:60]!r}", f"expected {expected}")
        name, parts = split(match)
        classes.append(ListedClass(name, as_color(_byte(p, path, f"line {number}") for p in parts)))
    return classes


def _byte(text: str | None, path: Path, where: str) -> int:
    value = (text or "").strip()
    if not re.fullmatch(r"\d{1,3}", value) or int(value) > 255:
        raise DataError.at(path, f"{where} holds {value!r}", "expected a number from 0 to 255")
    return int(value)


_PARSERS: dict[str, Callable[[str, Path], list[ListedClass]]] = {
    "class_dict.csv": _parse_csv,
    "labels.csv": _parse_csv,
    "label_colors.txt": _parse_color_lines,
    "labelmap.txt": _parse_label_map,
}
