"""Drives on disk and as samples."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from contextnet.data.sample import SegmentationData
from contextnet.data.synthetic import Drive, SyntheticStreets, dataset, drive, write_drives
from contextnet.data.synthetic.camera import Camera
from contextnet.data.synthetic.scene import Scene
from contextnet.data.synthetic.world import Street
from contextnet.data.synthetic.writer import depth_units
from contextnet.errors import ContextNetError, DataError
from contextnet.labels import CAMVID, CITYSCAPES

SIZE = (48, 96)


def test_the_layout_is_that_of_cityscapes(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    drives = [Drive(5, (32, 64), 2), Drive(6, (32, 64), 1)]
    assert write_drives(tmp_path, "val", drives, lambda done, total: heard.append((done, total))) == 3
    assert heard == [(1, 3), (2, 3), (3, 3)]
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}
    stems = [("synthetic5", "000000"), ("synthetic5", "000001"), ("synthetic6", "000000")]
    endings = [
        ("leftImg8bit", "leftImg8bit"),
        ("gtFine", "gtFine_labelIds"),
        ("gtFine", "gtFine_instanceIds"),
        ("gtFine", "gtFine_color"),
        ("depth", "depth"),
    ]
    assert written == {f"{f}/val/{city}/{city}_000000_{frame}_{end}.png" for city, frame in stems for f, end in endings}


def test_the_files_hold_the_frame(tmp_path: Path) -> None:
    drive = Drive(5, SIZE, 2)
    write_drives(tmp_path, "train", [drive])
    frame = drive.frame(1)

    def read(folder: str, ending: str) -> np.ndarray:
        with Image.open(tmp_path / folder / "train/synthetic5" / f"synthetic5_000000_000001_{ending}.png") as picture:
            return np.asarray(picture)

    np.testing.assert_array_equal(read("leftImg8bit", "leftImg8bit"), frame.image)
    np.testing.assert_array_equal(read("gtFine", "gtFine_labelIds"), frame.label_ids)
    instances = read("gtFine", "gtFine_instanceIds")
    np.testing.assert_array_equal(instances, frame.instance_ids)
    assert instances.max() >= 24_000
    road = frame.label_ids == 7
    assert (read("gtFine", "gtFine_color")[road] == (128, 64, 128)).all()
    depth = read("depth", "depth")
    sky = frame.label_ids == 23
    assert (depth[sky] == 0).all()
    np.testing.assert_allclose(depth[road] / 100, frame.depth_m[road], atol=0.0051)


def test_depth_units_by_hand() -> None:
    metres = np.array([0.001, 1.234, 655.34, 4000.0, np.inf], np.float32)
    assert depth_units(metres).tolist() == [1, 123, 65534, 65535, 0]


def test_one_seed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same seed"):
        write_drives(tmp_path, "train", [Drive(5, SIZE, 1), Drive(5, SIZE, 1)])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit").write_text("in the way")
    with pytest.raises(DataError, match="leftImg8bit"):
        write_drives(tmp_path, "train", [Drive(5, SIZE, 1)])


@pytest.mark.parametrize("folder", ["leftImg8bit", "gtFine", "depth"])
def test_split_that_holds_files_is_refused_and_left_alone(tmp_path: Path, folder: str) -> None:
    old = tmp_path / folder / "train" / "synthetic9"
    old.mkdir(parents=True)
    with pytest.raises(DataError, match=f"{folder}/train: already holds synthetic9; remove the split or name another"):
        write_drives(tmp_path, "train", [Drive(5, (32, 64), 1)])
    assert list(tmp_path.rglob("*")) == [tmp_path / folder, old.parent, old]
    assert write_drives(tmp_path, "val", [Drive(5, (32, 64), 1)]) == 1, "another split is free"


def test_a_write_that_fails_names_the_file_and_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Image.Image.save

    def full_at_depth(image: Image.Image, target: BinaryIO, *words: str, **options: int) -> None:
        if "_depth.png" in target.name:
            target.write(b"\x89PNG")
            raise OSError(28, "No space left on device")
        save(image, target, *words, **options)

    monkeypatch.setattr(Image.Image, "save", full_at_depth)
    with pytest.raises(ContextNetError, match=r"_depth\.png: cannot be written: No space left on device"):
        write_drives(tmp_path, "train", [Drive(5, (32, 64), 1)])
    assert not [path.name for path in (tmp_path / "depth").rglob("*") if path.is_file()]
    for path in tmp_path.rglob("*.png"):
        with Image.open(path) as picture:
            picture.load()


def test_samples_from_memory() -> None:
    drives = [Drive(3, SIZE, 2), Drive(10_000, SIZE, 3)]
    data: SegmentationData = SyntheticStreets(drives, split="val")
    assert (data.name, len(data)) == ("synthetic/val", 5)
    assert "Apache-2.0" in data.licence
    sample = data[3]
    frame = Drive(10_000, SIZE, 3).frame(1)
    np.testing.assert_array_equal(sample.image, frame.image)
    assert sample.label is not None
    np.testing.assert_array_equal(sample.label, CITYSCAPES.encode(frame.label_ids))
    assert sample.instances is not None
    np.testing.assert_array_equal(sample.instances, frame.instance_ids)
    assert sample.image_path == Path("synthetic/seed-10000/000001")


def test_reading_in_any_order_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "OPEN_DRIVES", 1)
    data = SyntheticStreets([Drive(seed, (32, 64), 1) for seed in range(2)])
    first, second = data[0].image, data[1].image
    np.testing.assert_array_equal(data[0].image, first)
    assert (first != second).any()


def test_a_street_is_drawn_once_for_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    scene_for = drive.scene_for

    def counted(street: Street, camera: Camera) -> Scene:
        drawn.append(street.seed)
        return scene_for(street, camera)

    monkeypatch.setattr(drive, "scene_for", counted)
    data = SyntheticStreets([Drive(3, (32, 64), 2)])
    together = threading.Barrier(2)

    def read(index: int) -> np.ndarray:
        together.wait(10)
        return data[index].image

    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(read, [0, 1]))
    assert drawn == [3]
    for index, image in enumerate(images):
        np.testing.assert_array_equal(image, data[index].image)


def test_threads_that_release_each_others_streets_get_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "OPEN_DRIVES", 1)
    data = SyntheticStreets([Drive(seed, (16, 32), 2) for seed in range(3)])
    alone = [data[index] for index in range(6)]
    order = np.random.default_rng(8).permutation(np.repeat(np.arange(6), 3)).tolist()
    with ThreadPoolExecutor(2) as pool:
        for index, sample in zip(order, pool.map(data.__getitem__, order), strict=True):
            np.testing.assert_array_equal(sample.image, alone[index].image)
            np.testing.assert_array_equal(sample.label, alone[index].label)


def test_streets_can_be_sent_to_another_process() -> None:
    data = SyntheticStreets([Drive(3, (16, 32), 2)], split="val")
    image = data[1].image
    again: SyntheticStreets = pickle.loads(pickle.dumps(data))
    assert again.name == "synthetic/val"
    np.testing.assert_array_equal(again[1].image, image)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_sample_beyond_the_end(index: int) -> None:
    with pytest.raises(IndexError):
        SyntheticStreets([Drive(3, SIZE, 2)])[index]


def test_no_drives_and_foreign_labels_are_named() -> None:
    with pytest.raises(DataError, match="at least one drive"):
        SyntheticStreets([])
    with pytest.raises(DataError, match="camvid"):
        SyntheticStreets([Drive(3, SIZE, 1)], CAMVID)[0]
