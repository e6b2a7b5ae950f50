from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from contextnet.data.sample import Sample
from contextnet.errors import DataError
from contextnet.export import samples
from contextnet.export.samples import drawn_samples, samples_of_data, samples_of_images
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES


def write_images(folder: Path, count: int) -> None:
    """Images whose only value is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        write_png(folder / f"{index:03}.png", np.full((2, 2, 3), index, np.uint8))


def numbers(images: object) -> list[int]:
    assert isinstance(images, Iterable)
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize(
    ("count", "compared", "calibration"),
    [
        (2, [0], [1]),
        (7, [0, 5], [1, 2, 3, 4, 6]),
        (11, [0, 5, 10], [1, 2, 3, 4, 6, 7, 8, 9]),
    ],
)
def test_every_fifth_image_is_compared(tmp_path: Path, count: int, compared: list[int], calibration: list[int]) -> None:
    write_images(tmp_path, count)
    found = samples_of_images([tmp_path], calibrates=True)
    assert (numbers(found.compared), numbers(found.calibration)) == (compared, calibration)
    assert found.calibration is not None
    assert len(found.calibration) == len(calibration)
    assert found.labelled is None


def test_many_images_are_taken_evenly(tmp_path: Path) -> None:
    write_images(tmp_path, 250)
    found = samples_of_images([tmp_path], calibrates=True)
    compared, calibration = numbers(found.compared), numbers(found.calibration)
    assert (len(compared), len(calibration)) == (20, 100)
    assert (compared[0], compared[-1], calibration[0], calibration[-1]) == (0, 245, 1, 249)
    assert not set(compared) & set(calibration)


def test_files_and_inner_folders_are_found(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "b", 2)
    write_images(tmp_path / "c", 1)
    found = samples_of_images([tmp_path / "a", tmp_path / "c" / "000.png"], calibrates=False)
    assert len(found.compared) == 3
    assert found.name == f"{tmp_path / 'a'}, {tmp_path / 'c' / '000.png'}"


@pytest.mark.parametrize(("count", "compared"), [(1, [0]), (7, list(range(7))), (21, [*range(10), *range(11, 21)])])
def test_without_calibration_all_images_are_compared(tmp_path: Path, count: int, compared: list[int]) -> None:
    write_images(tmp_path, count)
    found = samples_of_images([tmp_path], calibrates=False)
    assert found.calibration is None
    assert numbers(found.compared) == compared


def test_calibration_images_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    write_images(tmp_path, 4)
    calibration = samples_of_images([tmp_path], calibrates=True).calibration
    assert calibration is not None
    (tmp_path / "002.png").write_bytes(b"no image")
    reading = iter(calibration)
    assert int(next(reading)[0, 0, 0]) == 1
    with pytest.raises(DataError, match=r"002\.png: is not a readable image"):
        next(reading)


def test_one_image_is_too_few_to_calibrate_as_well(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    with pytest.raises(DataError, match=r"000\.png: one image is too few.* give at least two"):
        samples_of_images([tmp_path], calibrates=True)


class Numbered:
    """A split whose images' only value is their number; val's begin at 100."""

    def __init__(self, split: str, length: int = 41) -> None:
        self.name = f"numbered/{split}"
        self.labels = CITYSCAPES
        self.licence = ""
        self._first = 100 if split == "val" else 0
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        return Sample(np.full((2, 2, 3), self._first + index, np.uint8), None, Path("x.png"))


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "open_data", lambda source, split: Numbered(split))


@pytest.mark.usefixtures("numbered")
def test_a_data_set_calibrates_on_train_and_compares_on_val() -> None:
    found = samples_of_data("numbered:x", CITYSCAPES, calibrates=True)
    assert found.labelled is not None
    assert found.name == found.labelled.name == "numbered/val"
    assert numbers(found.calibration) == list(range(41))
    compared = numbers(found.compared)
    assert (len(compared), compared[0], compared[-1]) == (20, 100, 140)


@pytest.mark.usefixtures("numbered")
def test_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="has the classes of 'cityscapes' and the network those of 'camvid'"):
        samples_of_data("numbered:x", CAMVID, calibrates=True)


def test_without_calibration_a_data_set_needs_no_train_split(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(samples, "open_data", lambda source, split: opened.append(split) or Numbered(split))
    assert samples_of_data("numbered:x", CITYSCAPES, calibrates=False).calibration is None
    assert opened == ["val"]


@pytest.mark.parametrize("empty", ["train", "val"])
def test_an_empty_split_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setattr(samples, "open_data", lambda _, split: Numbered(split, 0 if split == empty else 3))
    with pytest.raises(DataError, match=f"^numbered/{empty}: the split is empty; check its folder"):
        samples_of_data("numbered:x", CITYSCAPES, calibrates=True)


def test_drawn_streets_are_compared_but_do_not_calibrate() -> None:
    found = drawn_samples()
    assert [image.shape for image in found.compared] == [(512, 1024, 3)] * 4
    assert found.calibration is None
