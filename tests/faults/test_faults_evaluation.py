"""Damaged files, empty splits and splits without a labelled pixel stop an evaluation by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.data import PairedFiles, open_data
from contextnet.errors import DataError, ImageError
from contextnet.evaluation import evaluate, write_submission
from contextnet.images import write_png
from contextnet.labels import CITYSCAPES
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import variant


class Constant:
    """A predictor that sees one class everywhere and counts its calls."""

    def __init__(self, train_id: int) -> None:
        self._train_id = train_id
        self.calls = 0

    def labels(self, image_HW3: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full(image_HW3.shape[:2], self._train_id, np.uint8)


def write_town(root: Path, count: int, file_id: int) -> Path:
    """Write a val split in the layout of Cityscapes: noise, one label id everywhere, instance masks."""
    generator = np.random.default_rng(13)
    images, truths = root / "leftImg8bit/val/town", root / "gtFine/val/town"
    for folder in (images, truths):
        folder.mkdir(parents=True)
    for number in range(count):
        stem = f"town_000000_{number:06d}"
        write_png(images / f"{stem}_leftImg8bit.png", generator.integers(0, 256, (32, 64, 3)).astype(np.uint8))
        write_png(truths / f"{stem}_gtFine_labelIds.png", np.full((32, 64), file_id, np.uint8))
        write_png(truths / f"{stem}_gtFine_instanceIds.png", np.full((32, 64), file_id, np.uint16))
    return root


def open_town(root: Path) -> PairedFiles:
    data = open_data(f"cityscapes:{root}", "val")
    assert isinstance(data, PairedFiles)
    return data


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    spec = variant("cn14-160", 19, width=0.25)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, Weights(spec, CITYSCAPES, ContextNet(spec).state_dict(), {}, "for tests"))
    return path


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    """Run the command line in this process and give its exit code."""
    from contextnet.cli import main

    monkeypatch.setattr("sys.argv", ["contextnet", *words])
    monkeypatch.setenv("COLUMNS", "1000")
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def text(content: bytes) -> bytes:
    return b"not an image\n"


DAMAGES = [
    (truncated, "is damaged: "),
    (empty, "is empty (0 bytes)"),
    (text, "is not a readable image"),
]
KINDS = ["leftImg8bit", "gtFine_labelIds", "gtFine_instanceIds"]


def damage_second(root: Path, kind: str, damage: Callable[[bytes], bytes]) -> Path:
    (victim,) = root.rglob(f"town_000000_000001_{kind}.png")
    victim.write_bytes(damage(victim.read_bytes()))
    return victim


@pytest.mark.parametrize(("damage", "found"), DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_stops_the_evaluation_by_name(
    damage: Callable[[bytes], bytes], found: str, kind: str, tmp_path: Path
) -> None:
    data = open_town(write_town(tmp_path, 3, file_id=7))
    victim = damage_second(tmp_path, kind, damage)
    predictor = Constant(0)
    with pytest.raises(ImageError) as caught:
        evaluate(predictor, data)
    assert str(caught.value).startswith(f"{victim}: {found}")
    assert predictor.calls == 1


@pytest.mark.parametrize(("damage", "found"), DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_names_a_damaged_file_and_writes_no_scores(
    damage: Callable[[bytes], bytes],
    found: str,
    kind: str,
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, scores = write_town(tmp_path / "town", 3, file_id=7), tmp_path / "scores.json"
    words = ["evaluate", str(weights), f"cityscapes:{root}", "--json", str(scores)]
    assert run_command(monkeypatch, *words) == 0
    scores.unlink()
    capsys.readouterr()
    victim = damage_second(root, kind, damage)
    assert run_command(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert f"{victim}: {found}" in err
    assert "Traceback" not in err
    assert out == ""
    assert not scores.exists()


def test_a_damaged_file_stops_a_submission_and_leaves_nothing(tmp_path: Path) -> None:
    root, output = write_town(tmp_path / "town", 3, file_id=7), tmp_path / "results"
    victim = damage_second(root, "leftImg8bit", truncated)
    with pytest.raises(ImageError) as caught:
        write_submission(Constant(0), open_town(root), output)
    assert str(caught.value).startswith(f"{victim}: is damaged: ")
    assert not output.exists()


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    data = replace(open_town(write_town(tmp_path, 1, file_id=7)), pairs=())
    with pytest.raises(DataError, match="cityscapes/val: the split is empty"):
        evaluate(Constant(0), data)
    with pytest.raises(DataError, match="cityscapes/val: the split is empty"):
        write_submission(Constant(0), data, tmp_path / "results")


def test_a_split_without_a_labelled_pixel_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cityscapes/val: no labelled pixel"):
        evaluate(Constant(0), open_town(write_town(tmp_path, 2, file_id=4)))


@pytest.mark.parametrize(
    ("train_id", "miou"),
    [pytest.param(0, 1.0, id="right"), pytest.param(1, 0.0, id="wrong"), pytest.param(255, 0.0, id="void")],
)
def test_one_labelled_class_is_enough_for_a_mean(train_id: int, miou: float, tmp_path: Path) -> None:
    evaluation = evaluate(Constant(train_id), open_town(write_town(tmp_path, 2, file_id=7)))
    assert evaluation.scores.miou == miou
    assert [image.miou for image in evaluation.per_image] == [miou, miou]
    assert not math.isnan(evaluation.scores.category_miou)
