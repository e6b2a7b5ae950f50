"""``contextnet benchmark robustness``: its table, JSON and sheet, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contextnet.data.conditions.catalogue import CONDITIONS, find_conditions
from contextnet.data.sources import open_data
from contextnet.data.synthetic import drives_for, write_drives
from contextnet.evaluation.evaluator import evaluate
from contextnet.evaluation.robustness import measure_robustness
from contextnet.images import read_image
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, read_weights, write_weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_drives(root, "val", drives_for("val", 1, (64, 128), 2))
    return root


@pytest.fixture(scope="module")
def lively_weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with a louder classifier: other pixels give other labels."""
    weights = read_weights(tiny_weights)
    tensors = dict(weights.tensors)
    kernel = tensors["classifier.weight"]
    tensors["classifier.weight"] = kernel.new_tensor(np.random.default_rng(1).normal(0, 50, kernel.shape))
    path = tmp_path_factory.mktemp("lively") / "lively.safetensors"
    write_weights(path, Weights(weights.spec, weights.labels, tensors, weights.training, weights.licence))
    return path


def test_json_has_what_the_measurement_gives(shell: Run, lively_weights: Path, streets: Path) -> None:
    words = ("--severity", "strong", "--conditions", "noise,smaller,defocus", "--json", "-")
    code, out, err = shell("benchmark", "robustness", str(lively_weights), f"cityscapes:{streets}", *words)
    assert code == 0, err
    values = json.loads(out)
    network = NetworkPredictor(read_weights(lively_weights).build())
    data = open_data(f"cityscapes:{streets}", "val")
    conditions = find_conditions("strong", ("defocus", "noise", "smaller"))
    expected = json.loads(json.dumps(measure_robustness(network, data, conditions).to_json()))
    assert {name: values[name] for name in expected} == expected
    assert list(values["conditions"]) == ["defocus", "noise", "smaller"]
    assert values["clean"]["miou"] == evaluate(network, data).scores.miou
    facts = (values["weights"], values["computed_by"], values["data"], values["images"], values["severity"])
    assert facts == (str(lively_weights), "pytorch (fp32)", "cityscapes/val", 2, "strong")


def test_the_table_is_sorted_by_loss_and_has_all_conditions(
    shell: Run, lively_weights: Path, streets: Path, tmp_path: Path
) -> None:
    target = tmp_path / "robustness.json"
    code, out, err = shell(
        "benchmark", "robustness", str(lively_weights), f"cityscapes:{streets}", "--json", str(target)
    )
    assert code == 0, err
    measured = json.loads(target.read_text(encoding="utf-8"))["conditions"]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert rows[0][:3] == ["clean", "the images as they are", rows[0][2]]
    assert rows[-1][0] == "mean of conditions"
    assert sorted(row[0] for row in rows[1:-1]) == sorted(CONDITIONS)
    losses = [measured[row[0]]["loss"] for row in rows[1:-1]]
    assert losses == sorted(losses, reverse=True)
    assert [row[3] for row in rows[1:-1]] == [f"{100 * loss:.1f}" for loss in losses]
    assert "medium, pytorch (fp32)" in " ".join(out.split())


def test_a_model_file_is_scored_as_it_is_run(shell: Run, lively_weights: Path, streets: Path, tmp_path: Path) -> None:
    model = tmp_path / "lively.onnx"
    code, _, err = shell("export", str(lively_weights), "--output", str(model))
    assert code == 0, err
    code, out, err = shell(
        "benchmark", "robustness", str(model), f"cityscapes:{streets}", "--conditions", "larger", "--json", "-"
    )
    assert code == 0, err
    assert json.loads(out)["computed_by"].startswith("openvino")


def test_the_sheet_shows_the_image_and_its_labels_under_each_condition(
    shell: Run, lively_weights: Path, streets: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    code, out, err = shell(
        "benchmark",
        "robustness",
        str(lively_weights),
        f"cityscapes:{streets}",
        "--conditions",
        "overexposed,smaller",
        "--sheet",
        str(sheet),
    )
    assert code == 0, err
    assert f"{sheet}: an image of cityscapes/val under each condition, its labels below it" in out
    picture = read_image(sheet)
    # Three tiles of 480 with gaps of 6; the legend is below.
    assert picture.shape[1] == 3 * 486 + 6
    clean, brighter = picture[40:240, 20:470].astype(int), picture[40:240, 506:956].astype(int)
    assert brighter.mean() > clean.mean() + 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--severity", "mild"], "severity 'mild': expected weak, medium or strong"),
        (
            ["--conditions", "rain,defocuss"],
            "conditions: 'defocuss' is none; the nearest is 'defocus'; known: defocus,",
        ),
        (["--conditions", "rain,rain"], "conditions: 'rain' stands twice; name each once"),
        (["--json", "nowhere/file.json"], "nowhere/file.json: its folder does not exist; make it first"),
    ],
)
def test_refuses_before_any_work(shell: Run, tmp_path: Path, words: list[str], message: str) -> None:
    code, out, err = shell("benchmark", "robustness", "no-such-network", f"cityscapes:{tmp_path / 'absent'}", *words)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""


def test_a_network_of_other_classes_is_refused(shell: Run, streets: Path) -> None:
    code, _, err = shell("benchmark", "robustness", "cn14-camvid", f"cityscapes:{streets}")
    assert code == 2
    assert "'cn14-camvid' labels the 11 classes of 'camvid', but 'cityscapes/val' has the 19 of 'cityscapes'" in err


def test_a_sheet_that_cannot_be_written_is_named_before_anything_is_scored(
    shell: Run, lively_weights: Path, streets: Path, tmp_path: Path
) -> None:
    words = ("--conditions", "jpeg", "--sheet", str(tmp_path), "--json", str(tmp_path / "scores.json"))
    code, out, err = shell("benchmark", "robustness", str(lively_weights), f"cityscapes:{streets}", *words)
    assert code == 2
    assert str(tmp_path) in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "scores.json").exists()
