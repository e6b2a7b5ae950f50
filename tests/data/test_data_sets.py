"""CamVid, Cityscapes, KITTI and a folder of pairs: which files each finds, and what their samples hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.data.camvid import open_camvid
from contextnet.data.cityscapes import open_cityscapes
from contextnet.data.folder import open_folder
from contextnet.data.kitti import open_kitti
from contextnet.data.pairs import PairedFiles
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
CITY_IDS = np.array([[7, 26, 0], [33, 24, 23]], np.uint8)
CITY_TRAIN_IDS = np.array([[0, 13, 255], [18, 11, 10]], np.uint8)
INSTANCES = np.array([[7, 26000, 0], [33001, 24000, 23]], np.uint16)


def _put(path: Path, array: np.ndarray = IMAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.dtype == np.uint16:
        Image.fromarray(array).save(path)
    else:
        write_png(path, array)
    return path


def _stems(data: PairedFiles) -> list[str]:
    return [pair.image_path.stem for pair in data.pairs]


def _cityscapes(root: Path) -> Path:
    for split, city, number in (("train", "aachen", 1), ("train", "ulm", 2), ("val", "lindau", 3), ("test", "bonn", 4)):
        stem = f"{city}/{city}_000000_{number:06d}"
        _put(root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png")
        _put(root / "gtFine" / split / f"{stem}_gtFine_labelIds.png", CITY_IDS)
        _put(root / "gtFine" / split / f"{stem}_gtFine_instanceIds.png", INSTANCES)
        _put(root / "gtFine" / split / f"{stem}_gtFine_color.png")
    _put(root / "gtFine/train/ulm/ulm_000000_000002_gtFine_labelTrainIds.png", CITY_TRAIN_IDS)
    _put(root / "gtFine/train/aachen/aachen_000000_000001_gtFine_labelTrainIds.png", CITY_TRAIN_IDS)
    _put(root / "leftImg8bit/train_extra/erlangen/erlangen_000000_000005_leftImg8bit.png")
    for split, stem in (("train_extra", "erlangen_000000_000005"), ("val", "lindau_000000_000003")):
        _put(root / f"gtCoarse/{split}/{stem.split('_')[0]}/{stem}_gtCoarse_labelIds.png", CITY_IDS)
    return root


@pytest.mark.parametrize(
    ("split", "name", "stems", "labelled"),
    [
        ("train", "cityscapes/train", ["aachen_000000_000001_leftImg8bit", "ulm_000000_000002_leftImg8bit"], True),
        ("val", "cityscapes/val", ["lindau_000000_000003_leftImg8bit"], True),
        ("test", "cityscapes/test", ["bonn_000000_000004_leftImg8bit"], False),
        ("train_extra", "cityscapes-coarse/train_extra", ["erlangen_000000_000005_leftImg8bit"], True),
    ],
)
def test_cityscapes_splits(tmp_path: Path, split: str, name: str, stems: list[str], labelled: bool) -> None:
    data = open_cityscapes(_cityscapes(tmp_path), split)
    assert (data.name, data.labels, _stems(data)) == (name, CITYSCAPES, stems)
    assert "non-commercial" in data.licence
    sample = data[0]
    np.testing.assert_array_equal(sample.image, IMAGE)
    if labelled:
        np.testing.assert_array_equal(sample.label, CITY_TRAIN_IDS)
    else:
        assert sample.label is None
        assert sample.label_path is None
        assert sample.instances is None


def test_cityscapes_instances_are_read_where_they_exist(tmp_path: Path) -> None:
    root = _cityscapes(tmp_path)
    np.testing.assert_array_equal(open_cityscapes(root, "val")[0].instances, INSTANCES)
    assert open_cityscapes(root, "train_extra")[0].instances is None


def test_cityscapes_train_id_files_give_the_same_labels(tmp_path: Path) -> None:
    root = _cityscapes(tmp_path)
    by_ids, by_train_ids = open_cityscapes(root, "train"), open_cityscapes(root, "train", mask_ids="labelTrainIds")
    sample = by_train_ids[1]
    assert sample.label_path is not None
    assert sample.label_path.name == "ulm_000000_000002_gtFine_labelTrainIds.png"
    np.testing.assert_array_equal(sample.label, by_ids[1].label)
    np.testing.assert_array_equal(sample.instances, INSTANCES)
    assert by_train_ids.labels == CITYSCAPES


def test_cityscapes_coarse_reads_coarse_masks(tmp_path: Path) -> None:
    data = open_cityscapes(_cityscapes(tmp_path), "val", annotation="coarse")
    assert data.name == "cityscapes-coarse/val"
    assert data[0].label_path == tmp_path / "gtCoarse/val/lindau/lindau_000000_000003_gtCoarse_labelIds.png"


def test_cityscapes_without_its_ground_truth_says_what_to_unpack(tmp_path: Path) -> None:
    _put(tmp_path / "leftImg8bit/train/aachen/aachen_000000_000001_leftImg8bit.png")
    with pytest.raises(DataError, match=r"gtFine/train: does not exist; unpack gtFine_trainvaltest\.zip"):
        open_cityscapes(tmp_path, "train")
    with pytest.raises(DataError, match=r"gtCoarse/train: does not exist; unpack gtCoarse\.zip"):
        open_cityscapes(tmp_path, "train", annotation="coarse")


def test_cityscapes_split_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "leftImg8bit/val").mkdir(parents=True)
    with pytest.raises(DataError, match=r"leftImg8bit/val: holds no image; expected CITY/"):
        open_cityscapes(tmp_path, "val")


def test_kitti_keeps_every_fifth_image_for_validation(tmp_path: Path) -> None:
    for number in range(11):
        _put(tmp_path / f"training/image_2/{number:06d}_10.png")
        _put(tmp_path / f"training/semantic/{number:06d}_10.png", CITY_IDS)
    _put(tmp_path / "testing/image_2/000000_10.png")
    train, val, test = (open_kitti(tmp_path, split) for split in ("train", "val", "test"))
    assert _stems(val) == ["000004_10", "000009_10"]
    assert _stems(train) == [f"{n:06d}_10" for n in (0, 1, 2, 3, 5, 6, 7, 8, 10)]
    np.testing.assert_array_equal(val[1].label, CITY_TRAIN_IDS)
    assert test[0].label is None
    assert not train.orphans
    assert "CC BY-NC-SA 3.0" in train.licence


def test_kitti_too_small_for_a_validation_split(tmp_path: Path) -> None:
    _put(tmp_path / "training/image_2/000000_10.png")
    with pytest.raises(DataError, match=r"image_2: holds 1 images, too few for a 'val' split"):
        open_kitti(tmp_path, "val")


YARD = "name: yard\nclasses:\n  - {name: ground, ids: [3]}\n  - {name: box, ids: [7, 8]}\nvoid: [0]\n"
YARD_IDS = np.array([[3, 7, 0], [8, 3, 3]], np.uint8)
YARD_TRAIN_IDS = np.array([[0, 1, 255], [1, 0, 0]], np.uint8)


def test_folder_pairs_by_stem_whatever_the_image_format(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(YARD)
    images = tmp_path / "night" / "images"
    _put(images / "b.png")
    Image.fromarray(IMAGE).save(images / "a.tif")
    for stem in "ab":
        _put(tmp_path / "night" / "masks" / f"{stem}.png", YARD_IDS)
    data = open_folder(tmp_path, "night")
    assert (data.name, data.licence, _stems(data)) == ("yard/night", "", ["a", "b"])
    for sample in data:
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.label, YARD_TRAIN_IDS)


def test_folder_without_splits_is_the_split_all(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(YARD)
    _put(tmp_path / "images" / "a.png")
    _put(tmp_path / "masks" / "a.png", YARD_IDS)
    assert open_folder(tmp_path, "all").name == "yard/all"
    with pytest.raises(DataError, match="has no folder split 'train'; splits found: all"):
        open_folder(tmp_path, "train")


def test_folder_says_what_is_missing(tmp_path: Path) -> None:
    _put(tmp_path / "train" / "images" / "a.png")
    with pytest.raises(DataError, match=r"labels\.yaml: does not exist; list the classes"):
        open_folder(tmp_path, "train")
    (tmp_path / "labels.yaml").write_text(YARD)
    with pytest.raises(DataError, match=r"train/masks: does not exist; put the mask of every image"):
        open_folder(tmp_path, "train")


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text(YARD)
    Image.fromarray(IMAGE).save(_put(tmp_path / "images" / "a.png").with_suffix(".bmp"))
    _put(tmp_path / "masks" / "a.png", YARD_IDS)
    with pytest.raises(DataError, match=r"a\.png: has the same stem as a\.bmp"):
        open_folder(tmp_path, "all")


def test_camvid_test_split_has_no_ground_truth_until_its_masks_are_there(tmp_path: Path) -> None:
    _put(tmp_path / "test" / "x.png")
    assert open_camvid(tmp_path, "test")[0].label is None
    _put(tmp_path / "testannot" / "x.png", np.array([[0, 10, 11], [1, 2, 3]], np.uint8))
    label = open_camvid(tmp_path, "test")[0].label
    assert label is not None
    assert label.tolist() == [[0, 10, 255], [1, 2, 3]]


@pytest.mark.parametrize(("split", "images"), [("train", 367), ("val", 101)])
def test_camvid_as_downloaded(camvid_root: Path, split: str, images: int) -> None:
    data = open_camvid(camvid_root, split)
    assert (len(data), data.labels, data.name) == (images, CAMVID, f"camvid/{split}")
    assert "CC BY-NC 4.0" in data.licence
    assert not data.missing_masks()
    assert not data.orphans
    sample = data[images // 2]
    assert sample.label is not None
    assert sample.label_path is not None
    assert (sample.image.shape, sample.label.shape) == ((360, 480, 3), (360, 480))
    with Image.open(sample.label_path) as file:
        ids = np.asarray(file)
    np.testing.assert_array_equal(sample.label, np.where(ids == 11, 255, ids))


def test_reading_a_sample_twice_gives_the_same_values(camvid_root: Path) -> None:
    data = open_camvid(camvid_root, "val")
    first, again = data[7], data[7]
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.label, again.label)
    first.image[:] = 0
    assert data[7].image.any()
