"""Training that meets bad data, a bad loss or a folder in use: one clear sentence and exit code 2."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from contextnet.cli import main
from contextnet.data.decoding import decode_split
from contextnet.images import write_png
from contextnet.models.storage import read_weights

LABELS = {"name": "two", "classes": [{"name": "left", "ids": [1]}, {"name": "right", "ids": [2]}], "void": [0]}
RECIPE: dict[str, Any] = {
    "name": "small",
    "network": {"variant": "cn14-160", "width": 0.25},
    "data": {"source": "folder:nowhere"},
    "augmentation": {"crop_hw": [32, 64]},
    "optimizer": {"kind": "adamw", "learning_rate": 0.01},
    "batch_size": 2,
    "epochs": 1,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four training pairs a, b, c, d and a validation pair, with a recipe beside them."""
    folder = tmp_path / "pairs"
    for split, stems in (("train", "abcd"), ("val", "v")):
        for seed, stem in enumerate(stems):
            _put_pair(folder / split, stem, seed)
    (folder / "labels.yaml").write_text(yaml.safe_dump(LABELS), encoding="utf-8")
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return folder


def _put_pair(split: Path, stem: str, seed: int) -> None:
    for name in ("images", "masks"):
        (split / name).mkdir(parents=True, exist_ok=True)
    mask = np.ones((32, 64), np.uint8)
    mask[:, 32:] = 2
    image = np.random.default_rng(seed).integers(0, 100, (32, 64, 3), dtype=np.uint8)
    image[:, 32:] += 150
    write_png(split / "images" / f"{stem}.png", image)
    write_png(split / "masks" / f"{stem}.png", mask)


def _train(monkeypatch: pytest.MonkeyPatch, root: Path, *options: str) -> int:
    """Run ``contextnet train`` in this process and give its exit code; the run stands in ``root.parent / "run"``."""
    base = ["contextnet", "train", str(root.parent / "small.yaml"), "--data", f"folder:{root}"]
    monkeypatch.setattr(sys, "argv", [*base, "--output", str(root.parent / "run"), *options])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def _events(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root.parent / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    """Give the message printed last, after making sure that there is no traceback."""
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return printed[printed.index("error: ") :].strip()


# A batch with only void pixels.


@pytest.mark.parametrize("stems", ["a", "abc"])
@pytest.mark.parametrize("weighting", ["none", "bounded-log"])
def test_void_masks_leave_the_loss_and_the_weights_finite(
    root: Path, monkeypatch: pytest.MonkeyPatch, stems: str, weighting: str
) -> None:
    for stem in stems:
        write_png(root / "train" / "masks" / f"{stem}.png", np.zeros((32, 64), np.uint8))
    code = _train(monkeypatch, root, "--set", f"loss.class_weighting={weighting}", "--set", "batch_size=1")
    assert code == 0
    (epoch,) = (event for event in _events(root) if event["event"] == "epoch")
    assert epoch["skipped_steps"] == 0
    assert epoch["loss"] > 0
    tensors = read_weights(root.parent / "run" / "last.safetensors").tensors
    assert all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values())


def test_split_of_void_pixels_only_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in "abcd":
        write_png(root / "train" / "masks" / f"{stem}.png", np.zeros((32, 64), np.uint8))
    assert _train(monkeypatch, root) == 2
    assert "'two/train' holds void pixels only" in _error(capsys)


# Truncated image, empty file, text file named .png.


def _damage(path: Path, kind: str) -> None:
    contents = {"truncated": path.read_bytes()[:-30], "empty": b"", "text": b"no image, a text\n"}
    path.write_bytes(contents[kind])


@pytest.mark.parametrize("kind", ["truncated", "empty", "text"])
@pytest.mark.parametrize("part", ["images", "masks"])
def test_damaged_file_is_refused_by_name_without_a_budget(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, part: str
) -> None:
    path = root / "train" / part / "c.png"
    _damage(path, kind)
    assert _train(monkeypatch, root) == 2
    error = _error(capsys)
    assert error.startswith(f"error: {path}: is ")
    assert error.endswith("(1 unreadable so far, 'data.unreadable_budget' allows 0)")
    assert not list((root.parent / "run").glob("*.safetensors"))


def test_damaged_files_within_the_budget_are_skipped_and_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [root / "train" / "images" / "a.png", root / "train" / "masks" / "d.png"]
    for path, kind in zip(paths, ("truncated", "empty"), strict=True):
        _damage(path, kind)
    assert _train(monkeypatch, root, "--set", "data.unreadable_budget=2") == 0
    printed = capsys.readouterr().err
    reported = _events(root)[0]["skipped_samples"]
    assert len(reported) == 2
    for path, message in zip(paths, reported, strict=True):
        assert message.startswith(f"{path}: is ")
        assert f"skipped: {path}: is " in printed
    assert _events(root)[0]["total_steps"] == 1


def test_more_damaged_files_than_the_budget_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in "abd":
        _damage(root / "train" / "images" / f"{stem}.png", "text")
    assert _train(monkeypatch, root, "--set", "data.unreadable_budget=2") == 2
    assert _error(capsys).startswith(f"error: {root / 'train' / 'images' / 'd.png'}: is not a readable image")


