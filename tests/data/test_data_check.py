"""The data check: everything wrong with a split in one report, and the numbers it gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from contextnet.data import DataReport, PairedFiles, Problem, Sample, check_split, open_data
from contextnet.data.check_table import report_table
from contextnet.data.folder import open_folder
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet

YARD = "name: yard\nclasses:\n  - {name: ground, ids: [3]}\n  - {name: box, ids: [7, 8]}\nvoid: [0]\n"
IDS = np.array([[3, 3, 3], [7, 8, 0]], np.uint8)
SHAPE = (2, 3, 3)


def _put(root: Path, stem: str, ids: np.ndarray | None = IDS, shape: tuple[int, int, int] = SHAPE) -> tuple[Path, Path]:
    image, mask = root / "images" / f"{stem}.png", root / "masks" / f"{stem}.png"
    image.parent.mkdir(exist_ok=True)
    mask.parent.mkdir(exist_ok=True)
    write_png(image, np.zeros(shape, np.uint8))
    if ids is not None:
        write_png(mask, ids)
    return image, mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "labels.yaml").write_text(YARD)
    _put(tmp_path, "a")
    return tmp_path


def _check(root: Path) -> DataReport:
    return check_split(open_data(f"folder:{root}", "all", allow_missing=True))


def test_shares_sizes_and_kinds(root: Path) -> None:
    _put(root, "b", np.full((1, 4), 3, np.uint8), (1, 4, 3))
    palette = Image.fromarray(IDS).convert("P")
    palette.putdata(IDS.ravel().tolist())
    palette.save(_put(root, "c")[1])
    report = _check(root)
    assert not report.problems
    assert (report.name, report.images, report.masks) == ("yard/all", 3, 3)
    assert report.sizes == (((2, 3), 2), ((1, 4), 1))
    assert report.mask_kinds == {"gray": 2, "palette": 1}
    # Two masks of 3 ground, 2 box, 1 void; one of 4 ground.
    assert [(c.name, c.pixels) for c in report.classes] == [("ground", 10), ("box", 4)]
    assert [c.share for c in report.classes] == [10 / 16, 4 / 16]
    assert (report.void_pixels, report.unknown_pixels, report.mask_pixels) == (2, 0, 16)


def test_progress_counts_every_image(root: Path) -> None:
    _put(root, "b")
    (root / "images" / "b.png").write_bytes(b"")
    calls: list[tuple[int, int]] = []
    check_split(open_folder(root, "all"), lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


def _empty_image(root: Path) -> Path:
    path = _put(root, "b")[0]
    path.write_bytes(b"")
    return path


def _cut_mask(root: Path) -> Path:
    path = _put(root, "b", np.random.default_rng(0).integers(0, 9, (40, 40), np.uint8), (40, 40, 3))[1]
    path.write_bytes(path.read_bytes()[:100])
    return path


def _no_mask(root: Path) -> Path:
    return _put(root, "b", None)[0]


def _no_image(root: Path) -> Path:
    image, mask = _put(root, "b")
    image.unlink()
    return mask


def _other_size(root: Path) -> Path:
    return _put(root, "b", np.full((3, 2), 3, np.uint8))[0]


def _unknown_ids(root: Path) -> Path:
    return _put(root, "b", np.array([[3, 200, 200], [9, 8, 0]], np.uint8))[1]


def _rgb(root: Path) -> Path:
    return _put(root, "b", np.array([[[1, 2, 3]] * 3] * 2, np.uint8))[1]


def _grey_three_times(root: Path) -> Path:
    return _put(root, "b", np.stack([IDS] * 3, axis=-1))[1]


def _deep_ids(root: Path) -> Path:
    path = _put(root, "b")[1]
    Image.fromarray(np.full((2, 3), 1000, np.uint16)).save(path)
    return path


@pytest.mark.parametrize(
    ("spoil", "kind", "detail", "remedy"),
    [
        (_empty_image, "unreadable image", "is empty (0 bytes)", "copy or download it again"),
        (_cut_mask, "unreadable mask", "is damaged: ", "copy or download it again"),
        (_no_mask, "missing mask", "has no mask: ", "add the mask or remove the image"),
        (_no_image, "missing image", "is a mask that no image claims", "add its image or remove the mask"),
        (_other_size, "size mismatch", "is 2×3 (height × width) but its mask ", "bring both to one size"),
        (
            _unknown_ids,
            "unknown ids",
            "label set 'yard': 9 (1 pixels), 200 (2 pixels)",
            "map them to a class or to void",
        ),
        (
            _rgb,
            "rgb mask",
            "is an RGB mask, colours where ids",
            "save each mask as a one-channel PNG that holds class ids",
        ),
        (_grey_three_times, "rgb mask", "three equal channels", "save each mask as a one-channel PNG"),
        (_deep_ids, "unknown ids", "holds ids 1000 to 1000", "a mask holds 0 to 255, so renumber its classes"),
    ],
)
def test_each_problem_is_named(root: Path, spoil: Callable[[Path], Path], kind: str, detail: str, remedy: str) -> None:
    file = spoil(root)
    (problem,) = _check(root).problems
    assert (problem.kind, problem.file) == (kind, file)
    assert detail in problem.detail
    assert problem.remedy.startswith(remedy)


def test_check_goes_on_after_every_problem(root: Path) -> None:
    spoilers = [_empty_image, _cut_mask, _no_mask, _other_size, _unknown_ids, _rgb]
    for number, spoil in enumerate(spoilers):
        file = spoil(root)
        for folder in ("images", "masks"):
            path = root / folder / file.name
            if path.exists():
                path.rename(path.with_name(f"c{number}.png"))
    _put(root, "z")
    report = _check(root)
    expected = ["unreadable image", "unreadable mask", "missing mask", "size mismatch", "unknown ids", "rgb mask"]
    assert [problem.kind for problem in report.problems] == expected
    # Masks read as ids: a, z and the unreadable image's (3 ground, 2 box, 1 void each), six pixels of ground in the
    # mask of other size, and [[3, 200, 200], [9, 8, 0]].
    assert [(c.name, c.pixels) for c in report.classes] == [("ground", 9 + 6 + 1), ("box", 6 + 1)]
    assert (report.void_pixels, report.unknown_pixels) == (3 + 1, 3)
    assert report.images == 8


def _numbered(root: Path, labels: LabelSet, masks: list[list[int]]) -> DataReport:
    (root / "labels.yaml").write_text(json.dumps(labels.to_json()))
    for number, row in enumerate(masks):
        _put(root, f"{number}", np.array([row], np.uint8), (1, len(row), 3))
    (root / "images" / "a.png").unlink()
    (root / "masks" / "a.png").unlink()
    return _check(root)


@pytest.mark.parametrize(
    ("labels", "masks", "kind"),
    [
        (CITYSCAPES, [[0, 0, 0, 2], [13, 8, 10, 255]], "train ids"),
        (CITYSCAPES, [[0, 255], [0, 0]], "binary masks"),
        (CAMVID, [[0, 0], [255, 255]], "binary masks"),
    ],
)
def test_numbering_is_judged_over_the_split(root: Path, labels: LabelSet, masks: list[list[int]], kind: str) -> None:
    (problem,) = _numbered(root, labels, masks).problems
    assert (problem.kind, problem.file) == (kind, root / "masks" / "0.png")
    assert "judged over the whole split" in problem.detail


def test_cityscapes_label_ids_in_train_id_files_are_named_first(tmp_path: Path) -> None:
    for number, row in enumerate([[7, 7, 8], [21, 26, 0]]):
        stem = f"aachen/aachen_000000_{number:06d}"
        for path in (f"leftImg8bit/train/{stem}_leftImg8bit", f"gtFine/train/{stem}_gtFine_labelTrainIds"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            ids = np.array([row], np.uint8)
            write_png(tmp_path / f"{path}.png", ids if "gtFine" in path else np.stack([ids] * 3, axis=-1))
    report = check_split(open_data(f"cityscapes-trainids:{tmp_path}", "train"))
    assert [p.kind for p in report.problems] == ["file ids", "unknown ids"]
    assert "look like file ids (labelIds) where train ids are expected" in report.problems[0].detail
    assert "21 (1 pixels), 26 (1 pixels)" in report.problems[1].detail


def test_damaged_or_misfit_instances_are_named(tmp_path: Path) -> None:
    stem = "aachen/aachen_000000_000001"
    for folder in ("leftImg8bit", "gtFine"):
        (tmp_path / folder / "train" / "aachen").mkdir(parents=True)
    write_png(tmp_path / f"leftImg8bit/train/{stem}_leftImg8bit.png", np.zeros((1, 2, 3), np.uint8))
    write_png(tmp_path / f"gtFine/train/{stem}_gtFine_labelIds.png", np.array([[33, 0]], np.uint8))
    instances = tmp_path / f"gtFine/train/{stem}_gtFine_instanceIds.png"
    Image.fromarray(np.array([[33000]], np.uint16)).save(instances)
    data = open_data(f"cityscapes:{tmp_path}", "train")
    assert [(p.kind, str(instances) in p.detail) for p in check_split(data).problems] == [("size mismatch", True)]
    with pytest.raises(DataError, match=r"is 1×2 \(height × width\) but its mask .*instanceIds\.png is 1×1"):
        data[0]
    assert isinstance(data, PairedFiles)
    assert data.without_instances()[0].instances is None
    instances.write_bytes(b"")
    assert [(p.kind, p.file) for p in check_split(data).problems] == [("unreadable mask", instances)]


def test_json_holds_the_whole_report(root: Path) -> None:
    file = _unknown_ids(root)
    values = json.loads(json.dumps(_check(root).to_json()))
    assert values == {
        "name": "yard/all",
        "images": 2,
        "masks": 2,
        "sizes": [{"height": 2, "width": 3, "images": 2}],
        "mask_kinds": {"gray": 2},
        "classes": [{"name": "ground", "pixels": 4, "share": 4 / 12}, {"name": "box", "pixels": 3, "share": 3 / 12}],
        "void_pixels": 2,
        "unknown_pixels": 3,
        "problems": [
            {
                "kind": "unknown ids",
                "file": str(file),
                "detail": "holds ids outside label set 'yard': 9 (1 pixels), 200 (2 pixels)",
                "remedy": "map them to a class or to void",
            }
        ],
    }


def test_split_without_ground_truth_has_sizes_only(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    write_png(tmp_path / "test" / "a.png", np.zeros(SHAPE, np.uint8))
    report = check_split(open_data(f"camvid:{tmp_path}", "test"))
    assert (report.images, report.masks, report.mask_pixels, report.problems) == (1, 0, 0, ())
    assert {c.share for c in report.classes} == {0.0}


class _Generated:
    """Samples that come from no file; the second one fails."""

    name = "generated/train"
    labels = CAMVID
    licence = ""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        if index == 1:
            raise DataError("generated sample 1: has no street")
        return Sample(np.zeros(SHAPE, np.uint8), np.array([[0, 0, 3], [255, 255, 255]], np.uint8), Path("generated"))


def test_data_without_files_is_checked_through_its_samples() -> None:
    report = check_split(_Generated())
    assert [(p.kind, p.detail) for p in report.problems] == [("unreadable sample", "generated sample 1: has no street")]
    assert report.sizes == (((2, 3), 2),)
    assert {c.name: c.pixels for c in report.classes if c.pixels} == {"sky": 4, "road": 2}
    assert report.void_pixels == 6


@pytest.mark.parametrize("split", ["train", "val"])
def test_camvid_is_clean(camvid_root: Path, split: str) -> None:
    report = check_split(open_data(f"camvid:{camvid_root}", split))
    assert not report.problems
    assert report.mask_kinds == {"gray": report.images}
    assert report.mask_pixels == report.images * 360 * 480
    if split == "train":
        shares = [16.9, 23.3, 1.0, 31.7, 4.5, 9.7, 1.2, 1.1, 5.9, 0.6, 0.3]
        assert [round(100 * c.share, 1) for c in report.classes] == pytest.approx(shares, abs=0.11)


def _printed(report: DataReport) -> str:
    console = Console(width=160, color_system=None, record=True, file=None)
    with console.capture() as captured:
        console.print(report_table(report))
    return captured.get()


def test_table_shows_shares_and_says_that_nothing_is_wrong(root: Path) -> None:
    text = _printed(_check(root))
    assert "yard/all: 1 images, 1 masks" in text
    assert "sizes: 2×3 (1)" in text
    assert "50.00" in text
    assert "33.33" in text
    assert "16.67" in text
    assert "no problems found" in text


def test_table_shows_names_that_look_like_markup(root: Path) -> None:
    (root / "labels.yaml").write_text(YARD.replace("ground", "'a [/white]'").replace("yard", "'[bold]yard'"))
    text = _printed(_check(root))
    assert "a [/white]" in text
    assert "[bold]yard/all" in text


def test_detail_with_a_semicolon_stays_whole(root: Path) -> None:
    image = _put(root, "b; c")[0]
    image.write_bytes(b"no image")
    (problem,) = _check(root).problems
    assert (problem.file, problem.detail) == (image, "is not a readable image")
    assert problem.remedy.startswith("expected .png, .jpg")


def test_table_shows_five_files_of_a_kind_and_counts_the_rest(root: Path) -> None:
    report = _check(root)
    problems = tuple(Problem("missing mask", Path(f"[{n}].png"), "has no mask", "add it") for n in range(8))
    text = _printed(
        DataReport(**{**{f: getattr(report, f) for f in report.__dataclass_fields__}, "problems": problems})
    )
    assert "8 problems" in text
    assert "[4].png" in text
    assert "[5].png" not in text
    assert "and 3 more files" in text
