"""Label sets: Cityscapes against its own scripts, mappings and their inverses, JSON."""

from __future__ import annotations

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as cityscapes_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES, IGNORE_INDEX, LabelClass, LabelSet

BUILT_IN = {"cityscapes": CITYSCAPES, "camvid": CAMVID}
EVALUATED = sorted((row for row in cityscapes_rows if 0 <= row.trainId < 255), key=lambda row: row.trainId)


def test_cityscapes_classes_are_those_of_cityscapesscripts() -> None:
    assert [(c.name, c.file_ids, c.color, c.category, c.has_instances) for c in CITYSCAPES.classes] == [
        (row.name, (row.id,), row.color, row.category, row.hasInstances) for row in EVALUATED
    ]


def test_cityscapes_void_ids_are_those_that_cityscapesscripts_ignores_in_evaluation() -> None:
    ignored = {row.id % 256 for row in cityscapes_rows if row.ignoreInEval}
    assert set(CITYSCAPES.void_ids) == ignored


def test_cityscapes_encodes_every_id_as_cityscapesscripts_does() -> None:
    ids = np.array([row.id % 256 for row in cityscapes_rows], np.uint8)
    train_ids = [row.trainId % 256 for row in cityscapes_rows]
    assert CITYSCAPES.encode(ids).tolist() == train_ids


def test_cityscapes_categories_stand_in_order_of_first_appearance() -> None:
    assert CITYSCAPES.categories == ("flat", "construction", "object", "nature", "sky", "human", "vehicle")


@pytest.mark.parametrize("label_set", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_decode_inverts_encode_for_every_class_and_void(label_set: LabelSet) -> None:
    train_ids = np.array([*range(label_set.num_classes), IGNORE_INDEX], np.uint8)
    np.testing.assert_array_equal(label_set.encode(label_set.decode(train_ids)), train_ids)


@pytest.mark.parametrize("label_set", BUILT_IN.values(), ids=BUILT_IN.keys())
def test_json_round_trip(label_set: LabelSet) -> None:
    assert LabelSet.from_json(label_set.to_json()) == label_set


def test_camvid_maps_eleven_to_void() -> None:
    mask = np.array([[0, 10], [11, 255]], np.uint8)
    assert CAMVID.encode(mask).tolist() == [[0, 10], [255, 255]]


def test_unknown_ids_are_counted_and_named() -> None:
    mask = np.array([[0, 12, 12], [40, 1, 12]], np.uint8)
    assert CAMVID.unknown_ids(mask) == {12: 3, 40: 1}
    with pytest.raises(DataError, match=r"'camvid': 12 \(3 pixels\), 40 \(1 pixels\)"):
        CAMVID.encode(mask)


def test_colorize_paints_the_class_colour_and_void_black() -> None:
    painted = CITYSCAPES.colorize(np.array([[0, 13, 255]], np.uint8))
    assert painted.tolist() == [[[128, 64, 128], [0, 0, 142], [0, 0, 0]]]
    assert painted.dtype == np.uint8


def test_several_file_ids_mean_one_class_and_the_first_is_written_back() -> None:
    label_set = LabelSet("two", (LabelClass("a", (1, 2, 3), "x", (5, 9)), LabelClass("b", (4, 5, 6), "x", (2,))), (0,))
    assert label_set.encode(np.array([5, 9, 2, 0], np.uint8)).tolist() == [0, 0, 1, 255]
    assert label_set.decode(np.array([0, 1, 255], np.uint8)).tolist() == [5, 2, 0]


def test_colour_out_of_range_is_refused_however_the_label_set_is_made() -> None:
    with pytest.raises(DataError, match=r"label set 'x': class 'a' has the colour \[300, 0, 0\]"):
        LabelSet("x", (LabelClass("a", (300, 0, 0), "a", (0,)),))


@given(st.permutations(range(256)), st.integers(1, 254))
@settings(max_examples=25, derandomize=True, deadline=None)
def test_any_label_set_round_trips(ids: list[int], num_classes: int) -> None:
    classes = tuple(LabelClass(f"c{i}", (i, 0, 0), "all", (file_id,)) for i, file_id in enumerate(ids[:num_classes]))
    label_set = LabelSet("any", classes, tuple(ids[num_classes:]))
    assert LabelSet.from_json(label_set.to_json()) == label_set
    file_ids = np.arange(256, dtype=np.uint8)
    train_ids = label_set.encode(file_ids)
    assert train_ids[ids[:num_classes]].tolist() == list(range(num_classes))
    assert np.all(train_ids[ids[num_classes:]] == IGNORE_INDEX)
    np.testing.assert_array_equal(label_set.decode(train_ids)[ids[:num_classes]], ids[:num_classes])
