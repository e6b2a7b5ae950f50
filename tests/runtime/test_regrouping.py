from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES, IGNORE_INDEX, LabelClass, LabelSet
from contextnet.runtime.regrouping import regroup

PLANNING = {"drivable": ["road"], "vulnerable": ["rider", "person"], "vehicle": ["car", "truck", "bus"]}


def test_groups_alone() -> None:
    regrouping = regroup(CITYSCAPES, PLANNING, keep_others=False)
    assert regrouping.source is CITYSCAPES
    assert regrouping.target == LabelSet(
        "cityscapes regrouped",
        (
            LabelClass("drivable", (128, 64, 128), "flat", (7,)),
            LabelClass("vulnerable", (255, 0, 0), "human", (25, 24), has_instances=True),
            LabelClass("vehicle", (0, 0, 142), "vehicle", (26, 27, 28), has_instances=True),
        ),
        # Cityscapes' own void, then every class that went.
        (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 31, 32, 33),
    )
    labels = np.array([[0, 1, 11, 12], [13, 15, 255, 18]], np.uint8)
    grouped = regrouping.apply(labels)
    assert grouped.dtype == np.uint8
    assert grouped.tolist() == [[0, 255, 1, 1], [2, 2, 255, 255]]
    assert regrouping.target.decode(grouped).tolist() == [[7, 0, 25, 25], [26, 26, 0, 0]]


def test_others_follow_in_their_order() -> None:
    regrouping = regroup(CAMVID, {"built": ["fence", "building"]}, keep_others=True)
    assert regrouping.target.names == (
        *("built", "sky", "pole", "road", "pavement", "tree", "sign", "car", "pedestrian", "bicyclist"),
    )
    assert regrouping.target.classes[0] == LabelClass("built", (64, 64, 128), "construction", (7, 1))
    assert regrouping.target.classes[1:] == tuple(c for c in CAMVID.classes if c.name not in {"building", "fence"})
    assert regrouping.target.void_ids == (11, 255)
    assert regrouping.apply(np.arange(12, dtype=np.uint8)).tolist() == [1, 0, 2, 3, 4, 5, 6, 0, 7, 8, 9, 255]


@pytest.mark.parametrize("labels", [CITYSCAPES, CAMVID], ids=["cityscapes", "camvid"])
@pytest.mark.parametrize("keep_others", [False, True])
def test_masks_read_as_the_new_classes_are_labels_regrouped(labels: LabelSet, keep_others: bool) -> None:
    groups = {"flat": [n for n in ("road", "sidewalk", "pavement") if n in labels.names], "car": ["car", "building"]}
    regrouping = regroup(labels, groups, keep_others=keep_others)
    known = np.array(sorted([*labels.void_ids, *(i for c in labels.classes for i in c.file_ids)]), np.uint8)
    grouped = regrouping.apply(labels.encode(known))
    np.testing.assert_array_equal(regrouping.target.encode(known), grouped)
    np.testing.assert_array_equal(regrouping.target.encode(regrouping.target.decode(grouped)), grouped)
    assert LabelSet.from_json(regrouping.target.to_json()) == regrouping.target


def test_what_the_members_do_not_share_is_the_groups_own() -> None:
    merged = regroup(CITYSCAPES, {"moving": ["person", "car"], "low": ["road", "wall"]}, keep_others=True)
    moving, low = merged.target.classes[:2]
    assert (moving.category, moving.has_instances) == ("moving", True)
    assert (low.category, low.has_instances) == ("low", False)
    mixed = regroup(CITYSCAPES, {"mixed": ["person", "pole"]}, keep_others=False).target.classes[0]
    assert (mixed.category, mixed.has_instances) == ("mixed", False)


@pytest.mark.parametrize(
    ("void_ids", "ids", "keep_others", "expected"),
    [
        pytest.param((), (1, 2), False, (255, 2), id="void needs an id of its own"),
        pytest.param((), (1, 255), False, (255,), id="255 is a class's"),
        pytest.param((), (255, 2), False, (2,), id="255 is the group's"),
        pytest.param((), (1, 2), True, (), id="nothing goes"),
        pytest.param((9, 255), (1, 2), False, (9, 255, 2), id="void has ids"),
    ],
)
def test_void_ids(
    void_ids: tuple[int, ...], ids: tuple[int, int], keep_others: bool, expected: tuple[int, ...]
) -> None:
    classes = tuple(LabelClass(name, (0, 0, i), name, (i,)) for name, i in zip("ab", ids, strict=True))
    grouped = regroup(LabelSet("own", classes, void_ids), {"A": ["a"]}, keep_others=keep_others)
    assert grouped.target.void_ids == expected


def test_colours_given() -> None:
    target = regroup(CITYSCAPES, PLANNING, keep_others=True, colors={"vulnerable": (1, 2, 3), "sky": (4, 5, 6)}).target
    assert {c.name: c.color for c in target.classes if c.name in {"drivable", "vulnerable", "sky"}} == {
        "drivable": (128, 64, 128),
        "vulnerable": (1, 2, 3),
        "sky": (4, 5, 6),
    }


def test_ids_that_the_label_set_has_not_become_void() -> None:
    regrouping = regroup(CAMVID, {"all": list(CAMVID.names)}, keep_others=False)
    labels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    expected = np.where(labels < 11, 0, IGNORE_INDEX)
    np.testing.assert_array_equal(regrouping.apply(labels[:, :, ::2]), expected[:, :, ::2])


@pytest.mark.parametrize(
    ("groups", "keep_others", "message"),
    [
        ({"soft": ["gras"]}, True, "group 'soft': label set 'camvid' has no class 'gras'; the nearest is '"),
        ({"a": ["road"], "b": ["car", "road"]}, True, "group 'b' lists class 'road' and group 'a' lists it too"),
        ({"a": ["road", "road"]}, True, "group 'a' lists class 'road' twice; a class goes into one group, once"),
        ({"a": []}, True, "group 'a' lists no class; name at least one"),
        ({"a": "road"}, True, "group 'a' is the text 'road'; give a list of class names"),
        ({"car": ["road"]}, True, "group 'car' has the name of a class that stays; list that class or rename it"),
        ({}, False, "label set 'camvid regrouped' has 0 classes"),
    ],
)
def test_refuses_by_group(groups: Mapping[str, Sequence[str]], keep_others: bool, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        regroup(CAMVID, groups, keep_others=keep_others)


def test_refuses_a_colour_for_a_class_that_went() -> None:
    with pytest.raises(DataError, match="'cityscapes regrouped' has no class 'person'; the nearest is 'vulnerable'"):
        regroup(CITYSCAPES, PLANNING, keep_others=False, colors={"person": (1, 2, 3)})
