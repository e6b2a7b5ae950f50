from __future__ import annotations

import json
from pathlib import Path

import pytest
from reporting_runs import RECIPE, epoch, lines, make_run, scores_of, start, validation, write_tiny_weights

from contextnet.errors import ContextNetError, RecipeError, RunError
from contextnet.reporting.run_record import MAX_RUNS, flatten, read_run, read_runs

MIOU = (90 / 105 + 15 / 30) / 2


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    root = make_run(tmp_path / "one", lines(start(), epoch(1, 2.0), validation(1, MIOU)), scores=scores_of())
    write_tiny_weights(root / "best.safetensors")
    (record,) = read_runs([root])
    assert record.name == "one"
    assert record.planned_epochs == 4
    assert record.recipe["optimizer.learning_rate"] == "0.01"
    assert record.best_class_iou == pytest.approx({"road": 90 / 105, "car": 0.5, "sky": None})
    assert record.weights is not None
    assert record.weights.num_classes == 19
    assert record.faults == ()


def test_without_scores_the_log_tells_the_classes(tmp_path: Path) -> None:
    log = lines(start(), validation(1, 0.4, {"road": 0.4}), validation(2, 0.3, {"road": 0.3}))
    record = read_run(make_run(tmp_path / "one", log), "one")
    assert record.best_class_iou == {"road": 0.4}
    assert (record.scores, record.weights) == (None, None)


def test_a_run_that_has_only_begun_is_read(tmp_path: Path) -> None:
    root = make_run(tmp_path / "one")
    (root / "log.jsonl").unlink()
    record = read_run(root, "one")
    assert record.history.epochs == ()
    assert record.best_class_iou == {}
    assert record.faults == ("log.jsonl cannot be read: No such file or directory.",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.jsonl", "nonsense\n", "log.jsonl: lines that cannot be read and are left out: 1"),
        ("scores.json", "{", "scores.json is not JSON"),
        ("scores.json", "[]", "scores.json: is no JSON object"),
        ("scores.json", '{"classes": {}}', "scores.json: classes"),
        ("best.safetensors", "no weights", "best.safetensors"),
    ],
)
def test_a_damaged_file_is_a_fault_of_the_record(tmp_path: Path, name: str, content: str, said: str) -> None:
    root = make_run(tmp_path / "one", lines(start()))
    (root / name).write_text(content, encoding="utf-8")
    record = read_run(root, "one")
    assert len(record.faults) == 1
    assert said in record.faults[0]
    assert (record.scores, record.weights) == (None, None)


def test_scores_unlike_the_log_are_said(tmp_path: Path) -> None:
    record = read_run(make_run(tmp_path / "one", lines(validation(1, 0.5)), scores=scores_of()), "one")
    assert "scores.json holds 67.86 % mIoU, but the best validation of log.jsonl has 50.00 %" in record.faults[0]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    bad = make_run(tmp_path / "bad", recipe="name: [")
    for root, kind, said in (
        (tmp_path / "missing", RunError, "missing: does not exist; give the folder of a run"),
        (tmp_path / "file", RunError, "file: is a file; give the folder of a run"),
        (tmp_path / "empty", RunError, "holds no run ('recipe.yaml' is missing)"),
        (bad, RecipeError, "not plain YAML"),
    ):
        with pytest.raises(ContextNetError) as caught:
            read_runs([root])
        assert type(caught.value) is kind
        assert said in str(caught.value)


def test_runs_are_few_and_different(tmp_path: Path) -> None:
    root = make_run(tmp_path / "one")
    with pytest.raises(RunError, match="the run is named twice"):
        read_runs([root, tmp_path / "." / "one"])
    with pytest.raises(RunError, match="1 to 8 runs, found 9"):
        read_runs([root] * (MAX_RUNS + 1))


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    roots = [make_run(tmp_path / place) for place in ("a/run", "b/run", "b/other")]
    assert [record.name for record in read_runs(roots)] == ["a/run", "b/run", "b/other"]
    assert [record.name for record in read_runs(roots[1:])] == ["run", "other"]


def test_recipes_become_dotted_keys() -> None:
    values = {"a": {"b": {"c": 1}, "d": [1, 2.5]}, "e": None, "f": True, "g": "text", "h": {}}
    assert flatten(values) == {"a.b.c": "1", "a.d": "[1, 2.5]", "e": "null", "f": "true", "g": "text", "h": "{}"}


def test_a_recipe_of_another_version_is_read_as_well(tmp_path: Path) -> None:
    record = read_run(make_run(tmp_path / "one", recipe=RECIPE + "later_option: {x: 1}\n"), "one")
    assert record.recipe["later_option.x"] == "1"


def test_scores_without_a_class_in_the_data(tmp_path: Path) -> None:
    root = make_run(tmp_path / "one", scores=scores_of())
    assert json.loads((root / "scores.json").read_text())["classes"]["sky"]["iou"] is None
    assert read_run(root, "one").best_class_iou["sky"] is None