# No worker process that could be killed, and no read that hangs for ever.


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file whose reading hangs")
def test_read_that_hangs_is_an_error_within_the_time_limit(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody writes into the pipe, so opening it for reading does not return.
    pipe = root / "train" / "masks" / "b.png"
    pipe.unlink()
    os.mkfifo(pipe)
    defaults = decode_split.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "read_timeout_s", 0.3)
    try:
        assert _train(monkeypatch, root) == 2
        assert _error(capsys) == "error: sample 1 of 'two/train' was not read within 0.3 s; check the disk"
        assert multiprocessing.active_children() == []
    finally:
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


# A loss that is not finite.


def test_loss_that_stays_nan_ends_with_a_clear_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--set", "optimizer={kind: sgd, learning_rate: 1e30}", "--set", "max_nonfinite_steps=3")
    assert _train(monkeypatch, root, *options, "--set", "epochs=9") == 2
    assert "NaN or infinite in 3 steps in a row" in _error(capsys)
    tensors = read_weights(root.parent / "run" / "last.safetensors").tensors
    assert all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values())


# A batch of one image with batch norm.


def test_single_image_is_trained_on_or_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in "bcd":
        for part in ("images", "masks"):
            (root / "train" / part / f"{stem}.png").unlink()
    assert _train(monkeypatch, root) == 0
    assert _train(monkeypatch, root, "--overwrite", "--set", "augmentation.crop_hw=[32, 32]") == 2
    assert "a batch of one image with a crop of (32, 32) leaves batch norm a single value" in _error(capsys)


# The output folder already holds a run.


def test_folder_with_a_run_is_refused_unless_resumed_or_overwritten(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = root.parent / "run"
    assert _train(monkeypatch, root) == 0
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert _train(monkeypatch, root) == 2
    expected = (
        f"error: {run}: already holds a run ('last.safetensors'); go on with --resume or start anew with --overwrite"
    )
    assert _error(capsys) == expected
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    assert _train(monkeypatch, root, "--resume", "--set", "epochs=2") == 0
    assert [event["step"] for event in _events(root) if event["event"] == "epoch"] == [2, 4]

    assert _train(monkeypatch, root, "--overwrite") == 0
    assert [event["step"] for event in _events(root) if event["event"] == "epoch"] == [2]
    assert (run / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_nothing_to_resume_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(monkeypatch, root, "--resume") == 2
    assert _error(capsys).startswith(f"error: {root.parent / 'run'}: holds no run to resume (no 'states/step-")
    assert not (root.parent / "run").exists()


def test_resuming_with_another_optimizer_is_refused_and_the_run_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(monkeypatch, root) == 0
    states = root.parent / "run" / "states"
    before = {path: path.read_bytes() for path in states.iterdir()}
    assert _train(monkeypatch, root, "--resume", "--set", "optimizer={kind: sgd}", "--set", "epochs=2") == 2
    assert "was written with AdamW, not SGD; resume with the run's own recipe" in _error(capsys)
    assert {path: path.read_bytes() for path in states.iterdir()} == before
    assert _train(monkeypatch, root, "--resume") == 0, "the run's own recipe is gone"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--set", "batch_size=1"], "was made with 'batch_size' 2, now it is 1; resume as the run was started"),
        (["--set", "seed=5"], "was made with 'seed' 0, now it is 5; resume as the run was started"),
        (["--init-from", "cn14-camvid"], "--resume goes on with the weights of the run"),
        (["--set", "init_from=cn14-camvid"], "--resume goes on with the weights of the run"),
        (["--set", "epochs=1"], "already has 2 epochs, more than the 1 asked for; give 'epochs' of 2 or more"),
        (["--set", "schedule.warmup_steps=99"], "'schedule.warmup_steps' is 99, but"),
        (["--device", "gpu"], "device 'gpu': expected cpu, cuda or cuda:N"),
    ],
)
def test_resuming_with_what_makes_another_run_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], error: str
) -> None:
    assert _train(monkeypatch, root, "--set", "epochs=2") == 0
    assert _train(monkeypatch, root, "--resume", *options) == 2
    assert error in _error(capsys)
    assert _train(monkeypatch, root, "--resume") == 0


def test_damaged_validation_image_is_named_before_the_first_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sorted((root / "val" / "images").iterdir())[-1]
    image.write_bytes(image.read_bytes()[:50])
    assert _train(monkeypatch, root) == 2
    assert image.name in _error(capsys)
    assert not (root.parent / "run").exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_black_and_white_masks_are_refused_before_the_first_step(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    (root / "labels.yaml").write_text("name: two\nclasses: [{name: bg, ids: [0]}, {name: person, ids: [1]}]\n")
    for one in ("train", "val"):
        for mask in (root / one / "masks").iterdir():
            ids = np.zeros((32, 64), np.uint8)
            ids[:, ::2] = 255 if one == split else 1
            write_png(mask, ids)
    assert _train(monkeypatch, root) == 2
    assert "255" in _error(capsys)
    assert not (root.parent / "run").exists()


def test_overwriting_keeps_the_old_run_when_the_new_one_cannot_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _train(monkeypatch, root) == 0
    best = (root.parent / "run" / "best.safetensors").read_bytes()
    assert _train(monkeypatch, root, "--overwrite", "--set", "schedule.warmup_steps=99") == 2
    assert (root.parent / "run" / "best.safetensors").read_bytes() == best
