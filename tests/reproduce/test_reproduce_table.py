from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from contextnet.reproduce.table import Column, Row, Table
from contextnet.reproduce.table_document import TableError

Document = dict[str, Any]

TABLE = Table(
    name="table4",
    title="Table 4: ablation",
    columns=(
        Column("miou", "mIoU, %"),
        Column("fps", "fps", decimals=2),
        Column("parameters", "parameters", decimals=0),
        Column("fence", "fence", mark="▲"),
        Column("engine", "engine"),
    ),
    rows=(
        Row("cn14", "here", {"miou": 64.04, "fps": 1234.567, "parameters": 856851, "fence": 7.0, "engine": "a|b"}),
        Row("enet", "here", {}, "no weights | here"),
        Row("cn14", "paper", {"miou": 65.9, "fps": 18.3, "parameters": None, "fence": 49.7, "engine": "*"}),
        Row("segnet", "paper", {"miou": 56.1}),
        Row("enet", "paper", {"miou": 58.35, "fence": float("nan")}),
    ),
    notes=("Methods with * and * are\nothers'.", "See `a*b`."),
    facts={"data": "CamVid", "command": "contextnet reproduce\n  table4", "size_hw": [360, 480]},
)

MARKDOWN = """\
### Table 4: ablation

|  | mIoU, % | fps | parameters | fence ▲ | engine | remark |
| --- | --: | --: | --: | --: | --- | --- |
| cn14 | 64.0 | 1,234.57 | 856,851 | 7.0 | a\\|b |  |
| *paper* | *65.9* | *18.30* | – | *49.7* | *\\** |  |
| enet | – | – | – | – | – | no weights \\| here |
| *paper* | *58.4* | – | – | – | – |  |
| *segnet (paper)* | *56.1* | – | – | – | – |  |

- Methods with \\* and \\* are others'.
- See `a*b`.

Made with:

    contextnet reproduce
      table4
"""


def test_markdown() -> None:
    assert TABLE.to_markdown() == MARKDOWN


def test_markdown_of_a_bare_table() -> None:
    table = Table("t", "A | <b>", (Column("x|", "x|"),), (Row("n|*", "here", {"x|": -0.04}),), (), {})
    assert table.to_markdown() == "### A | \\<b>\n\n|  | x\\| |\n| --- | --: |\n| n\\|\\* | 0.0 |\n"


def test_markdown_without_rows_has_no_grid() -> None:
    assert Table("t", "Figure 2", (Column("x", "x"),), (), ("A note.",), {}).to_markdown() == (
        "### Figure 2\n\n- A note.\n"
    )


def test_only_the_papers_own_rows_are_in_italics() -> None:
    rows = (Row("a", "here", {"x": 1}, "why"), Row("a", "paper", {"x": 2}, "where"))
    assert Table("t", "T", (Column("x", "x"),), rows, (), {}).to_markdown().splitlines()[4:] == [
        "| a | 1 | why |",
        "| *paper* | *2* | *where* |",
    ]


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ((1, None), "--:"),
        ((1.5, 2), "--:"),
        ((1, "n/a"), "---"),
        (("yes", None), "---"),
        ((None, None), "---"),
    ],
)
def test_columns_of_numbers_are_right_aligned(values: tuple[Any, Any], rule: str) -> None:
    table = Table("t", "T", (Column("x", "x"),), tuple(Row("a", "here", {"x": value}) for value in values), (), {})
    assert table.to_markdown().splitlines()[3] == f"| --- | {rule} |"


def test_json() -> None:
    small = Table(
        "table7",
        "T",
        (Column("fps", "fps", 2, "†"), Column("ms", "ms")),
        (Row("cn14", "here", {"ms": 3, "fps": float("nan")}, "why"), Row("cn14", "paper", {"fps": 18.3})),
        ("n",),
        {"machine": {"cores": 2}},
    )
    assert small.to_json() == {
        "name": "table7",
        "title": "T",
        "facts": {"machine": {"cores": 2}},
        "columns": [
            {"key": "fps", "heading": "fps", "decimals": 2, "mark": "†"},
            {"key": "ms", "heading": "ms", "decimals": 1, "mark": ""},
        ],
        "rows": [
            {"network": "cn14", "source": "here", "fps": None, "ms": 3, "remark": "why"},
            {"network": "cn14", "source": "paper", "fps": 18.3, "ms": None, "remark": ""},
        ],
        "notes": ["n"],
    }


