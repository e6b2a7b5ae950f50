from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contextnet.compression.pruning.groups import channel_groups
from contextnet.models.storage import read_weights, write_weights
from contextnet.reproduce.accuracy import Result
from contextnet.reproduce.budget import Budget
from contextnet.reproduce.pruning import pruning_table, train_chain
from contextnet.reproduce.table import Table
from contextnet.reproduce.trainings import Trained, subject_of
from contextnet.spec import ContextNetSpec, variant
from contextnet.training.recipe.recipe import read_recipe
from contextnet.weights.catalogue import summarize_weights
from given_results import FACTS, untrained
from tiny_trainings import MINUTE_S, contents, trainings
from training_data import write_pairs

CHAIN = ["cn14-x2", "cn14-pruned-x1.5", "cn14-pruned-x1.25", "cn14-pruned-x1", "cn14"]


def pace(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    monkeypatch.setattr("contextnet.reproduce.trainings.measure_step_s", lambda *_: step_s)


def rows_of(table: Table) -> list[tuple[object, ...]]:
    return [(r.network, r.source, r.values.get("width"), r.values.get("epochs"), r.remark) for r in table.rows]


def test_the_chain_ends_at_the_papers_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "data", train=2)
    pace(monkeypatch, MINUTE_S)  # an epoch is a step
    results = train_chain(trainings(tmp_path, 3))
    assert [result.network for result in results] == CHAIN
    # 1.5 minutes of 3 for the wide network, 0.5 for each pruning, of which an epoch takes two
    given = [(one.trained.budget.minutes, one.trained.budget.epochs) for one in results if _has_budget(one)]
    assert given == [(1.5, 1), (pytest.approx(0.5), 1), (pytest.approx(0.5), 1), (pytest.approx(0.5), 1), (3, 3)]
    specs = [_spec(one) for one in results]
    for spec, width in zip(specs, (2, 1.5, 1.25, 1, 1), strict=True):
        widths = [group.width for group in channel_groups(spec)]
        expected = [group.width for group in channel_groups(variant("cn14", 3, width=width))]
        assert all(abs(found - wanted) <= 2 for found, wanted in zip(widths, expected, strict=True))
    runs = tmp_path / "runs" / "folder-data"
    assert read_recipe(runs / CHAIN[1] / "recipe.yaml").init_from == str(runs / "cn14-pruned-x1.5.safetensors")
    start = read_weights(runs / "cn14-pruned-x1.safetensors")
    assert start.training == {"pruned_from": "cn14-pruned-x1.25", "width": 1.0}
    table = pruning_table(results, FACTS)
    assert rows_of(table) == [
        ("cn14-x2", "here", 2.0, 1, "wide"),
        ("cn14-pruned-x1.5", "here", 1.5, 1, "pruned, trained on"),
        ("cn14-pruned-x1.25", "here", 1.25, 1, "pruned, trained on"),
        ("cn14-pruned-x1", "here", 1.0, 1, "the result of pruning"),
        ("cn14", "here", 1.0, 3, "directly"),
        ("cn14", "paper", 1.0, None, "before pruning, Cityscapes' test images"),
        ("cn14-pruned-x1", "paper", 1.0, None, "after pruning, Cityscapes' test images"),
    ]
    own, paper = table.rows[:5], table.rows[5:]
    assert [row.values["parameters"] for row in own] == [
        summarize_weights(one.trained.weights).parameters for one in results if one.trained and one.trained.weights
    ]
    assert [row.values["miou"] for row in own] == [100 * one.scores.miou for one in results if one.scores]
    assert [row.values["miou"] for row in paper] == [64.2, 66.1]
    assert "Each network was given 3 minutes" in table.notes[0]
    assert "Of that time the wide network had 50%, and its 3 prunings shared the rest" in table.notes[0]
    assert Table.from_json(json.loads(json.dumps(table.to_json()))).to_json() == table.to_json()

    before = contents(tmp_path / "runs")
    assert [one.scores.miou for one in train_chain(trainings(tmp_path, 3)) if one.scores] == [
        one.scores.miou for one in results if one.scores
    ]
    after = contents(tmp_path / "runs")
    assert {name: checksum for name, (checksum, _) in after.items()} == {n: c for n, (c, _) in before.items()}

    wide = read_weights(runs / "cn14-x2" / "best.safetensors")
    stronger = {name: tensor * 2 if tensor.is_floating_point() else tensor for name, tensor in wide.tensors.items()}
    write_weights(runs / "cn14-x2" / "best.safetensors", replace(wide, tensors=stronger))
    anew = train_chain(trainings(tmp_path, 3))
    assert all(one.scores for one in anew)
    kept = {name: checksum for name, (checksum, _) in contents(tmp_path / "runs").items()}
    for name, (checksum, _) in after.items():
        if "pruned" in name and name.count("/") > 1:
            run, _, file = name.removeprefix("folder-data/").partition("/")
            assert kept[f"folder-data/{run}-before-1/{file}"] == checksum, "what was trained before is set aside"
    begun_with = read_weights(runs / "cn14-pruned-x1.5.safetensors")
    assert not all(start.tensors[n].equal(t) for n, t in begun_with.tensors.items() if n in start.tensors)


def test_a_longer_budget_goes_on_with_the_whole_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "data", train=4)
    pace(monkeypatch, MINUTE_S / 2)
    train_chain(trainings(tmp_path, 2))
    longer = train_chain(trainings(tmp_path, 6))
    assert [one.trained.budget.epochs for one in longer if _has_budget(one)] == [3, 1, 1, 1, 6]
    assert all(one.scores for one in longer)


def test_a_chain_is_given_no_more_epochs_than_the_direct_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path / "data", train=4)
    pace(monkeypatch, MINUTE_S / 2)
    results = train_chain(trainings(tmp_path, 1000, "epochs=6"))
    assert [one.trained.budget.epochs for one in results if _has_budget(one)] == [3, 1, 1, 1, 6]


def _has_budget(one: Result) -> bool:
    return one.trained is not None and one.trained.budget is not None


def _spec(one: Result) -> ContextNetSpec:
    assert one.trained is not None
    assert one.trained.weights is not None
    spec = read_weights(one.trained.weights).spec
    assert isinstance(spec, ContextNetSpec)
    return spec


def test_a_wide_network_that_is_too_large_ends_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "data", train=2)
    # 1.5 minutes for an epoch: more than two times the wide network's half, less than two times the whole
    pace(monkeypatch, 1.5 * MINUTE_S)
    results = train_chain(trainings(tmp_path, 1.4))
    assert results[0].remark == "not trained: one epoch takes 1.5 minutes here, and there were 0.7"
    assert [one.remark for one in results[1:4]] == ["not made: the step before it was not trained"] * 3
    assert results[4].scores is not None, "the direct training does not need the chain"
    table = pruning_table(results, FACTS)
    assert [row.remark for row in table.rows[:2]] == [
        f"wide; {results[0].remark}",
        "pruned, trained on; not made: the step before it was not trained",
    ]
    assert table.rows[0].values == {"width": 2.0, "epochs": None, "minutes": None}
    assert sorted(path.name for path in (tmp_path / "runs" / "folder-data").iterdir()) == ["cn14"]


def test_without_a_budget_the_epochs_are_shared() -> None:
    direct = Result("cn14", Trained(subject_of("cn14"), None, Budget(None, None, 120, 120), None), None)
    steps = tuple(untrained(name) for name in CHAIN[:4])
    note = pruning_table((*steps, direct), {**FACTS, "budget_minutes": None}).notes[0]
    assert "Each network was trained for the recipe's epochs. Of those epochs the wide network had 50%" in note
