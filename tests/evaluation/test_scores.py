from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from contextnet.errors import DataError
from contextnet.evaluation import ConfusionMatrix, InstanceStatistics, Scores, compute_scores, scores_table
from contextnet.labels import LabelClass, LabelSet

TOY = LabelSet(
    "toy",
    (
        LabelClass("road", (1, 1, 1), "flat", (7,)),
        LabelClass("car", (2, 2, 2), "vehicle", (26,), has_instances=True),
        LabelClass("bus", (3, 3, 3), "vehicle", (28,), has_instances=True),
    ),
    (0, 255),
)

# Road of 8 pixels, car A of 2, car B of 6, a group of cars of 2, a bus of 4, void of 2.
INSTANCES = [7] * 8 + [26001] * 2 + [26002] * 6 + [26] * 2 + [28001] * 4 + [0] * 2
LABEL = [0] * 8 + [1] * 10 + [2] * 4 + [255] * 2
PREDICTED = [0] * 7 + [1] + [1, 1] + [1, 1, 1, 2, 0, 0] + [0, 0] + [2, 2, 2, 1] + [0, 1]


def toy_scores(with_instances: bool = True) -> Scores:
    confusion, instances = ConfusionMatrix(3), InstanceStatistics(TOY)
    confusion.update(np.array([LABEL], np.uint8), np.array([PREDICTED], np.uint8))
    instances.update(np.array([INSTANCES], np.int32), np.array([PREDICTED], np.uint8))
    return compute_scores(confusion, TOY, instances if with_instances else None)


def scores_of(counts: list[list[int]]) -> Scores:
    confusion = ConfusionMatrix(3)
    confusion.counts += np.array(counts)
    return compute_scores(confusion, TOY)


def test_every_score_worked_out_by_hand() -> None:
    scores = toy_scores()
    assert scores.confusion.tolist() == [[7, 1, 0, 0], [4, 5, 1, 0], [0, 1, 3, 0]]
    assert scores.class_iou == pytest.approx([7 / 12, 5 / 12, 3 / 5])
    assert scores.miou == pytest.approx(1.6 / 3)
    assert scores.category_names == ("flat", "vehicle")
    assert scores.category_iou == pytest.approx([7 / 12, 10 / 15])
    assert scores.category_miou == pytest.approx(0.625)
    assert scores.pixel_accuracy == pytest.approx(15 / 22)
    assert scores.pixels == (8, 10, 4)
    # Cars measure 4 on average: A brings 4 of 4, B 2 of 4, and 2 pixels are false: 6 / (8 + 2). The bus: 3 / (4 + 1).
    assert scores.class_iiou == pytest.approx([math.nan, 0.6, 0.6], nan_ok=True)
    # As vehicles, B brings 4 · 4/6 and the bus all of its 4; 1 pixel of road is false: (4 + 8/3 + 4) / (12 + 1).
    assert scores.category_iiou == pytest.approx([math.nan, 32 / 39], nan_ok=True)
    assert (scores.miiou, scores.category_miiou) == pytest.approx((0.6, 32 / 39))


def test_without_instances_only_iiou_is_undefined() -> None:
    scores = toy_scores(with_instances=False)
    assert scores.class_iou == toy_scores().class_iou
    assert all(math.isnan(value) for value in (*scores.class_iiou, *scores.category_iiou))
    assert math.isnan(scores.miiou)
    assert math.isnan(scores.category_miiou)


@pytest.mark.parametrize(
    ("counts", "class_iou", "miou"),
    [
        pytest.param([[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0]], [1, 1, math.nan], 1, id="absent from both"),
        pytest.param([[3, 0, 1, 0], [0, 4, 0, 0], [0, 0, 0, 0]], [0.75, 1, 0], 1.75 / 3, id="only predicted"),
        pytest.param([[3, 0, 0, 1], [0, 4, 0, 0], [0, 0, 0, 2]], [0.75, 1, 0], 1.75 / 3, id="void predicted"),
    ],
)
def test_absent_classes(counts: list[list[int]], class_iou: list[float], miou: float) -> None:
    scores = scores_of(counts)
    assert scores.class_iou == pytest.approx(class_iou, nan_ok=True)
    assert scores.miou == pytest.approx(miou)


