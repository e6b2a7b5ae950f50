"""Damaged files, empty splits and splits without a labelled pixel stop an evaluation by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.data.sample import Sample
from contextnet.errors import DataError, ImageError
from contextnet.evaluation import evaluate, write_submission
from contextnet.labels import CITYSCAPES


class PngFolder:
    """A folder of Cityscapes-like pairs, read with Pillow."""

    name = "folder/val"
    labels = CITYSCAPES
    licence = ""

    def __init__(self, folder: Path) -> None:
        self._images = sorted(folder.glob("*_leftImg8bit.png"))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        image_path = self._images[index]
        label_path = image_path.with_name(image_path.name.replace("leftImg8bit", "gtFine_labelIds"))
        file_ids = self._read(label_path)
        return Sample(self._read(image_path), self.labels.encode(file_ids), image_path, label_path)

    @staticmethod
    def _read(path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                return np.array(image)
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error}; copy the file again") from None


class Constant:
    """A predictor that sees one class everywhere and counts its calls."""

    def __init__(self, train_id: int) -> None:
        self._train_id = train_id
        self.calls = 0

    def labels(self, image_HW3: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full(image_HW3.shape[:2], self._train_id, np.uint8)


def write_pairs(folder: Path, count: int, file_id: int) -> None:
    generator = np.random.default_rng(13)
    for number in range(count):
        stem = folder / f"town_000000_{number:06d}"
        Image.fromarray(generator.integers(0, 256, (16, 24, 3)).astype(np.uint8)).save(f"{stem}_leftImg8bit.png")
        Image.fromarray(np.full((16, 24), file_id, np.uint8)).save(f"{stem}_gtFine_labelIds.png")


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def text(content: bytes) -> bytes:
    return b"not an image\n"


@pytest.mark.parametrize("damage", [truncated, empty, text])
@pytest.mark.parametrize("kind", ["leftImg8bit", "gtFine_labelIds"])
def test_a_damaged_file_stops_the_evaluation_by_name(
    damage: Callable[[bytes], bytes], kind: str, tmp_path: Path
) -> None:
    write_pairs(tmp_path, 3, file_id=7)
    victim = tmp_path / f"town_000000_000001_{kind}.png"
    victim.write_bytes(damage(victim.read_bytes()))
    predictor = Constant(0)
    with pytest.raises(DataError, match=f"{victim.name}: cannot be read"):
        evaluate(predictor, PngFolder(tmp_path))
    assert predictor.calls == 1


def test_a_damaged_file_stops_a_submission_and_leaves_nothing(tmp_path: Path) -> None:
    source, output = tmp_path / "images", tmp_path / "results"
    source.mkdir()
    write_pairs(source, 3, file_id=7)
    victim = source / "town_000000_000002_leftImg8bit.png"
    victim.write_bytes(truncated(victim.read_bytes()))
    with pytest.raises(DataError, match=f"{victim.name}: cannot be read"):
        write_submission(Constant(0), PngFolder(source), output)
    assert not output.exists()


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder/val: the split is empty"):
        evaluate(Constant(0), PngFolder(tmp_path))
    with pytest.raises(DataError, match="folder/val: the split is empty"):
        write_submission(Constant(0), PngFolder(tmp_path), tmp_path / "results")


def test_a_split_without_a_labelled_pixel_is_named(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2, file_id=4)
    with pytest.raises(DataError, match="folder/val: no labelled pixel"):
        evaluate(Constant(0), PngFolder(tmp_path))


@pytest.mark.parametrize(
    ("train_id", "miou"),
    [pytest.param(0, 1.0, id="right"), pytest.param(1, 0.0, id="wrong"), pytest.param(255, 0.0, id="void")],
)
def test_one_labelled_class_is_enough_for_a_mean(train_id: int, miou: float, tmp_path: Path) -> None:
    write_pairs(tmp_path, 2, file_id=7)
    evaluation = evaluate(Constant(train_id), PngFolder(tmp_path))
    assert evaluation.scores.miou == miou
    assert [image.miou for image in evaluation.per_image] == [miou, miou]
    assert not math.isnan(evaluation.scores.category_miou)
