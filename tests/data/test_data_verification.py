"""Splits that are read once before training, and what is said when their masks are numbered otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from contextnet.data import Sample, SegmentationData, open_data, verify_split
from contextnet.data.decoding import decode_split
from contextnet.data.relabel import Relabelled, relabelling
from contextnet.errors import DataError, ImageError
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet

TWO = "name: two\nclasses: [{name: bg, ids: [0]}, {name: person, ids: [1]}]\n"
ONE = "name: one\nclasses: [{name: road, ids: [0]}]\nvoid: [255]\n"


def _folder(root: Path, labels: str, masks: list[list[int]]) -> str:
    (root / "labels.yaml").write_text(labels)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, row in enumerate(masks):
        write_png(root / "images" / f"{number}.png", np.zeros((1, len(row), 3), np.uint8))
        write_png(root / "masks" / f"{number}.png", np.array([row], np.uint8))
    return f"folder:{root}"


def _cityscapes(root: Path, mask_ids: str, masks: list[list[int]]) -> str:
    for number, row in enumerate(masks):
        stem = f"ulm/ulm_000000_{number:06d}"
        for path in (f"leftImg8bit/all/{stem}_leftImg8bit.png", f"gtFine/all/{stem}_gtFine_{mask_ids}.png"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            ids = np.array([row], np.uint8)
            write_png(root / path, ids if "gtFine" in path else np.stack([ids] * 3, axis=-1))
    return f"cityscapes:{root}" if mask_ids == "labelIds" else f"cityscapes-trainids:{root}"


def _black_and_white(root: Path) -> str:
    return _folder(root, TWO, [[0, 0, 255], [0, 0, 0]])


def _train_ids(root: Path) -> str:
    # Every one of these is a file id too: road (0) to traffic light (6) are void ids, traffic sign (7) is road.
    return _cityscapes(root, "labelIds", [[0, 0, 0, 1], [2, 5, 7, 8]])


def _right_file_ids(root: Path) -> str:
    return _cityscapes(root, "labelIds", [[7, 7, 0, 0], [21, 26, 0, 0]])


def _right_train_ids(root: Path) -> str:
    return _cityscapes(root, "labelTrainIds", [[0, 0, 0, 1], [2, 5, 7, 8]])


def _one_class(root: Path) -> str:
    return _folder(root, ONE, [[0, 0, 255], [0, 0, 0]])


def _as_is(data: SegmentationData) -> SegmentationData:
    return data


def _in_other_classes(data: SegmentationData) -> SegmentationData:
    """Every class under a new name, in reverse order."""
    classes = tuple(replace(c, name=f"new {c.name}") for c in reversed(data.labels.classes))
    names = {c.name: f"new {c.name}" for c in data.labels.classes}
    return Relabelled(data, relabelling(data.labels, LabelSet("new", classes, data.labels.void_ids), names))


def _right_binary(root: Path) -> str:
    return _folder(root, TWO, [[0, 0, 255], [0, 0, 1]])


@pytest.mark.parametrize("bring", [_as_is, _in_other_classes])
@pytest.mark.parametrize("use", [decode_split, verify_split])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            _black_and_white,
            r"masks/0\.png: only 0 and 255 occur, .* \(judged over the whole split.*; write the class id",
        ),
        (_train_ids, r"000000_gtFine_labelIds\.png: these look like train ids where file ids .*'cityscapes-trainids'"),
        (_right_file_ids, None),
        (_right_train_ids, None),
        (_one_class, None),
        (_right_binary, None),
    ],
)
def test_wrong_numbering_is_refused_by_training_and_by_validation(
    tmp_path: Path,
    make: Callable[[Path], str],
    use: Callable[..., object],
    bring: Callable[[SegmentationData], SegmentationData],
    error: str | None,
) -> None:
    data = bring(open_data(make(tmp_path), "all"))
    if error is None:
        use(data)
        return
    with pytest.raises(DataError, match=error):
        use(data)


def sample(index: int) -> Sample:
    label = np.array([[0, 3, 255]], np.uint8)
    return Sample(np.zeros((1, 3, 3), np.uint8), label, Path(f"{index}.png"), instances=np.zeros((1, 3), np.int32))


@dataclass
class Made:
    """A split of five samples that a function makes; keeps the indices that were read."""

    read: Callable[[int], Sample] = sample
    name: str = "made/val"
    labels: LabelSet = CAMVID
    licence: str = ""
    count: int = 5
    indices: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.indices.append(index)
        return self.read(index)


def test_every_sample_is_read_once() -> None:
    heard: list[tuple[int, int]] = []
    data = Made()
    verify_split(data, lambda done, total: heard.append((done, total)))
    assert sorted(data.indices) == [0, 1, 2, 3, 4]
    assert heard == [(n, 5) for n in range(1, 6)]


def _raise(error: Exception) -> Sample:
    raise error


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda i: sample(i) if i < 2 else _raise(ImageError(f"{i}.png: is damaged")), r"^2\.png: is damaged$"),
        (lambda i: sample(i) if i < 3 else replace(sample(i), label=None), r"^3\.png: has no ground truth; 'made/val'"),
        (
            lambda i: sample(i) if i != 4 else replace(sample(i), instances=None),
            r"^4\.png: has no instance mask while 0\.png has one; give one to every image",
        ),
        (
            lambda i: sample(i) if i == 2 else replace(sample(i), instances=None),
            r"^2\.png: has an instance mask while 0\.png has none; give one to every image",
        ),
        (
            lambda i: replace(sample(i), label=np.full((1, 3), 255, np.uint8)),
            "^'made/val' holds void pixels only; check its masks",
        ),
    ],
)
def test_what_an_evaluation_would_fail_by_is_named(read: Callable[[int], Sample], error: str) -> None:
    with pytest.raises(DataError, match=error):
        verify_split(Made(read))


def test_empty_split_is_named() -> None:
    with pytest.raises(DataError, match=r"^'made/val' holds no sample; check the split"):
        verify_split(Made(count=0))


def test_faults_of_the_program_pass_through() -> None:
    with pytest.raises(KeyError, match="a bug"):
        verify_split(Made(lambda i: _raise(KeyError("a bug"))))


def test_void_alone_is_named_also_where_it_is_one_pixel_short_of_it() -> None:
    def read(index: int) -> Sample:
        label = np.full((1, 3), 255, np.uint8)
        label[0, 0] = 10 if index == 4 else 255
        return replace(sample(index), label=label)

    verify_split(Made(read))
    with pytest.raises(DataError, match="void pixels only"):
        verify_split(Made(read, count=4))


def test_classes_that_all_became_void_are_named_as_such() -> None:
    # The samples hold class 0, sky, and class 3, road.
    road_alone = LabelSet("road alone", (CAMVID.classes[3],), (11,))
    tree_alone = LabelSet("tree alone", (CAMVID.classes[5],), (11,))
    verify_split(Relabelled(Made(), relabelling(CAMVID, road_alone, {})))
    with pytest.raises(
        DataError,
        match=r"^'made/val' holds no pixel of a class that becomes one of label set 'tree alone'; "
        r"say under 'classes' what its classes become, or check its masks",
    ):
        verify_split(Relabelled(Made(), relabelling(CAMVID, tree_alone, {})))


def test_mask_ids_of_a_sample_are_those_of_its_file(tmp_path: Path) -> None:
    data = open_data(_right_file_ids(tmp_path), "all")
    ids = data[1].mask_ids
    assert ids is not None
    assert ids.tolist() == [[21, 26, 0, 0]]
    assert data.labels is CITYSCAPES
