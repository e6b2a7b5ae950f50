from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.conftest import Shell
from contextnet.compression.pruning.groups import channel_groups
from contextnet.models.storage import read_weights
from contextnet.spec import variant
from contextnet.weights.catalogue import find_weights
from training_data import tiny_recipe, write_pairs

SMALL = ("--size", "64x128", "--precision", "fp32")


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about how well is measured."""
    monkeypatch.setattr("contextnet.benchmark.side_by_side.TURN_S", 0.02)
    for watch in ("await_quiet", "others_share"):
        monkeypatch.setattr(f"contextnet.benchmark.noise.{watch}", lambda: None)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of a quarter of cn14 on a folder of pairs, an epoch at a time."""
    write_pairs(tmp_path / "data")
    network = {"variant": "cn14", "width": 1.0, "dropout": 0.1}
    data = {"source": f"folder:{tmp_path / 'data'}"}
    values = tiny_recipe(network=network, data=data).model_dump(mode="json")
    values["network"].pop("architecture")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_a_network_is_pruned_to_its_parameters_exported_and_run(shell: Shell, tmp_path: Path, pictures: Path) -> None:
    words = ["cn14-camvid", "--target", "params=490459", "--steps-only", "--output", str(tmp_path / "out")]
    code, out, err = shell("prune", *words, *SMALL, "--json", "-")
    assert code == 0, err
    facts = json.loads(out)
    assert 0.99 * 490_459 <= facts["parameters"] <= 490_459
    before, after = facts["rows"]
    assert before["role"] == "before"
    assert after["macs"] < 0.7 * before["macs"]
    assert after["file_mb"] < 0.7 * before["file_mb"]
    assert after["memory_mb"] > 50, "all of a process"
    assert before["epochs"] == after["epochs"] == 120, "those of the shipped weights"
    assert after["latency_ms"] > 0
    assert after["miou"] is None
    weights = read_weights(Path(facts["path"]))
    assert weights.spec.name == "cn14-camvid-pruned"
    assert weights.training["pruned_to"] == "params=490459"
    assert "miou" not in weights.training
    kept = read_weights(tmp_path / "out" / "cn14-camvid-pruned.safetensors")
    assert kept.spec == weights.spec
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert f"| {facts['parameters']:,} |" in report
    assert "mIoU" not in report
    model = tmp_path / "small.onnx"
    code, _, err = shell("export", facts["path"], "--output", str(model), "--images", str(pictures))
    assert code == 0, err
    code, _, err = shell("predict", str(model), str(pictures), "--output", str(tmp_path / "labels"))
    assert code == 0, err


def test_a_folder_of_another_chain_is_not_taken_for_ones_own(shell: Shell, tmp_path: Path) -> None:
    words = ["--target", "params=300000", "--steps-only", "--output", str(tmp_path), *SMALL]
    assert shell("prune", "cn14-camvid", *words)[0] == 0
    assert shell("prune", "cn14-camvid", *words)[0] == 0, "the same chain goes on"
    assert shell("prune", "cn14-camvid", *words, "--size", "128x256")[0] == 0, "only the report is of another size"
    for changed in (["--scope", "global"], ["--multiple", "8"]):
        code, _, err = shell("prune", "cn14-camvid", *words, *changed)
        assert code == 2
        assert "was pruned from another network, or otherwise; give another folder" in " ".join(err.split())
    for other in (["cn14-synthetic", *words], ["cn14-camvid", *words, "--target", "params=400000"]):
        code, _, err = shell("prune", *other)
        assert code == 2
        assert "holds a chain from another network, or to another target; give another folder" in " ".join(err.split())


def test_a_target_that_cannot_be_reached_leaves_the_folder_free(shell: Shell, tmp_path: Path) -> None:
    words = ["prune", "cn14-camvid", "--steps-only", "--output", str(tmp_path), *SMALL]
    assert shell(*words, "--target", "params=1")[0] == 2
    assert not any(path.is_dir() for path in tmp_path.iterdir())
    assert shell(*words, "--target", "params=300000")[0] == 0


