from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextnet.errors import ContextNetError
from contextnet.reproduce.results_page import keep_table, write_results_page
from contextnet.reproduce.table import Column, Row, Table
from contextnet.reproduce.table_document import TableError

INTRODUCTION = "# Results\n\nHow the paper's tables come out here.\n"


def _table(title: str, miou: float = 64.0) -> Table:
    return Table("table4", title, (Column("miou", "mIoU, %"),), (Row("cn14", "here", {"miou": miou}),), (), {})


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_page(kept: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    keep_table(kept, _table("Table 7: runtime [fps]", 18.25), "table7-512x1024")
    keep_table(kept, _table("Table 4: ablation"), "table4-camvid")
    (kept / "table4-camvid.svg").write_text("<svg/>")
    (kept / "table4-camvid.jpg").write_bytes(b"")
    (kept / "table4.png").write_bytes(b"")
    write_results_page(kept, page, INTRODUCTION)
    assert page.read_text(encoding="utf-8") == (
        "# Results\n\nHow the paper's tables come out here.\n\n"
        "## Contents\n\n"
        "- [Table 4: ablation](#table4-camvid)\n"
        "- [Table 7: runtime \\[fps\\]](#table7-512x1024)\n\n"
        '<a id="table4-camvid"></a>\n\n'
        "### Table 4: ablation\n\n|  | mIoU, % |\n| --- | --: |\n| cn14 | 64.0 |\n\n"
        "![Table 4: ablation](../results/table4-camvid.svg)\n\n"
        "![Table 4: ablation](../results/table4-camvid.jpg)\n\n"
        '<a id="table7-512x1024"></a>\n\n'
        "### Table 7: runtime [fps]\n\n|  | mIoU, % |\n| --- | --: |\n| cn14 | 18.2 |\n"
    )


def test_order_is_fixed_and_foreign_files_are_left_out(kept: Path, tmp_path: Path) -> None:
    in_order = [
        *("table1", "table2", "table3", "table3-zurich", "table4"),
        *("table4-camvid", "table5-camvid", "table6-camvid"),
        *("table4-cityscapes", "table5-cityscapes"),
        *("table7-1024x2048", "table7-512x1024", "table7-256x512"),
        *("ensemble-camvid", "ensemble-cityscapes", "pruning", "figure2"),
    ]
    for stem in sorted(in_order, reverse=True):
        keep_table(kept, _table(stem), stem)
    for foreign in ("table8.json", "settings.json", "table4 camvid.json", "mytable1.json", "table1.txt"):
        (kept / foreign).write_text("no table")
    write_results_page(kept, tmp_path / "page.md", INTRODUCTION)
    lines = (tmp_path / "page.md").read_text().splitlines()
    assert [line.removeprefix("### ") for line in lines if line.startswith("### ")] == in_order
    assert [line for line in lines if line.startswith("- ")] == [f"- [{stem}](#{stem})" for stem in in_order]


def test_a_page_written_twice_is_identical(kept: Path, tmp_path: Path) -> None:
    for stem in ("table5-camvid", "table4-camvid", "figure2"):
        keep_table(kept, _table(stem), stem)
    first, second = tmp_path / "first.md", tmp_path / "second.md"
    write_results_page(kept, first, INTRODUCTION)
    for path in sorted(kept.iterdir()):  # in the folder, the files now stand in another order
        keep_table(kept, Table.from_json(json.loads(path.read_text())), path.stem)
    write_results_page(kept, second, INTRODUCTION)
    write_results_page(kept, second, INTRODUCTION)
    assert first.read_bytes() == second.read_bytes()


def test_tables_of_a_later_run_replace_the_earlier_ones(kept: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    keep_table(kept, _table("Table 4", 11.1), "table4-camvid")
    keep_table(kept, _table("Ensemble", 22.2), "ensemble")
    write_results_page(kept, page, INTRODUCTION)
    keep_table(kept, _table("Table 4", 33.3), "table4-camvid")
    write_results_page(kept, page, INTRODUCTION)
    text = page.read_text()
    assert [text.count(miou) for miou in ("11.1", "22.2", "33.3")] == [0, 1, 1]
    assert sorted(path.name for path in kept.iterdir()) == ["ensemble.json", "table4-camvid.json"]


def test_what_is_kept_is_the_table(kept: Path) -> None:
    keep_table(kept, _table("Table 4"), "table4-camvid")
    assert json.loads((kept / "table4-camvid.json").read_text()) == _table("Table 4").to_json()


def test_pictures_beside_the_page_and_names_with_dots(kept: Path) -> None:
    keep_table(kept, _table("T"), "table7-cpu-256x512_v1.2")
    (kept / "table7-cpu-256x512_v1.2.png").write_bytes(b"")
    write_results_page(kept, kept / "page.md", INTRODUCTION)
    assert (kept / "page.md").read_text().endswith("\n\n![T](table7-cpu-256x512_v1.2.png)\n")


@pytest.mark.parametrize(
    "stem", ["", "table", "table0", "table8", "table12", "table4-", "table4-a b", "../table1", "table4-ü"]
)
def test_names_without_a_place_are_refused(kept: Path, stem: str) -> None:
    with pytest.raises(TableError, match=r"^'.*' is no name for a table; expected table1 to table7, ensemble, pruning"):
        keep_table(kept, _table("T"), stem)
    assert not list(kept.iterdir())


REMEDY = "; make the table again or remove the file"
NO_JSON = f": is damaged: not JSON{REMEDY}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", NO_JSON),
        (b'{"name": "table4", ', NO_JSON),
        (b"\xff\xfe{}", NO_JSON),
        (b"[" * 100_000, NO_JSON),
        (b"1" * 5000, NO_JSON),
        (b"[]", f": document: input should be a valid dictionary{REMEDY}"),
        (b"{}", f": name: field required{REMEDY}"),
    ],
)
def test_a_damaged_table_is_one_sentence(kept: Path, tmp_path: Path, content: bytes, message: str) -> None:
    keep_table(kept, _table("T"), "table1")
    damaged = kept / "table4-camvid.json"
    damaged.write_bytes(content)
    with pytest.raises(TableError) as caught:
        write_results_page(kept, tmp_path / "page.md", INTRODUCTION)
    assert str(caught.value) == f"{damaged}{message}"
    assert not (tmp_path / "page.md").exists()


def test_a_link_to_nowhere_is_one_sentence(kept: Path, tmp_path: Path) -> None:
    (kept / "table1.json").symlink_to(kept / "gone.json")
    with pytest.raises(TableError, match=r"table1\.json: cannot be read: No such file or directory; make the table"):
        write_results_page(kept, tmp_path / "page.md", INTRODUCTION)


@pytest.mark.parametrize("name", ["results", "nowhere"])
def test_a_folder_without_tables_is_refused(kept: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=rf"{name}: holds no tables; make them first"):
        write_results_page(tmp_path / name, tmp_path / "page.md", INTRODUCTION)


def test_every_fault_is_the_users_to_mend() -> None:
    assert issubclass(TableError, ContextNetError)
