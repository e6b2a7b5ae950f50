"""A table of results: this project's rows and the paper's, as JSON and as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent
from typing import Any, Literal

from contextnet.reproduce.table_document import ROW_FIELDS, TableError, read_table_document

Value = float | int | str | None

NOTHING = "–"
"""What stands for a value that is not there."""


@dataclass(frozen=True)
class Column:
    """A column: the ``key`` of its values in the rows, its ``heading``, the ``decimals`` of its floats.

    ``mark`` stands behind the heading and says what the column belongs to; empty for none.
    """

    key: str
    heading: str
    decimals: int = 1
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """What one network gives, measured ``here`` or printed in the ``paper``; a missing value counts as None.

    ``remark`` says what the values do not, such as why there are none.
    """

    network: str
    source: Literal["here", "paper"]
    values: Mapping[str, Value]
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table: ``name`` as in the paper ("table4"), and ``facts`` that its readers need to repeat it.

    ``facts`` are plain JSON values: the data set, the budget, the machine; ``command`` is what made the table.
    Raises ``TableError`` when two columns have one key, and when a row has a value without a column.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        keys: set[str] = set()
        for column in self.columns:
            if column.key in keys or column.key in ROW_FIELDS:
                raise TableError(f"table '{self.name}': a column cannot have the key '{column.key}', it is taken")
            keys.add(column.key)
        for row in self.rows:
            for key in row.values:
                if key not in keys:
                    raise TableError(f"table '{self.name}': '{row.network}' has a value '{key}', but no column has it")

    def to_json(self) -> dict[str, Any]:
        """Describe the table as plain JSON values, NaN as null; ``from_json`` reads them back."""
        return {
            "name": self.name,
            "title": self.title,
            "facts": dict(self.facts),
            "columns": [
                {"key": c.key, "heading": c.heading, "decimals": c.decimals, "mark": c.mark} for c in self.columns
            ],
            "rows": [
                {
                    "network": row.network,
                    "source": row.source,
                    **{column.key: _value(row, column) for column in self.columns},
                    "remark": row.remark,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, values: Any, source: str = "table") -> Table:
        """Build a table from JSON values as ``to_json`` writes them; nothing is converted.

        Raises ``TableError`` that begins with ``source`` and names the first field that is missing, unknown or wrong.
        """
        document = read_table_document(values, source)
        columns = tuple(Column(c.key, c.heading, c.decimals, c.mark) for c in document.columns)
        rows = tuple(
            Row(row["network"], row["source"], {c.key: row[c.key] for c in columns}, row["remark"])
            for row in document.rows
        )
        try:
            return cls(document.name, document.title, columns, rows, tuple(document.notes), document.facts)
        except TableError as error:
            raise TableError(f"{source}: {error}") from None

    def to_markdown(self) -> str:
        """Write the table as GitHub's Markdown: heading, rows, notes, command.

        Texts are taken as plain, but for code between backticks. The paper's rows stand in italics right behind the
        same network's own; the last column has the remarks, if there are any.
        """
        parts = [f"### {_plain(self.title)}"]
        if self.rows:
            parts.append(self._grid())
        if self.notes:
            parts.append("\n".join(f"- {_plain(note)}" for note in self.notes))
        if command := self.facts.get("command"):
            # The words end the list: indented lines right behind it would belong to its last item.
            parts += ["Made with:", indent(str(command), "    ")]
        return "\n\n".join(parts) + "\n"

    def in_order(self) -> list[Row]:
        """Give the rows as they are shown: networks as they come, the paper's rows of each behind its own."""
        networks = list(dict.fromkeys(row.network for row in self.rows))
        return sorted(self.rows, key=lambda row: (networks.index(row.network), row.source == "paper"))

    def label(self, row: Row) -> str:
        """Name a row: its network, or for the paper's the word, where the network has a row of its own."""
        own = {one.network for one in self.rows if one.source == "here"}
        if row.source == "here":
            return row.network
        return "paper" if row.network in own else f"{row.network} (paper)"

    def shown(self, row: Row, column: Column) -> str:
        """Write a row's value in a column: so many decimals, thousands set apart, a dash where there is none."""
        return _shown(_value(row, column), column)

    def _grid(self) -> str:
        remarked = any(row.remark for row in self.rows)
        headings = ["", *(f"{column.heading} {column.mark}" for column in self.columns), *["remark"] * remarked]
        rule = ["---", *("--:" if self._is_of_numbers(c) else "---" for c in self.columns), *["---"] * remarked]
        lines = [[_cell(heading) for heading in headings], rule]
        for row in self.in_order():
            cells = [self.label(row), *(self.shown(row, column) for column in self.columns)]
            lines.append([_styled(_cell(text), row) for text in [*cells, *[row.remark] * remarked]])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _is_of_numbers(self, column: Column) -> bool:
        values = [value for row in self.rows if (value := _value(row, column)) is not None]
        return bool(values) and not any(isinstance(value, str) for value in values)


def _value(row: Row, column: Column) -> Value:
    value = row.values.get(column.key)
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(value: Value, column: Column) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:z,.{column.decimals}f}"
    return f"{value:,}" if isinstance(value, int) else value


def _styled(cell: str, row: Row) -> str:
    return f"*{cell}*" if row.source == "paper" and cell not in {"", NOTHING} else cell


def _cell(text: str) -> str:
    return _plain(text).replace("|", r"\|")


def _plain(text: str) -> str:
    """Put a text on one line, with what Markdown would read as a mark escaped, but for code between backticks."""
    one_line = " ".join(text.split())
    return re.sub(r"`[^`]*`|[*<]", lambda found: found[0] if found[0].startswith("`") else f"\\{found[0]}", one_line)