def test_multiply_adds_belong_to_a_size(shell: Shell, tmp_path: Path) -> None:
    words = ["prune", "cn14-camvid", "--target", "macs=1.5e7", "--steps-only", "--output", str(tmp_path)]
    assert shell(*words, "--precision", "fp32", "--size", "64x128")[0] == 0
    code, _, err = shell(*words, "--precision", "fp32", "--size", "128x256")
    assert code == 2
    assert "holds a chain" in err


def test_a_target_is_reached_in_steps(shell: Shell, tmp_path: Path) -> None:
    words = ["cn14-camvid", "--target", "params=300000", "--steps", "2", "--steps-only", "--output", str(tmp_path)]
    code, out, err = shell("prune", *words, *SMALL, "--scope", "global", "--json", "-")
    assert code == 0, err
    counts = [row["parameters"] for row in json.loads(out)["rows"]]
    assert counts[1] / counts[0] == pytest.approx(counts[2] / counts[1], rel=0.02)
    assert counts[2] <= 300_000


@pytest.mark.timeout(180)
def test_a_chain_begins_wide_trains_in_between_and_is_gone_on_with(shell: Shell, tmp_path: Path, recipe: Path) -> None:
    output = tmp_path / "out"
    words = [str(recipe), "--schedule", "0.375,0.25", "--wide", "0.5", "--wide-epochs", "2", "--epochs", "1"]
    words += ["--last-epochs", "2"]
    command = ["prune", *words, "--direct", "--data", f"folder:{tmp_path / 'data'}", "--output", str(output), *SMALL]
    code, out, err = shell(*command, "--json", "-")
    assert code == 0, err
    rows: list[dict[str, Any]] = json.loads(out)["rows"]
    roles = ["before", "pruned to width=0.375", "pruned to width=0.25", "trained directly"]
    assert [row["role"] for row in rows] == roles
    assert all(0 <= row["miou"] <= 1 for row in rows)
    assert rows[0]["parameters"] > rows[1]["parameters"] > rows[2]["parameters"] == rows[3]["parameters"]
    assert json.loads(out)["path"] == str(output / "tiny-pruned.safetensors"), "the pruned network is the result"
    pruned = read_weights(Path(rows[2]["path"]))
    own = [group.width for group in channel_groups(variant("cn14", 3, width=0.25))]
    assert all(abs(group.width - width) <= 1 for group, width in zip(channel_groups(pruned.spec), own, strict=True))
    start = read_weights(output / "2-width-0.25" / "pruned.safetensors")
    name = "context.head.conv.weight"
    assert not start.tensors[name].equal(pruned.tensors[name]), "it was trained on"
    resolved = yaml.safe_load((output / "2-width-0.25" / "run" / "recipe.yaml").read_text())
    assert resolved["epochs"] == 2, "those after the last step"
    assert yaml.safe_load((output / "1-width-0.375" / "run" / "recipe.yaml").read_text())["epochs"] == 1
    assert yaml.safe_load((output / "direct" / "recipe.yaml").read_text())["epochs"] == 2 + 1 + 2
    assert [row["epochs"] for row in rows] == [2, 3, 5, 5]
    written = {path: path.stat().st_mtime_ns for path in output.rglob("best.safetensors")}
    assert len(written) == 4
    code, again, err = shell(*command, "--json", "-")
    assert code == 0, err
    assert [row["miou"] for row in json.loads(again)["rows"]] == [row["miou"] for row in rows]
    assert {path: path.stat().st_mtime_ns for path in output.rglob("best.safetensors")} == written


