from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contextnet.data.synthetic import drives_for, write_drives
from contextnet.images import read_mask
from contextnet.labels import CITYSCAPES

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    write_drives(tmp_path / "streets", "val", drives_for("val", 1, (64, 128), 2))
    return tmp_path / "streets"


def test_evaluate_prints_json_and_writes_a_file(shell: Run, tiny_weights: Path, streets: Path, tmp_path: Path) -> None:
    code, out, err = shell("evaluate", str(tiny_weights), f"cityscapes:{streets}", "--json", "-")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["images"] == 2
    assert set(facts["classes"]) == set(CITYSCAPES.names)
    assert 0 <= facts["miou"] <= 1
    shell("evaluate", str(tiny_weights), f"cityscapes:{streets}", "--json", str(tmp_path / "scores.json"))
    assert json.loads((tmp_path / "scores.json").read_text())["confusion"] == facts["confusion"]


def test_evaluate_refuses_data_with_other_classes(shell: Run, tiny_weights: Path, camvid_root: Path) -> None:
    code, _, err = shell("evaluate", str(tiny_weights), f"camvid:{camvid_root}")
    assert code == 2
    assert "the 19 classes of 'cityscapes'" in err
    assert "the 11 of 'camvid'" in err


def test_submit_writes_the_servers_names(shell: Run, tiny_weights: Path, streets: Path, tmp_path: Path) -> None:
    output = tmp_path / "submission"
    words = ["--split", "val", "--output", str(output)]
    code, _, err = shell("submit", str(tiny_weights), f"cityscapes:{streets}", *words)
    assert code == 0, err
    files = sorted(output.glob("*.png"))
    assert len(files) == 2
    assert CITYSCAPES.unknown_ids(read_mask(files[0]).values) == {}


def test_demo_scores_streets_and_leaves_pictures(shell: Run, tiny_weights: Path, tmp_path: Path) -> None:
    words = ["--weights", str(tiny_weights), "--drives", "1", "--frames", "2", "--size", "64x128"]
    code, out, err = shell("demo", "--output", str(tmp_path / "demo"), *words, "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert facts["frames"] == 2
    assert Path(facts["sheet"]).is_file()
    assert len(list((tmp_path / "demo" / "overlay").rglob("*.png"))) == 2


def test_models_lists_every_shipped_network(shell: Run) -> None:
    from contextnet.weights.catalogue import model_names, weights_names

    code, out, _ = shell("models", "--json")
    listed = json.loads(out)
    assert code == 0
    assert [entry["name"] for entry in listed] == weights_names() + model_names()
    for entry in listed:
        assert entry["file_bytes"] > 0
        assert entry["kind"] != "weights" or entry["parameters"] > 0
