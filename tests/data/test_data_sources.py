"""KIND:ROOT and a split: what opens, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contextnet.data import PairedFiles, list_splits, open_data
from contextnet.errors import DataError
from contextnet.images import write_png


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("train", "trainannot", "val", "valannot"):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "a.png", np.zeros((2, 2) if "annot" in folder else (2, 2, 3), np.uint8))
    return tmp_path


def test_source_opens_its_kind(root: Path) -> None:
    data = open_data(f"camvid:{root}", "val")
    assert (data.name, len(data)) == ("camvid/val", 1)


def test_tilde_is_the_home_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert len(open_data(f"camvid:~/{root.name}", "train")) == 1


@pytest.mark.parametrize(
    ("source", "split", "error"),
    [
        ("{root}", "train", "expected KIND:ROOT, as in camvid:/data/camvid; kinds: camvid, cityscapes"),
        ("camvid:", "train", "expected KIND:ROOT"),
        ("canvid:{root}", "train", "unknown kind 'canvid'; did you mean 'camvid'?"),
        ("CITYSCAPES:{root}", "train", "unknown kind 'CITYSCAPES'; did you mean 'cityscapes'"),
        ("x:{root}", "train", "unknown kind 'x'; kinds: camvid"),
        ("camvid:{root}/nowhere", "train", "nowhere: does not exist; the root of CamVid data is a folder with train"),
        ("camvid:{root}/val/a.png", "train", r"a\.png: is a file; the root of CamVid data"),
        ("camvid:{root}", "training", "has no CamVid split 'training'; splits found: train, val"),
        ("camvid:{root}", "../val", r"has no CamVid split '\.\./val'"),
        ("cityscapes:{root}", "train", "has no Cityscapes split 'train'; splits found: none"),
        ("cityscapes-coarse:{root}", "train", "has no Cityscapes split 'train'"),
        ("kitti:{root}", "val", "has no KITTI split 'val'; splits found: none"),
        ("folder:{root}", "train", "has no folder split 'train'; splits found: none"),
    ],
)
def test_mistakes_are_named(root: Path, source: str, split: str, error: str) -> None:
    with pytest.raises(DataError, match=error):
        open_data(source.format(root=root), split)


@pytest.mark.parametrize(
    ("kind", "folders", "splits"),
    [
        ("camvid", ["val", "valannot", "train", "trainannot", "extra"], ("train", "val")),
        ("camvid", ["test"], ("test",)),
        ("kitti", ["training/image_2", "testing/image_2"], ("train", "val", "test")),
        ("kitti", ["testing/image_2"], ("test",)),
        ("folder", ["images", "masks"], ("all",)),
        ("folder", ["val/images", "night/images", "train/images", "day/images"], ("train", "val", "day", "night")),
        ("cityscapes", ["leftImg8bit/val", "leftImg8bit/test", "leftImg8bit/train", "gtFine/val"], ("val", "test")),
        ("cityscapes-trainids", ["leftImg8bit/val", "gtFine/val"], ("val",)),
        ("cityscapes", ["leftImg8bit/train_extra", "leftImg8bit/train", "gtCoarse/train_extra"], ("train_extra",)),
        ("cityscapes-coarse", ["leftImg8bit/train", "gtCoarse/train", "leftImg8bit/val", "gtFine/val"], ("train",)),
    ],
)
def test_splits_are_those_that_are_there(
    tmp_path: Path, kind: str, folders: list[str], splits: tuple[str, ...]
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert list_splits(f"{kind}:{tmp_path}") == splits


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("camvid:{root}/train", "holds no split; check the folder and its layout"),
        ("folder:{root}", "holds no split"),
        ("camvid:{root}/nowhere", "nowhere: does not exist; the root of CamVid data"),
        ("canvid:{root}", "did you mean 'camvid'"),
    ],
)
def test_no_splits_to_list(root: Path, source: str, error: str) -> None:
    with pytest.raises(DataError, match=error):
        list_splits(source.format(root=root))


def test_train_id_masks_have_their_own_kind(tmp_path: Path) -> None:
    stem = "aachen/aachen_000000_000001"
    for folder in ("leftImg8bit", "gtFine"):
        (tmp_path / folder / "train" / "aachen").mkdir(parents=True)
    write_png(tmp_path / f"leftImg8bit/train/{stem}_leftImg8bit.png", np.zeros((1, 2, 3), np.uint8))
    write_png(tmp_path / f"gtFine/train/{stem}_gtFine_labelTrainIds.png", np.array([[18, 255]], np.uint8))
    write_png(tmp_path / f"gtFine/train/{stem}_gtFine_labelIds.png", np.array([[33, 0]], np.uint8))
    for kind in ("cityscapes", "cityscapes-trainids"):
        label = open_data(f"{kind}:{tmp_path}", "train")[0].label
        assert label is not None
        assert label.tolist() == [[18, 255]]


def test_missing_masks_are_refused_unless_asked_for(root: Path) -> None:
    for name in ("b", "c"):
        write_png(root / "train" / f"{name}.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DataError, match=r"train/b\.png: has no mask: .*trainannot/b\.png does not exist.*1 more"):
        open_data(f"camvid:{root}", "train")
    data = open_data(f"camvid:{root}", "train", allow_missing=True)
    assert isinstance(data, PairedFiles)
    assert [pair.image_path.name for pair in data.missing_masks()] == ["b.png", "c.png"]