@pytest.mark.timeout(300)
def test_int8_forms_stand_beside_their_networks(
    shell: Shell, tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contextnet.compression.post_training.MAX_MIOU_DROP", 1.0)  # networks of two epochs are brittle
    output = tmp_path / "out"
    words = [str(recipe), "--schedule", "0.25", "--wide", "0.375", "--wide-epochs", "2", "--epochs", "1", "--int8"]
    data = ["--data", f"folder:{tmp_path / 'data'}"]
    command = ["prune", *words, "--int8-epochs", "1", *data, "--output", str(output), *SMALL]
    code, out, err = shell(*command, "--json", "-")
    assert code == 0, err
    rows: list[dict[str, Any]] = json.loads(out)["rows"]
    assert [(row["role"], row["epochs"]) for row in rows] == [
        ("before", 2),
        ("pruned to width=0.25", 3),
        ("before, INT8", 2),
        ("pruned to width=0.25, INT8", 3),
        ("pruned to width=0.25, trained for INT8", 4),
    ]
    assert [row["precision"].startswith("int8") for row in rows] == [False, False, True, True, True]
    for row in rows[2:]:
        float_row = next(other for other in rows if other["role"] == row["role"].partition(",")[0])
        assert row["parameters"] == float_row["parameters"]
        assert row["file_mb"] < float_row["file_mb"]
    (run,) = (output / "int8").glob("width-0.25-*/recipe.yaml")
    resolved = yaml.safe_load(run.read_text())
    assert resolved["quantization_aware"]
    assert resolved["optimizer"]["learning_rate"] == pytest.approx(
        0.1 * yaml.safe_load(recipe.read_text())["optimizer"]["learning_rate"]
    )
    best = max(rows[3:], key=lambda row: row["miou"])
    names = sorted(path.name for path in output.iterdir() if path.is_file())
    kept = ["tiny-pruned-int8.onnx", "tiny-pruned.safetensors"]
    assert names == ["report.json", "report.md", "report.svg", "targets.json", *kept]
    assert (output / "tiny-pruned-int8.onnx").read_bytes() == Path(best["path"]).read_bytes()
    code, out, _ = shell("evaluate", best["path"], f"folder:{tmp_path / 'data'}", "--json", "-")
    assert json.loads(out)["miou"] == best["miou"], "as it is scored alone"
    written = {path: path.stat().st_mtime_ns for path in (output / "int8").rglob("*.onnx")}
    assert len(written) == 3
    assert shell(*command)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written, "not made again"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give --target UNIT=NUMBER or --schedule WIDTH,WIDTH, one of them"),
        (["--target", "params=1", "--schedule", "1"], "one of them"),
        (["--target", "bytes=1"], "target 'bytes=1': give width=NUMBER"),
        (["--target", "params=900000"], "the network has 855819 already; give less"),
        (["--target", "params=100"], "cannot be reached: the smallest network costs"),
        (["--schedule", "1,1.5"], "each width has to be less than the one before"),
        (["--target", "params=300000", "--direct"], "--direct, --recipe, --set and --device are for training"),
        (["--target", "params=300000", "--int8"], "--int8 needs --data KIND:ROOT"),
        (["--schedule", "1.5,1"], "cn14-camvid: is a recipe, of which --steps-only leaves nothing to prune, and the "),
        (["--schedule", "1"], "shipped network has width 1: begin with less; or give weights"),
        (["--schedule", "abc"], "schedule 'abc': expected widths above 0 in parts of the paper's, as in 1.5,1.25,1"),
        (["--target", "params=300000", "--recipe", "cn14-camvid"], "are for training, and --steps-only trains not"),
        (["--target", "params=300000", "--precision", "int8"], "precision 'int8'"),
        (["--target", "width=0.05"], "width=0.05: a tenth of each layer stays; give at least 0.1"),
    ],
)
def test_what_cannot_be_pruned_is_told_in_a_sentence(
    shell: Shell, tmp_path: Path, words: list[str], complaint: str
) -> None:
    command = ["prune", "cn14-camvid", "--steps-only", "--output", str(tmp_path / "out"), *SMALL, *words]
    code, _, err = shell(*command)
    assert code == 2
    assert complaint in " ".join(err.split())


