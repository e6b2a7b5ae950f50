from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextnet.errors import ContextNetError
from contextnet.reproduce.accuracy import ensemble_table, result_of, table4, table5, table6
from contextnet.reproduce.paper import TABLE_5_CLASSES, TABLE_6
from contextnet.reproduce.table import Row, Table
from contextnet.reproduce.trainings import Trained, subject_of
from given_results import FACTS, NAN, result, scores_of, speed, speed_run, untrained

GIVEN = "Each network was given 2 minutes"
REFUSED = "not trained: one epoch takes 9.0 minutes here"


def row_of(table: Table, network: str, source: str = "here") -> Row:
    (found,) = (row for row in table.rows if (row.network, row.source) == (network, source))
    return found


def is_readable(table: Table) -> bool:
    """Whether the table is plain JSON that reads back, and Markdown."""
    text = json.dumps(table.to_json(), allow_nan=False)
    assert table.title in table.to_markdown()
    return Table.from_json(json.loads(text)).to_json() == table.to_json()


def test_scores_are_those_beside_the_weights(tmp_path: Path) -> None:
    scores = scores_of({"road": 0.5, "train": NAN}, {"flat": 0.5})
    (tmp_path / "scores.json").write_text(json.dumps(scores.to_json()), encoding="utf-8")
    trained = Trained(subject_of("cn14"), tmp_path / "best.safetensors", None, 3.0)
    found = result_of("cn14", trained)
    assert found.scores is not None
    assert found.scores.miou == 0.5
    assert found.training == {"epochs": None, "minutes": 3.0}
    (tmp_path / "scores.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ContextNetError, match=r"scores.json: classes: field required"):
        result_of("cn14", trained)
    assert result_of("cn14", Trained(subject_of("cn14"), None, None, None, "why")).remark == "why"


def test_table4() -> None:
    results = [
        result("cn18", {"road": 0.8, "pole": 0.3, "train": NAN}),
        result("cn14", {"road": 0.9, "pole": 0.5, "train": NAN}),
        untrained("cn124"),
        result("cn14-500", {"road": 0.9, "pole": 0.0, "train": 0.0}),
    ]
    run = speed_run(
        speed("cn18", 10, 20, 12.5),
        speed("cn14", 20, 20, 20, noise={"everything": "the figure varied", "network": "so did this"}),
        refused={"cn14-500": "no engine"},
        device="NVIDIA H200",
    )
    table = table4(results, run, FACTS)
    found = row_of(table, "cn18")
    counted = pytest.approx(0.85e6, rel=0.04)
    values = {"miou": pytest.approx(55), "fps": 80, "parameters": counted, "epochs": 3, "minutes": 1.8}
    assert (found.values, found.remark) == (values, "")
    assert row_of(table, "cn14").values["miou"] == pytest.approx(70)
    assert row_of(table, "cn14").values["fps"] == 50
    assert row_of(table, "cn14").remark == "frames/s are no result: the figure varied"
    missing = row_of(table, "cn124")
    assert (missing.values["miou"], missing.values["fps"], missing.values["epochs"]) == (None, None, None)
    assert missing.remark == REFUSED
    small = row_of(table, "cn14-500")
    assert small.values["miou"] == pytest.approx(30)
    assert small.values["parameters"] == pytest.approx(490_459, rel=1e-3), "the paper's count in its section 3.2"
    assert small.remark == "does not run: no engine"
    assert row_of(table, "cn12", "paper").values == {
        "miou": 68.7,
        "fps": 11.4,
        "parameters_m": 0.85,
        "parameters": None,
    }
    assert row_of(table, "cn14-160", "paper").values["parameters"] == 159_387
    assert "Weights are fresh, not trained; labels are their own." in table.notes[1]
    assert len([row for row in table.rows if row.source == "paper"]) == 6
    assert GIVEN in table.notes[0]
    assert "mIoU on streets/val at full label resolution" in table.notes[0]
    assert "512×1024" in table.notes[1]
    assert "openvino in fp32 on NVIDIA H200, " in table.notes[1]
    assert is_readable(table)


def test_table4_without_rates() -> None:
    table = table4([result("cn14", {"road": 0.9})], None, FACTS)
    assert row_of(table, "cn14").values["fps"] is None
    assert not any("Frames per second: " in note for note in table.notes)


def test_table5_and_the_gains_of_its_groups() -> None:
    low = {"road": 0.9, "sign symbol": 0.1, "pole": 0.2, "pedestrian": 0.4, "bicyclist": NAN, "train": 0.5}
    high = {"road": 0.92, "sign symbol": 0.2, "pole": 0.5, "pedestrian": 0.35, "bicyclist": 0.3, "train": NAN}
    table = table5([result("cn18", low), result("cn12", high), untrained("cn14")], FACTS)
    marks = {column.key: column.mark for column in table.columns}
    assert marks == {
        "road": "",
        "sign symbol": "(s)",
        "pole": "(s)",
        "pedestrian": "(f)",
        "bicyclist": "(f)",
        "train": "(r)",
    }
    # small: (10 + 30) / 2, fine: -5, the others: 2; what one of both lacks does not count, so no rare one is left
    assert table.notes[1].endswith("Mean gain from cn18 to cn12 here: small +20.0, fine -5.0, other +2.0 points.")
    assert "Parameters" not in " ".join(table.notes), "there are none"
    assert row_of(table, "cn12").values["pole"] == 50
    assert next(row for row in table.to_json()["rows"] if row["network"] == "cn18")["bicyclist"] is None
    assert row_of(table, "cn14") == Row("cn14", "here", {}, REFUSED)
    assert all(row.source == "here" for row in table.rows), "the paper's classes are others"
    assert is_readable(table)


def test_table5_of_cityscapes_has_the_papers_rows() -> None:
    # The paper's order of the classes is that of the train ids; another order must not change what is beside what.
    names = sorted(TABLE_5_CLASSES)
    table = table5([result("cn14", {name: index / 20 for index, name in enumerate(names)})], FACTS)
    assert [column.key for column in table.columns] == names
    assert row_of(table, "cn12", "paper").values["motorcycle"] == 51.36
    assert row_of(table, "cn18", "paper").values["road"] == 96.2
    assert [row.network for row in table.rows] == ["cn14", "cn18", "cn14", "cn12", "cn124"]
    assert "65.2 %" in table.notes[-1]
    assert "Mean gain" not in " ".join(table.notes), "cn18 and cn12 are not there"


def test_table5_of_nothing() -> None:
    table = table5([untrained("cn18"), untrained("cn12")], FACTS)
    assert table.columns == ()
    assert [row.remark for row in table.rows] == [REFUSED, REFUSED]
    assert is_readable(table)


def test_table6() -> None:
    results = [
        result("cn14", {"road": 0.9, "pole": 0.5}, {"flat": 0.9, "object": 0.7, "void": NAN}),
        result("enet", {"road": 0.8, "pole": NAN}, {"flat": 0.8, "object": NAN}),
        untrained("segnet"),
    ]
    table = table6(results, FACTS)
    ours = row_of(table, "cn14").values
    assert ours["class_miou"] == pytest.approx(70)
    assert ours["category_miou"] == pytest.approx(80)
    assert row_of(table, "enet").values["class_miou"] == pytest.approx(80)
    assert row_of(table, "enet").values["category_miou"] == pytest.approx(80)
    assert row_of(table, "segnet").values["parameters"] == 29_446_035, "the paper's 29.46 M"
    assert (row_of(table, "segnet").values["category_miou"], row_of(table, "segnet").remark) == (None, REFUSED)
    assert row_of(table, "icnet", "paper") == Row(
        "icnet", "paper", {"class_miou": 69.5, "category_miou": None, "parameters_m": 6.68}, "pre-trained on ImageNet"
    )
    assert row_of(table, "enet", "paper").remark == ""
    assert len(table.rows) == 3 + len(TABLE_6)
    assert "Equal minutes favour small networks" in table.notes[1]
    whole = table6(results, {**FACTS, "budget_minutes": None})
    assert whole.notes[1] == "No pre-training here.", "as many epochs for all favour none"
    assert is_readable(table)


def test_ensemble() -> None:
    members = [result("cn14-context", {"road": 0.6}), result("cn14-detail", {"road": 0.3})]
    ours = result("cn14", {"road": 0.8})
    table = ensemble_table(members, scores_of({"road": 0.5}, {"flat": 0.5}), ours, FACTS)
    assert [(row.network, row.source, row.values["miou"]) for row in table.rows] == [
        ("cn14-context", "here", 60),
        ("cn14-detail", "here", 30),
        ("ensemble", "here", 50),
        ("cn14", "here", 80),
        ("cn14-context", "paper", 63.3),
        ("cn14-detail", "paper", 25.1),
        ("ensemble", "paper", 60.3),
        ("cn14", "paper", 65.9),
    ]
    assert "Parameters" not in table.notes[0]
    assert is_readable(table)
    alone = ensemble_table([untrained("cn14-context"), members[1]], None, ours, FACTS)
    assert row_of(alone, "ensemble") == Row("ensemble", "here", {}, "not made: it needs both branches")
    assert row_of(alone, "cn14-context").remark == REFUSED
    assert is_readable(alone)
