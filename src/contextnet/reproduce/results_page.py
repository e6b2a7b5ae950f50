"""The kept tables of a folder, and the one page that is made of them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import quote

from contextnet.errors import ContextNetError
from contextnet.files import write_json, write_text
from contextnet.reproduce.table import Table
from contextnet.reproduce.table_document import TableError

PICTURES = (".svg", ".png", ".jpg")
"""Endings of the pictures that may lie beside a table."""

_STEM = re.compile(r"(table[1-7]|ensemble|pruning|figure2)(?:-([\w.×-]+))?", re.ASCII)
_SIZE = re.compile(r"(\d+)[x×](\d+)")
_LATER = ("ensemble", "pruning", "figure2")
_REMEDY = "make the table again or remove the file"


def keep_table(folder: Path, table: Table, stem: str) -> None:
    """Write a table as ``<stem>.json`` into a folder that is there, in place of an earlier one.

    A stem is the table's place, then what it was made on: ``table1``, ``table4-camvid``, ``table7-512x1024``,
    ``ensemble``. Raises ``TableError`` for a stem that the page has no place for.
    """
    if _place(stem) is None:
        raise TableError(
            f"'{stem}' is no name for a table; expected table1 to table7, {', '.join(_LATER)}, and behind a hyphen, "
            "in letters, digits, '.', '_', and '-', what it was made on"
        )
    write_json(folder / f"{stem}.json", table.to_json())


def write_results_page(folder: Path, page: Path, introduction: str) -> None:
    """Write the folder's tables as one Markdown page: ``introduction``, contents, and each table with its pictures.

    The order is Tables 1–3, Tables 4–6 of each data set, Table 7 from the largest size to the smallest, ensemble,
    pruning, Figure 2; files of other names are left out. ``introduction`` is Markdown and begins with the page's
    heading. Raises ``TableError`` naming the file that is damaged, or the folder when it holds no table.
    """
    tables = {path: _read(path) for path in _kept(folder)}
    if not tables:
        raise TableError(f"{folder}: holds no tables; make them first")
    contents = "\n".join(f"- [{_link_text(table.title)}](#{path.stem})" for path, table in tables.items())
    parts = [introduction.strip(), "## Contents", contents]
    for path, table in tables.items():
        parts += [f'<a id="{path.stem}"></a>', table.to_markdown().strip(), *_pictures(path, table, page)]
    write_text(page, "\n\n".join(parts) + "\n")


def _kept(folder: Path) -> list[Path]:
    placed = [(place, path) for path in folder.glob("*.json") if (place := _place(path.stem)) is not None]
    return [path for _, path in sorted(placed)]


def _place(stem: str) -> tuple[int, int, str, int] | None:
    """Give what the page's tables are sorted by: part, size (the largest first), data set, number in the part."""
    found = _STEM.fullmatch(stem)
    if not found:
        return None
    name, made_on = found[1], found[2] or ""
    if name in _LATER:
        return 3 + _LATER.index(name), 0, made_on, 0
    number = int(name.removeprefix("table"))
    if number == 7:
        size = _SIZE.search(made_on)
        return 2, -int(size[1]) * int(size[2]) if size else 0, made_on, 7
    return (0 if number <= 3 else 1), 0, made_on, number


def _read(path: Path) -> Table:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TableError.at(path, f"cannot be read: {error.strerror or error}", _REMEDY) from error
    except (ValueError, RecursionError):
        raise TableError.at(path, "is damaged: not JSON", _REMEDY) from None
    try:
        return Table.from_json(values, str(path))
    except ContextNetError as error:
        raise TableError(f"{error}; {_REMEDY}") from None


def _pictures(path: Path, table: Table, page: Path) -> list[str]:
    found = [picture for ending in PICTURES if (picture := path.with_suffix(ending)).is_file()]
    return [f"![{_link_text(table.title)}]({_relative(picture, page)})" for picture in found]


def _relative(picture: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(picture.resolve(), page.resolve().parent)).as_posix())


def _link_text(title: str) -> str:
    """Escape what would end a link's text or be read as a mark in it."""
    return re.sub(r"[\[\]*<]", lambda found: f"\\{found[0]}", " ".join(title.split()))