def test_what_does_not_fit_together_is_told_before_anything_is_done(shell: Shell, tmp_path: Path, recipe: Path) -> None:
    output, data = tmp_path / "out", f"folder:{tmp_path / 'data'}"
    weights = tmp_path / "mine.safetensors"
    shutil.copy(find_weights("cn14-camvid"), weights)
    (tmp_path / "nameless.yaml").write_text("epochs: 1\n", encoding="utf-8")
    to_params = ["--target", "params=300000"]
    for words, complaint in (
        ([str(weights), *to_params], "Give --recipe, or --steps-only"),
        ([str(recipe), *to_params], "is a recipe, and --target prunes weights"),
        (["cn14-camvid-int8", *to_params], "is a model file; give the weights"),
        (["cn14-camvid", *to_params, "--recipe", str(recipe)], "has other classes than the data"),
        (["cn14-camvid", *to_params, "--steps-only", "--data", data], "labels the 11 classes of 'camvid'"),
        (["cn14-camvid", *to_params, "--data", "camvid:nowhere"], "nowhere"),
        ([str(recipe), "--schedule", "0.5,0.25", "--wide", "0.375"], "the network has width 0.375; begin with less"),
        ([str(weights), "--schedule", "1.5,1", "--recipe", str(recipe)], "the network has width 1; begin with less"),
        ([str(weights), "--schedule", "1", "--recipe", str(recipe)], "the network has width 1; begin with less"),
        ([str(tmp_path / "nameless.yaml"), "--schedule", "1"], "'name' is missing"),
        (["nowhere", "--schedule", "1", "--steps-only"], "'nowhere' is neither a file nor a shipped recipe"),
        (["cn14-160-camvid-pruned", "--schedule", "1", "--steps-only"], "begin with less"),
    ):
        code, _, err = shell("prune", *words, "--output", str(output), *SMALL)
        assert code == 2, err
        assert complaint in " ".join(err.split())
        assert not output.exists()
    output.write_text("")
    code, _, err = shell("prune", "cn14-camvid", *to_params, "--steps-only", "--output", str(output), *SMALL)
    assert "is a file; give a folder" in err
    assert code == 2


def test_a_shipped_name_is_its_weights_where_they_are_wider_than_the_schedule(shell: Shell, tmp_path: Path) -> None:
    words = ["--schedule", "0.75,0.5", "--steps-only", "--output", str(tmp_path), *SMALL]
    code, out, err = shell("prune", "cn14-camvid", *words, "--json", "-")
    assert code == 0, err
    rows = json.loads(out)["rows"]
    assert [row["parameters"] for row in rows] == sorted((row["parameters"] for row in rows), reverse=True)
    assert (rows[0]["network"], len(rows)) == ("cn14", 3)


def test_a_chain_stays_what_it_was_begun_as(shell: Shell, tmp_path: Path, recipe: Path) -> None:
    run = tmp_path / "run"
    assert shell("train", str(recipe), "--output", str(run), "--set", "network.width=0.25", "--set", "epochs=1")[0] == 0
    output = tmp_path / "out"
    command = ["prune", str(run / "best.safetensors"), "--schedule", "0.15", "--epochs", "1", *SMALL]
    command += ["--output", str(output), "--json", str(tmp_path / "report.json")]
    code, _, err = shell(*command)
    assert code == 0, f"{err}: the recipe lies beside the weights"
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["epochs"] for row in rows] == [1, 2]
    assert all(row["miou"] is not None for row in rows), "scored on the recipe's own data"
    for changed in (["--set", "optimizer.learning_rate=0.5"], ["--epochs", "2"]):
        before = (output / "1-width-0.15" / "run" / "recipe.yaml").read_bytes()
        code, _, err = shell(*command, *changed)
        assert code == 2
        assert "was begun with" in err
        assert (output / "1-width-0.15" / "run" / "recipe.yaml").read_bytes() == before
    for state in (output / "1-width-0.15" / "run" / "states").iterdir():
        state.unlink()
    code, _, err = shell(*command)
    assert code == 0, f"{err}: a run that was killed before its first state begins anew"
    again = [*command, "--steps-only", "--output", str(tmp_path / "again")]
    again[1] = str(output / "run-pruned.safetensors")
    again[3] = "0.05"
    assert shell(*again)[0] == 0
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["epochs"] == 2, "those of both runs"


def test_files_of_an_earlier_report_do_not_stay(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "report.svg").write_text("")
    (tmp_path / "cn14-camvid-pruned-int8.onnx").write_text("")
    words = ["--target", "params=300000", "--steps-only", "--output", str(tmp_path), *SMALL]
    assert shell("prune", "cn14-camvid", *words)[0] == 0
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["cn14-camvid-pruned.safetensors", "report.json", "report.md", "targets.json"]
