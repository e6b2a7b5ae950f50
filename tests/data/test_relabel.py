"""Samples brought to another label set: which class becomes which, what is refused, and what stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.data.cityscapes import open_cityscapes
from contextnet.data.pairs import PairedFiles
from contextnet.data.relabel import Relabelled, paired_files, relabelling, without_instances
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError, ImageError
from contextnet.evaluation.evaluator import evaluate
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES, LabelClass, LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.models.predictor import NetworkPredictor
from contextnet.spec import variant


def label_set(name: str, *names: str) -> LabelSet:
    return LabelSet(name, tuple(LabelClass(n, (0, 0, 0), n, (100 + i,)) for i, n in enumerate(names)))


STREET = label_set("street", "road", "tree", "void")
PETS = label_set("pets", "Cat", "cat", "dog")


@pytest.mark.parametrize(
    ("labels", "target", "classes", "train_ids"),
    [
        pytest.param(
            CAMVID,
            CITYSCAPES,
            {},
            # sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist
            (10, 2, 5, 0, 255, 255, 255, 4, 13, 255, 255),
            id="camvid to cityscapes: six of eleven have the same name",
        ),
        pytest.param(
            CAMVID,
            CITYSCAPES,
            {
                "pavement": "sidewalk",
                "tree": "vegetation",
                "sign": "traffic sign",
                "pedestrian": "person",
                "bicyclist": "rider",
            },
            (10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12),
            id="camvid to cityscapes: the other five by hand",
        ),
        pytest.param(
            label_set("loud", "ROAD", "Tree", "hut"), CAMVID, {}, (3, 5, 255), id="the same name in whatever case"
        ),
        pytest.param(
            CAMVID, label_set("one", "Road"), {"tree": "Road"}, (*[255] * 3, 0, 255, 0, *[255] * 5), id="many"
        ),
        pytest.param(
            label_set("a", "road", "car"),
            label_set("b", "car", "road"),
            {"road": "car", "car": "road"},
            (0, 1),
            id="what is said goes before the name",
        ),
        pytest.param(
            label_set("a", "road", "car"), label_set("b", "car", "road"), {"car": "void"}, (1, 255), id="void by hand"
        ),
        pytest.param(label_set("a", "road", "mud"), STREET, {"mud": "void"}, (0, 2), id="a class of the name void"),
        pytest.param(label_set("a", "CAT", "dog"), PETS, {}, (255, 2), id="names that differ in case alone"),
        pytest.param(label_set("a", "cat", "Cat"), PETS, {}, (1, 0), id="the exact name first"),
        pytest.param(label_set("a", "CAT"), PETS, {"CAT": "Cat"}, (0,), id="one of them by hand"),
        pytest.param(CAMVID, CAMVID, {}, tuple(range(11)), id="nothing changes"),
    ],
)
def test_what_becomes_of_each_class(
    labels: LabelSet, target: LabelSet, classes: dict[str, str], train_ids: tuple[int, ...]
) -> None:
    found = relabelling(labels, target, classes)
    assert found.train_ids == train_ids
    assert found.table.dtype == np.uint8
    others = 255 - len(train_ids)
    assert found.table.tolist() == [*train_ids, *[254] * others, 255]


@pytest.mark.parametrize(
    ("labels", "target", "classes", "error"),
    [
        (
            CAMVID,
            CITYSCAPES,
            {"Tre": "vegetation"},
            r"^'data\.classes' names 'Tre', which is no class of label set 'camvid'; the nearest is 'tree'; known: sky",
        ),
        (
            CAMVID,
            CITYSCAPES,
            {"tree": "VEGETATIN"},
            r"^'data\.classes' turns 'tree' into 'VEGETATIN', which is no class of label set 'cityscapes'; "
            r"the nearest is 'vegetation'; known: road, .*, bicycle, void$",
        ),
        (CAMVID, CITYSCAPES, {"tree": "voit"}, "the nearest is 'void'"),
        (CAMVID, CITYSCAPES, {"void": "road"}, "names 'void', which is no class of label set 'camvid'"),
        (
            label_set("yard", "lawn", "shed"),
            CAMVID,
            {"lawn": "void"},
            r"^'data\.classes': every class of label set 'yard' \(lawn, shed\) becomes void; say there which become a "
            "class of 'camvid': sky, building",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(
    labels: LabelSet, target: LabelSet, classes: dict[str, str], error: str
) -> None:
    with pytest.raises(DataError, match=error):
        relabelling(labels, target, classes, "data.classes")


@pytest.mark.parametrize(
    ("labels", "target", "classes", "lines"),
    [
        (
            CAMVID,
            CITYSCAPES,
            {"bicyclist": "person", "pedestrian": "person", "tree": "vegetation", "sky": "void"},
            (
                "building, pole, road, fence, car → the same name",
                "tree → vegetation",
                "pedestrian, bicyclist → person",
                "sky, pavement, sign → void",
            ),
        ),
        (label_set("a", "ROAD"), CAMVID, {}, ("ROAD → the same name",)),
        (label_set("a", "way"), CAMVID, {"way": "road"}, ("way → road",)),
    ],
)
def test_lines_say_what_became_of_the_classes(
    labels: LabelSet, target: LabelSet, classes: dict[str, str], lines: tuple[str, ...]
) -> None:
    assert relabelling(labels, target, classes).lines() == lines


@dataclass(frozen=True)
class Held:
    """One sample in memory."""

    sample: Sample
    labels: LabelSet = CAMVID
    name: str = "held/train"
    licence: str = "by permission"

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return self.sample


def held(row: list[int] | None) -> Held:
    width = 4 if row is None else len(row)
    generator = np.random.default_rng(3)
    return Held(
        Sample(
            generator.integers(0, 256, (1, width, 3), np.uint8),
            None if row is None else np.array([row], np.uint8),
            Path("a.png"),
            Path("a_mask.png"),
            np.array([[24001] * width], np.int32),
            np.array([[9] * width], np.uint8),
        )
    )


def test_samples_are_brought_to_the_target() -> None:
    inner = held([0, 3, 5, 255, 8, 10])
    data = Relabelled(inner, relabelling(CAMVID, CITYSCAPES, {"tree": "vegetation"}))
    assert (data.inner, data.name, data.licence, data.labels) == (inner, "held/train", "by permission", CITYSCAPES)
    assert len(data) == 1
    sample = data[0]
    assert sample.label is not None
    assert sample.label.dtype == np.uint8
    assert sample.label.tolist() == [[10, 0, 8, 255, 13, 255]]
    assert sample.image is inner.sample.image
    assert sample.mask_ids is inner.sample.mask_ids
    assert (sample.image_path, sample.label_path) == (Path("a.png"), Path("a_mask.png"))
    assert inner.sample.label is not None
    assert inner.sample.label.tolist() == [[0, 3, 5, 255, 8, 10]]


@pytest.mark.parametrize(
    ("target", "classes", "kept"),
    [
        (CAMVID, {}, True),
        (CAMVID, {"bicyclist": "pedestrian"}, False),
        (LabelSet("camvid", CAMVID.classes, (11,)), {}, False),
        (CITYSCAPES, {}, False),
    ],
)
def test_instances_stay_where_nothing_changes(target: LabelSet, classes: dict[str, str], kept: bool) -> None:
    change = relabelling(CAMVID, target, classes)
    assert change.changes_nothing is kept
    assert (Relabelled(held([0]), change)[0].instances is not None) is kept


def test_a_sample_without_ground_truth_stays_without() -> None:
    assert Relabelled(held(None), relabelling(CAMVID, CITYSCAPES, {}))[0].label is None


def test_a_train_id_that_is_no_class_is_named() -> None:
    data = Relabelled(held([0, 12, 255, 11]), relabelling(CAMVID, CITYSCAPES, {}))
    with pytest.raises(
        DataError,
        match=r"^a_mask\.png: holds the train ids \[11, 12\], but label set 'camvid' has 11 classes; give each pixel",
    ):
        data[0]


@pytest.fixture
def cityscapes(tmp_path: Path) -> PairedFiles:
    """One pair whose instance mask is damaged."""
    stem = "ulm/ulm_000000_000001"
    for path, ids in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds"), ("gtFine", "gtFine_instanceIds")):
        file = tmp_path / path / "train" / f"{stem}_{ids}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        row = np.array([[7, 21, 26, 0]], np.uint8)
        write_png(file, np.stack([row] * 3, axis=-1) if path == "leftImg8bit" else row)
        if "instanceIds" in ids:
            file.write_bytes(b"damaged")
    return open_cityscapes(tmp_path, "train")


def test_instance_masks_can_be_left_unread(cityscapes: PairedFiles) -> None:
    change = relabelling(CITYSCAPES, CAMVID, {"vegetation": "tree"})
    data = Relabelled(cityscapes, change)
    with pytest.raises(ImageError, match="instanceIds"):
        data[0]
    twice = Relabelled(data, relabelling(CAMVID, label_set("two", "Tree", "Car"), {}))
    sources: list[tuple[SegmentationData, list[int]]] = [
        (cityscapes, [0, 8, 13, 255]),
        (data, [3, 5, 8, 255]),
        (twice, [255, 0, 1, 255]),
    ]
    for source, row in sources:
        label = without_instances(source)[0].label
        assert label is not None
        assert label.tolist() == [row]
    in_memory = held([0])
    assert without_instances(in_memory) is in_memory


def test_files_are_seen_through_the_relabelling(cityscapes: PairedFiles) -> None:
    once = Relabelled(cityscapes, relabelling(CITYSCAPES, CAMVID, {}))
    twice = Relabelled(once, relabelling(CAMVID, CITYSCAPES, {}))
    in_memory = Relabelled(held([0]), relabelling(CAMVID, CITYSCAPES, {}))
    assert paired_files(cityscapes) is paired_files(once) is paired_files(twice) is cityscapes
    assert paired_files(in_memory) is paired_files(held([0])) is None


def test_a_network_is_scored_in_the_classes_of_the_target() -> None:
    torch.manual_seed(0)
    target = label_set("coarse", "flat", "nature", "CAR")
    predictor = NetworkPredictor(ContextNet(variant("cn14-160", 3, width=0.25)))
    row = [3, 4, 5, 8, 0, 255, 9, 3] * 4
    data = Relabelled(held(row), relabelling(CAMVID, target, {"road": "flat", "pavement": "flat", "tree": "nature"}))
    truth = [0, 0, 1, 2, 255, 255, 255, 0] * 4
    expected = np.zeros((3, 4), np.int64)
    for wanted, found in zip(truth, predictor.labels(data[0].image)[0].tolist(), strict=True):
        if wanted != 255:
            expected[wanted, found] += 1
    scores = evaluate(predictor, data).scores
    assert scores.confusion.tolist() == expected.tolist()
    assert expected.sum(axis=1).tolist() == [12, 4, 4]
    assert scores.class_names == ("flat", "nature", "CAR")
