"""Data that cannot be used as it is: every message names the file, what is wrong, and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.data import check_split, open_data
from contextnet.data.decoding import decode_split
from contextnet.errors import DataError, ImageError
from contextnet.images import write_png
from contextnet.labels import CITYSCAPES

ROADS = np.array([[3, 3, 0], [11, 8, 3]], np.uint8)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for stem in "abc":
        _put_pair(tmp_path, stem, ROADS)
    return tmp_path


def _put_pair(root: Path, stem: str, ids: np.ndarray) -> Path:
    for folder in ("train", "trainannot"):
        (root / folder).mkdir(exist_ok=True)
    write_png(root / "train" / f"{stem}.png", np.zeros((*ids.shape[:2], 3), np.uint8))
    write_png(root / "trainannot" / f"{stem}.png", ids)
    return root / "trainannot" / f"{stem}.png"


def _cityscapes(root: Path, mask_ids: str, ids: np.ndarray) -> Path:
    stem = "aachen/aachen_000000_000001"
    for folder in ("leftImg8bit", "gtFine"):
        (root / folder / "train" / "aachen").mkdir(parents=True)
    write_png(root / f"leftImg8bit/train/{stem}_leftImg8bit.png", np.zeros((*ids.shape, 3), np.uint8))
    mask = root / f"gtFine/train/{stem}_gtFine_{mask_ids}.png"
    write_png(mask, ids)
    return mask


def test_id_outside_the_label_set_is_found_by_the_check_and_refused_by_the_reader(camvid: Path) -> None:
    mask = _put_pair(camvid, "b", np.array([[3, 12, 12], [77, 8, 3]], np.uint8))
    data = open_data(f"camvid:{camvid}", "train")
    (problem,) = check_split(data).problems
    assert (problem.kind, problem.file) == ("unknown ids", mask)
    assert problem.detail == "holds ids outside label set 'camvid': 12 (2 pixels), 77 (1 pixels)"
    with pytest.raises(DataError, match=r"12 \(2 pixels\), 77 \(1 pixels\); map them to a class or to void") as caught:
        data[1]
    assert str(caught.value).startswith(f"{mask}: ")


def test_label_ids_where_train_ids_are_expected(tmp_path: Path) -> None:
    mask = _cityscapes(tmp_path, "labelTrainIds", np.array([[7, 7, 23], [26, 21, 0]], np.uint8))
    data = open_data(f"cityscapes-trainids:{tmp_path}", "train")
    assert (check_split(data).problems[0].kind, check_split(data).problems[0].file) == ("file ids", mask)
    with pytest.raises(
        DataError, match=r"labelTrainIds\.png: .*look like file ids \(labelIds\).*open the data as kind 'cityscapes'"
    ):
        data[0]


def test_train_ids_where_label_ids_are_expected(tmp_path: Path) -> None:
    street = np.array([[0, 0, 0], [10, 2, 8], [13, 1, 255]], np.uint8)
    mask = _cityscapes(tmp_path, "labelIds", street)
    (problem,) = check_split(open_data(f"cityscapes:{tmp_path}", "train")).problems
    assert (problem.kind, problem.file) == ("train ids", mask)
    assert "look like train ids where file ids (labelIds) are expected" in problem.detail


@pytest.mark.parametrize("ids", [[[0, 255]], [[255, 0, 0], [0, 0, 0]]])
def test_black_and_white_masks_are_recognised(tmp_path: Path, ids: list[list[int]]) -> None:
    mask = _put_pair(tmp_path, "a", np.array(ids, np.uint8))
    (problem,) = check_split(open_data(f"camvid:{tmp_path}", "train")).problems
    assert (problem.kind, problem.file) == ("binary masks", mask)


def test_black_and_white_masks_are_named_by_the_reader_where_255_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("name: two\nclasses: [{name: a, ids: [0]}, {name: b, ids: [1]}]\nvoid: []\n")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    write_png(tmp_path / "images" / "a.png", np.zeros((1, 2, 3), np.uint8))
    write_png(tmp_path / "masks" / "a.png", np.array([[0, 255]], np.uint8))
    with pytest.raises(DataError, match=r"masks/a\.png: .*only 0 and 255 occur, as in a black-and-white mask"):
        open_data(f"folder:{tmp_path}", "all")[0]


def test_palette_masks_are_read_by_their_indices(camvid: Path) -> None:
    mask = camvid / "trainannot" / "b.png"
    image = Image.fromarray(ROADS).convert("P")
    image.putdata(ROADS.ravel().tolist())
    image.putpalette(CITYSCAPES.palette.tobytes())
    image.save(mask)
    data = open_data(f"camvid:{camvid}", "train")
    np.testing.assert_array_equal(data[1].label, [[3, 3, 0], [255, 8, 3]])
    report = check_split(data)
    assert report.mask_kinds == {"gray": 2, "palette": 1}
    assert not report.problems


@pytest.mark.parametrize(
    ("colors", "error"),
    [
        (np.array([[[128, 64, 128]] * 3] * 2, np.uint8), "is an RGB mask, colours where ids are expected"),
        (np.stack([ROADS] * 3, axis=-1), "is an RGB mask with three equal channels where ids are expected"),
    ],
)
def test_rgb_masks_are_refused_and_named(camvid: Path, colors: np.ndarray, error: str) -> None:
    mask = _put_pair(camvid, "b", colors)
    data = open_data(f"camvid:{camvid}", "train")
    with pytest.raises(DataError, match=f"{error}; save each mask as a one-channel PNG") as caught:
        data[1]
    assert str(caught.value).startswith(f"{mask}: ")
    assert [(p.kind, p.file) for p in check_split(data).problems] == [("rgb mask", mask)]


def test_image_and_mask_of_different_size_name_the_pair(camvid: Path) -> None:
    write_png(camvid / "trainannot" / "b.png", ROADS.T.copy())
    data = open_data(f"camvid:{camvid}", "train")
    error = r"train/b\.png: is 2×3 \(height × width\) but its mask .*trainannot/b\.png is 3×2; bring both to one size"
    with pytest.raises(DataError, match=error):
        data[1]


def test_image_without_mask_names_the_pair_before_anything_is_read(camvid: Path) -> None:
    (camvid / "trainannot" / "b.png").unlink()
    with pytest.raises(DataError, match=r"train/b\.png: has no mask: .*trainannot/b\.png does not exist; add the mask"):
        open_data(f"camvid:{camvid}", "train")


def test_training_images_without_any_mask_folder_name_the_first_pair(camvid: Path) -> None:
    (camvid / "trainannot").rename(camvid / "annotations")
    with pytest.raises(DataError, match=r"train/a\.png: has no mask: .*trainannot/a\.png .*\(2 more images"):
        open_data(f"camvid:{camvid}", "train")


def test_mask_that_vanishes_after_opening_names_the_pair(camvid: Path) -> None:
    data = open_data(f"camvid:{camvid}", "train")
    (camvid / "trainannot" / "c.png").unlink()
    with pytest.raises(DataError, match=r"train/c\.png: has no mask: .*trainannot/c\.png"):
        data[2]


def test_empty_split_is_named(camvid: Path) -> None:
    (camvid / "val").mkdir()
    (camvid / "valannot").mkdir()
    with pytest.raises(DataError, match=r"/val: holds no image; expected files ending in \.png"):
        open_data(f"camvid:{camvid}", "val")


@pytest.mark.parametrize("folder", ["train", "trainannot"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "is (damaged|not a readable image)"),
        (b"", r"is empty \(0 bytes\)"),
        (b"no image, a text\n", "is not a readable image"),
    ],
)
def test_damaged_files_are_image_errors_by_name(camvid: Path, folder: str, content: bytes | None, error: str) -> None:
    path = camvid / folder / "b.png"
    path.write_bytes(path.read_bytes()[:45] if content is None else content)
    data = open_data(f"camvid:{camvid}", "train")
    with pytest.raises(ImageError, match=error) as caught:
        data[1]
    assert str(caught.value).startswith(f"{path}: ")
    assert data[0].label is not None
    assert data[2].label is not None
    kind = "unreadable image" if folder == "train" else "unreadable mask"
    assert [(p.kind, p.file) for p in check_split(data).problems] == [(kind, path)]


def test_index_past_the_end_ends_iteration(camvid: Path) -> None:
    data = open_data(f"camvid:{camvid}", "train")
    with pytest.raises(IndexError):
        data[3]


def _unknown_id(mask: Path) -> None:
    write_png(mask, np.array([[3, 77, 0], [11, 8, 3]], np.uint8))


def _rgb(mask: Path) -> None:
    write_png(mask, np.stack([ROADS] * 3, axis=-1))


def _other_size(mask: Path) -> None:
    write_png(mask, ROADS.T.copy())


def _large_ids(mask: Path) -> None:
    write_png(mask, np.full(ROADS.shape, 1000, np.uint16))


def _gone(mask: Path) -> None:
    mask.unlink()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (_unknown_id, r"trainannot/b\.png: ids outside label set 'camvid': 77 \(1 pixels\)"),
        (_rgb, r"trainannot/b\.png: is an RGB mask"),
        (_other_size, r"train/b\.png: is 2×3 .* but its mask .*trainannot/b\.png is 3×2"),
        (_large_ids, r"trainannot/b\.png: holds ids 1000 to 1000; a mask holds 0 to 255"),
        (_gone, r"train/b\.png: has no mask: .*trainannot/b\.png does not exist"),
    ],
)
def test_budget_for_unreadable_files_never_covers_wrong_ones(
    camvid: Path, spoil: Callable[[Path], None], error: str
) -> None:
    data = open_data(f"camvid:{camvid}", "train")
    spoil(camvid / "trainannot" / "b.png")
    with pytest.raises(DataError, match=error):
        decode_split(data, unreadable_budget=3)


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_budget_covers_files_that_cannot_be_read(camvid: Path, folder: str) -> None:
    path = camvid / folder / "b.png"
    path.write_bytes(path.read_bytes()[:45])
    split = decode_split(open_data(f"camvid:{camvid}", "train"), unreadable_budget=1)
    assert len(split) == 2
    assert [fault.startswith(f"{path}: is ") for fault in split.skipped] == [True]


def test_damaged_instance_mask_does_not_keep_a_sample_from_training(tmp_path: Path) -> None:
    mask = _cityscapes(tmp_path, "labelIds", np.array([[7, 26, 0]], np.uint8))
    instances = mask.with_name(mask.name.replace("labelIds", "instanceIds"))
    instances.write_bytes(b"no image")
    data = open_data(f"cityscapes:{tmp_path}", "train")
    split = decode_split(data)
    assert (len(split), split.skipped) == (1, ())
    assert split.masks[0].tolist() == [[0, 13, 255]]
    with pytest.raises(ImageError, match=r"instanceIds\.png: is not a readable image"):
        data[0]
