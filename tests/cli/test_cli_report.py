from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contextnet.data.synthetic import drives_for, write_drives

Run = Callable[..., tuple[int, str, str]]

RECIPE = """\
name: streets
network: {variant: cn14-160, width: 0.25}
data: {source: "cityscapes:%s", val_split: val}
epochs: 3
"""


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    write_drives(tmp_path / "streets", "val", drives_for("val", 1, (64, 128), 3))
    return tmp_path / "streets"


@pytest.fixture
def run_folder(tmp_path: Path, tiny_weights: Path, streets: Path) -> Path:
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE % streets, encoding="utf-8")
    events = [
        {"event": "start", "step": 0, "skipped_samples": []},
        {"event": "epoch", "epoch": 1, "loss": 2.5, "seconds": 90.0, "skipped_steps": 0},
        {"event": "validation", "epoch": 1, "miou": 0.125, "pixel_accuracy": 0.5, "iou": {"road": 0.5}},
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    shutil.copy(tiny_weights, folder / "best.safetensors")
    return folder


def test_report_writes_one_page_with_pictures(shell: Run, run_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    code, out, err = shell("report", str(run_folder), "--output", str(output), "--images", "1")
    assert (code, out) == (0, ""), err
    assert f"{output}: 1 run, " in err
    page = output.read_text(encoding="utf-8")
    # The worst and the best image, each as image, truth, prediction and mistakes.
    assert page.count('src="data:image/jpeg;base64,') == 8
    assert "3 images of cityscapes/val were scored" in page
    assert "1 of 3 epochs so far, 1.5 min" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_report_without_pictures_or_without_data(shell: Run, run_folder: Path, streets: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert shell("report", str(run_folder), "--output", str(output), "--images", "0")[0] == 0
    assert "No pictures of any run: --images is 0." in output.read_text(encoding="utf-8")
    shutil.rmtree(streets)
    code, _, err = shell("report", str(run_folder), "--output", str(output))
    assert code == 0, err
    assert "No pictures of one: " in output.read_text(encoding="utf-8")
    code, _, err = shell("report", str(run_folder), "--output", str(output), "--data", f"cityscapes:{streets}")
    assert code == 2
    assert str(streets) in err


def test_report_refuses_before_any_work(shell: Run, run_folder: Path, tmp_path: Path) -> None:
    table = [
        ((str(tmp_path),), "holds no run ('recipe.yaml' is missing)"),
        ((str(tmp_path / "none"),), "does not exist; give the folder of a run"),
        ((str(run_folder), str(run_folder)), "the run is named twice"),
        ((str(run_folder), "--output", str(tmp_path)), "is a folder; name the HTML file"),
        ((str(run_folder), "--output", str(tmp_path / "no" / "page.html")), "its folder does not exist; make it first"),
        ((str(run_folder), "--device", "tpu"), "device 'tpu'"),
    ]
    for words, said in table:
        target = () if "--output" in words else ("--output", str(tmp_path / "page.html"))
        code, out, err = shell("report", *words, *target)
        assert (code, out) == (2, ""), words
        assert said in err
    assert not (tmp_path / "page.html").exists()
