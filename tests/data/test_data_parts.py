"""SPLIT@PART: which samples each part takes, in which order, what it is called, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contextnet.data import PairedFiles, check_split, open_data
from contextnet.data.doctor.source import diagnose_source
from contextnet.data.doctor.unlabelled import check_unlabelled
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.training.datasets import open_training_data, open_validation_data
from contextnet.training.recipe.data import DataOptions

CAMVID = ("0001TP_1", "0001TP_2", "0006R0_1", "0016E5_1", "0016E5_2", "0016E5_3")
YARD = "name: yard\nclasses:\n  - {name: ground, ids: [0]}\n"


def put(path: Path, channels: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.zeros((2, 2) if channels is None else (2, 2, channels), np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, stems in (("train", CAMVID), ("val", ("0016E5_4", "other.x_5"))):
        for stem in stems:
            put(tmp_path / "camvid" / split / f"{stem}.png", 3)
            put(tmp_path / "camvid" / f"{split}annot" / f"{stem}.png")
    for split in ("train", "night@2x"):
        for stem in ("a-1", "a-2", "b 1", "_c", "+d"):
            put(tmp_path / "yard" / split / "images" / f"{stem}.jpg.png", 3)
            put(tmp_path / "yard" / split / "masks" / f"{stem}.jpg.png")
    (tmp_path / "yard" / "labels.yaml").write_text(YARD)
    for stem in ("aachen/aachen_000000_000001", "ulm/ulm_000000_000002", "ulm/ulm_000001_000003"):
        put(tmp_path / f"streets/leftImg8bit/train/{stem}_leftImg8bit.png", 3)
        put(tmp_path / f"streets/gtFine/train/{stem}_gtFine_labelIds.png")
    for number in range(12):
        put(tmp_path / f"kitti/training/image_2/{number:06d}_10.png", 3)
        put(tmp_path / f"kitti/training/semantic/{number:06d}_10.png")
    return tmp_path


def stems_of(data: object) -> list[str]:
    assert isinstance(data, PairedFiles)
    return [pair.image_path.name.partition(".")[0] for pair in data.pairs]


@pytest.mark.parametrize(
    ("source", "split", "name", "stems"),
    [
        ("camvid:{root}/camvid", "train@0016E5", "camvid/train@0016E5", CAMVID[3:]),
        ("camvid:{root}/camvid", "train@-0006R0", "camvid/train@-0006R0", CAMVID[:2] + CAMVID[3:]),
        # Samples keep their order, whatever that of the words.
        ("camvid:{root}/camvid", "train@0006R0+0001TP", "camvid/train@0006R0+0001TP", CAMVID[:3]),
        ("camvid:{root}/camvid", "train@-0001TP+0006R0", "camvid/train@-0001TP+0006R0", CAMVID[3:]),
        ("camvid:{root}/camvid", "train@00", "camvid/train@00", CAMVID),
        ("camvid:{root}/camvid", "train@00+0006R0", "camvid/train@00+0006R0", CAMVID),
        ("camvid:{root}/camvid", "train@0001TP_2.png", "camvid/train@0001TP_2.png", CAMVID[1:2]),
        ("camvid:{root}/camvid", "val@other", "camvid/val@other", ("other",)),
        ("folder:{root}/yard", "train@a-1+b ", "yard/train@a-1+b ", ("a-1", "b 1")),
        ("folder:{root}/yard", "night@2x", "yard/night@2x", ("+d", "_c", "a-1", "a-2", "b 1")),
        ("cityscapes:{root}/streets", "train@ulm", "cityscapes/train@ulm", ("ulm_000000_000002", "ulm_000001_000003")),
        ("cityscapes:{root}/streets", "train@-ulm_000001", "cityscapes/train@-ulm_000001", ("aachen_", "ulm_000000_")),
        ("kitti:{root}/kitti", "val@000009", "kitti/val@000009", ("000009_10",)),
    ],
)
def test_a_part_is_the_samples_whose_names_begin_so(
    root: Path, source: str, split: str, name: str, stems: tuple[str, ...]
) -> None:
    data = open_data(source.format(root=root), split)
    assert data.name == name
    found = stems_of(data)
    assert len(found) == len(data) == len(stems)
    assert all(stem.startswith(expected) for stem, expected in zip(found, stems, strict=True))
    assert data[0].image_path.name.startswith(stems[0])


@pytest.mark.parametrize(
    ("source", "split", "error"),
    [
        (
            "camvid:{root}/camvid",
            "train@0001TP+0006R1",
            r"'camvid/train@0001TP\+0006R1': no file name of 'camvid/train' begins with '0006R1'; "
            r"the names begin with 0001TP, 0006R0, 0016E5$",
        ),
        # A sequence that is to be left out and is not there would be trained on unnoticed.
        ("camvid:{root}/camvid", "train@-0006R1", "no file name of 'camvid/train' begins with '0006R1'"),
        ("camvid:{root}/camvid", "train@0001tp", "begins with '0001tp'; the names begin with 0001TP"),
        ("camvid:{root}/camvid", "train@train", "begins with 'train'; the names begin with 0001TP"),
        ("camvid:{root}/camvid", "train@-00", "'camvid/train@-00': leaves none of the 6 samples of 'camvid/train'"),
        ("camvid:{root}/camvid", "train@-0001TP+0006R0+0016E5", "leaves none of the 6 samples"),
        ("camvid:{root}/camvid", "train@", "split 'train@': holds an empty part; expected SPLIT@PART or SPLIT@-PART"),
        ("camvid:{root}/camvid", "train@-", "holds an empty part"),
        ("camvid:{root}/camvid", "train@0001TP+", "holds an empty part"),
        ("camvid:{root}/camvid", "trian@0001TP", "has no CamVid split 'trian'; splits found: train, val"),
        ("camvid:{root}/nowhere", "train@0001TP", "nowhere: does not exist; the root of CamVid data"),
        # Ten beginnings are named, and those of names that begin with a separator are the names.
        ("kitti:{root}/kitti", "train@x", r"begin with 000000, 000001, .*, 000008, 000010, 000011$"),
        ("folder:{root}/yard", "train@x", r"the names begin with \+d, _c\.jpg\.png, a, b$"),
        ("synthetic:32x64", "train@0", "source 'synthetic:32x64', split 'train@0': its samples have no file names"),
    ],
)
def test_mistakes_are_named(root: Path, source: str, split: str, error: str) -> None:
    with pytest.raises(DataError, match=error):
        open_data(source.format(root=root), split)


def test_more_beginnings_than_ten_are_counted(tmp_path: Path) -> None:
    for number in range(13):
        put(tmp_path / "images" / f"s{number:02d}_a.png", 3)
        put(tmp_path / "masks" / f"s{number:02d}_a.png")
    (tmp_path / "labels.yaml").write_text(YARD)
    with pytest.raises(DataError, match=r"begin with s00, s01, s02, s03, s04, s05, s06, s07, s08, s09 and 3 others$"):
        open_data(f"folder:{tmp_path}", "all@t")


def test_masks_missing_or_unclaimed_beyond_the_part_are_no_concern_of_it(root: Path) -> None:
    (root / "camvid/trainannot/0006R0_1.png").unlink()
    put(root / "camvid/trainannot/0001TP_9.png")
    source = f"camvid:{root}/camvid"
    with pytest.raises(DataError, match=r"0006R0_1\.png: has no mask"):
        open_data(source, "train@0006R0")
    data = open_data(source, "train@-0006R0+0001TP")
    assert isinstance(data, PairedFiles)
    assert data.orphans == ()
    assert not check_split(data).problems
    (problem,) = check_split(open_data(source, "train@0001TP")).problems
    assert (problem.kind, problem.file.name) == ("missing image", "0001TP_9.png")


def test_recipes_take_parts_of_every_split(root: Path) -> None:
    options = DataOptions.model_validate(
        {
            "source": f"camvid:{root}/camvid",
            "train_split": "train@-0006R0",
            "val_split": "train@0006R0",
            "extra": [{"source": f"folder:{root}/yard", "split": "train@a", "classes": {"ground": "road"}}],
        }
    )
    sources = open_training_data(options)
    assert [(source.data.name, len(source.data)) for source in sources] == [
        ("camvid/train@-0006R0", 5),
        ("yard/train@a", 2),
    ]
    validation = open_validation_data(options)
    assert (validation.name, len(validation)) == ("camvid/train@0006R0", 1)


def test_folder_without_labels_is_checked_by_part(root: Path) -> None:
    (root / "yard/labels.yaml").unlink()
    put(root / "yard/train/masks/a-9.png")
    put(root / "yard/train/masks/b-9.png")
    source = f"folder:{root}/yard"
    report = check_unlabelled(source, "train@a")
    assert (report.name, report.images, report.masks) == ("yard/train@a", 2, 2)
    assert [problem.kind for problem in report.problems] == ["missing labels", "missing image"]
    assert check_unlabelled(source, "night@2x").images == 5
    counted: list[tuple[int, int]] = []
    diagnose_source(source, ["train@a", "train@b"], lambda done, total: counted.append((done, total)))
    assert counted[-1] == (3, 3)
    with pytest.raises(DataError, match="'train@z': no file name of 'train' begins with 'z'"):
        check_unlabelled(source, "train@z")


def test_parts_of_camvid_are_its_sequences(camvid_root: Path) -> None:
    counts = {part: len(open_data(f"camvid:{camvid_root}", f"train@{part}")) for part in ("0001TP", "0006R0", "0016E5")}
    assert counts == {"0001TP": 62, "0006R0": 101, "0016E5": 204}
    assert len(open_data(f"camvid:{camvid_root}", "train@-0006R0")) == 266