def test_json_is_read_back() -> None:
    written = json.dumps(TABLE.to_json())
    again = Table.from_json(json.loads(written))
    assert json.dumps(again.to_json()) == written
    assert again.to_markdown() == MARKDOWN
    assert (again.columns, again.notes, again.facts) == (TABLE.columns, TABLE.notes, TABLE.facts)
    assert again.rows[0] == TABLE.rows[0]
    assert isinstance(again.rows[0].values["parameters"], int)


def _put(*path: Any, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def _drop(*path: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def _repeat(part: str, index: int) -> Callable[[Document], None]:
    return lambda document: document[part].append(document[part][index])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop("name"), "x.json: name: field required"),
        (_put("name", value=""), "x.json: name: string should have at least 1 character"),
        (_put("more", value=1), "x.json: more: extra inputs are not permitted"),
        (_put("title", value=4), "x.json: title: input should be a valid string"),
        (_put("facts", value=[]), "x.json: facts: input should be a valid dictionary"),
        (_put("notes", value="a"), "x.json: notes: input should be a valid list"),
        (_put("notes", 1, value=None), "x.json: notes.1: input should be a valid string"),
        (_put("columns", 1, "decimals", value=True), "x.json: columns.1.decimals: input should be a valid integer"),
        (_put("columns", 0, "decimals", value=-1), "x.json: columns.0.decimals: input should be greater than or"),
        (_put("columns", 0, "width", value=3), "x.json: columns.0.width: extra inputs"),
        (_drop("columns", 3, "mark"), "x.json: columns.3.mark: field required"),
        (_repeat("columns", 0), "a column cannot have the key 'miou', it is taken"),
        (_put("columns", 1, "key", value="other"), "x.json: rows.0.other: field required"),
        (_put("rows", 2, value=[]), "x.json: rows.2: input should be a valid dictionary"),
        (_put("columns", 0, value="miou"), "x.json: columns.0: input should be a valid dictionary"),
        (_put("rows", 2, "source", value="there"), "x.json: rows.2.source: input should be 'here' or 'paper'"),
        (_drop("rows", 1, "network"), "x.json: rows.1.network: field required"),
        (_drop("rows", 1, "remark"), "x.json: rows.1.remark: field required"),
        (_drop("rows", 1, "fps"), "x.json: rows.1.fps: field required"),
        (_put("rows", 1, "speed", value=1), "x.json: rows.1.speed: no column has this key"),
        (_put("rows", 0, "miou", value=True), "x.json: rows.0.miou: input should be a finite number, a text or null"),
        (_put("rows", 0, "miou", value=float("inf")), "x.json: rows.0.miou: input should be a finite number"),
        (_put("rows", 0, "miou", value=[1]), "x.json: rows.0.miou: input should be a finite number"),
    ],
)
def test_wrong_json_is_refused_by_its_field(change: Callable[[Document], None], message: str) -> None:
    document = copy.deepcopy(TABLE.to_json())
    change(document)
    with pytest.raises(TableError) as caught:
        Table.from_json(document, "x.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "table", 3])
def test_json_of_another_kind_is_refused(values: Any) -> None:
    with pytest.raises(TableError, match=r"^x\.json: document: input should be a valid dictionary$"):
        Table.from_json(values, "x.json")


@pytest.mark.parametrize(
    ("keys", "values", "message"),
    [
        (["a", "a"], {}, "key 'a', it is taken"),
        (["a", "network"], {}, "key 'network', it is taken"),
        (["source"], {}, "key 'source', it is taken"),
        (["remark"], {}, "key 'remark', it is taken"),
        (["a"], {"b": 1}, "table 't': 'cn14' has a value 'b', but no column has it"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(keys: list[str], values: Document, message: str) -> None:
    with pytest.raises(TableError, match=message):
        Table("t", "T", tuple(Column(key, key) for key in keys), (Row("cn14", "here", values),), (), {})