def test_scores_keep_their_own_counts() -> None:
    confusion = ConfusionMatrix(3)
    confusion.counts[0, 0] = 5
    scores = compute_scores(confusion, TOY)
    confusion.counts[0, 1] = 5
    assert scores.pixel_accuracy == 1
    with pytest.raises(ValueError, match="read-only"):
        scores.confusion[0, 0] = 1


def test_no_labelled_pixel_is_refused() -> None:
    with pytest.raises(DataError, match="no labelled pixel"):
        scores_of([[0] * 4] * 3)


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="4 classes counted; label set 'toy' has 3"):
        compute_scores(ConfusionMatrix(4), TOY)


@pytest.mark.parametrize("with_instances", [True, False])
def test_json_round_trip(with_instances: bool) -> None:
    scores = toy_scores(with_instances)
    text = json.dumps(scores.to_json(), allow_nan=False)
    again = Scores.from_json(json.loads(text))
    for name in ("class_names", "category_names", "pixels", "miou", "pixel_accuracy"):
        assert getattr(again, name) == getattr(scores, name)
    for name in ("class_iou", "class_iiou", "category_iou", "category_iiou"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))
    np.testing.assert_array_equal(again.confusion, scores.confusion)


def test_json_keys() -> None:
    values = toy_scores().to_json()
    assert values["classes"]["road"] == {"iou": pytest.approx(7 / 12), "iiou": None, "pixels": 8}
    assert values["categories"]["vehicle"] == {"iou": pytest.approx(10 / 15), "iiou": pytest.approx(32 / 39)}
    assert [values[key] for key in ("miou", "category_miou", "pixel_accuracy", "miiou", "category_miiou")] == (
        pytest.approx([1.6 / 3, 0.625, 15 / 22, 0.6, 32 / 39])
    )
    assert values["confusion"][1] == [4, 5, 1, 0]


def change(path: list[Any], value: Any) -> dict[str, Any]:
    document = toy_scores().to_json()
    target = document
    for key in path[:-1]:
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param({}, "scores.json: classes: field required", id="empty"),
        pytest.param(change(["confusion"], None), "scores.json: confusion: field required", id="no matrix"),
        pytest.param(change(["classes", "car", "iou"], 1.5), "classes.car.iou: .* equal to 1", id="IoU > 1"),
        pytest.param(change(["classes", "car", "pixels"], -1), "classes.car.pixels: .* equal to 0", id="negative"),
        pytest.param(change(["classes", "car", "iuo"], 1), "classes.car.iuo: extra inputs", id="unknown key"),
        pytest.param(change(["confusion", 0], [1, 2]), "scores.json: confusion: the rows differ", id="ragged"),
        pytest.param(change(["confusion", 0], None), r"3 classes has shape \(2, 4\)", id="a row missing"),
        pytest.param(change(["confusion"], [[0] * 4] * 3), "scores.json: no labelled pixel", id="nothing counted"),
        pytest.param(change(["confusion", 0, 0], 8), "the pixels differ from the rows", id="a count changed"),
    ],
)
def test_json_with_faults(document: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Scores.from_json(document, source="scores.json")


def test_json_with_sorted_keys_does_not_swap_classes() -> None:
    document = json.loads(json.dumps(toy_scores().to_json(), sort_keys=True))
    with pytest.raises(DataError, match="the order of the classes"):
        Scores.from_json(document)


@pytest.mark.parametrize(
    ("with_instances", "expected"),
    [
        (
            True,
            [
                ["class", "IoU %", "iIoU %", "pixels %"],
                ["road", "58.3", "–", "36.36"],
                ["car", "41.7", "60.0", "45.45"],
                ["bus", "60.0", "60.0", "18.18"],
                ["mean of classes", "53.3", "60.0", ""],
                ["mean of categories", "62.5", "82.1", ""],
            ],
        ),
        (
            False,
            [
                ["class", "IoU %", "pixels %"],
                ["road", "58.3", "36.36"],
                ["car", "41.7", "45.45"],
                ["bus", "60.0", "18.18"],
                ["mean of classes", "53.3", ""],
                ["mean of categories", "62.5", ""],
            ],
        ),
    ],
)
def test_table(with_instances: bool, expected: list[list[str]]) -> None:
    table = scores_table(toy_scores(with_instances), "toy/val")
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    assert [list(row) for row in zip(*columns, strict=True)] == expected
    assert (str(table.title), table.caption) == ("toy/val", "pixel accuracy 68.2 %")
