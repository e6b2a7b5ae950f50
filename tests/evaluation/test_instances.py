from __future__ import annotations

import math

import numpy as np
import pytest

from contextnet.errors import DataError
from contextnet.evaluation import InstanceStatistics
from contextnet.labels import CITYSCAPES, LabelClass, LabelSet

# Two file ids mean "car", and the category "human" holds a class without objects.
MERGED = LabelSet(
    "merged",
    (
        LabelClass("car", (2, 2, 2), "vehicle", (26, 27), has_instances=True),
        LabelClass("person", (3, 3, 3), "human", (24,), has_instances=True),
        LabelClass("crowd", (4, 4, 4), "human", (5,)),
    ),
    (0, 29, 255),
)


def statistics_of(ids: list[int], predicted: list[int], labels: LabelSet = MERGED) -> InstanceStatistics:
    statistics = InstanceStatistics(labels)
    statistics.update(np.array([ids], np.int32), np.array([predicted], np.uint8))
    return statistics


@pytest.mark.parametrize(
    ("ids", "predicted", "objects", "averages_px", "true_positives_px", "false_negatives_px"),
    [
        pytest.param([26001] * 4, [0, 0, 0, 1], [1, 0], [4, 0], [3, 0], [1, 0], id="one object"),
        pytest.param([26001, 26001, 27001], [0, 1, 0], [2, 0], [1.5, 0], [2.25, 0], [0.75, 0], id="two file ids"),
        pytest.param([24001, 24000, 24], [1, 1, 0], [0, 2], [0, 1], [0, 2], [0, 0], id="number 0 counts, group not"),
        pytest.param([5001, 29001, 0, 255, 1000], [2, 0, 0, 0, 0], [0, 0], [0, 0], [0, 0], [0, 0], id="not scored"),
        pytest.param([24001, 24001], [255, 1], [0, 1], [0, 2], [0, 1], [0, 1], id="void predicted"),
        pytest.param([], [], [0, 0], [0, 0], [0, 0], [0, 0], id="no pixel"),
    ],
)
def test_class_hits(
    ids: list[int],
    predicted: list[int],
    objects: list[int],
    averages_px: list[float],
    true_positives_px: list[float],
    false_negatives_px: list[float],
) -> None:
    statistics = statistics_of(ids, predicted)
    hits = statistics.class_hits()
    assert statistics.objects.tolist() == [*objects, 0]
    assert statistics.average_sizes_px().tolist() == [*averages_px, 0]
    assert hits.true_positives_px.tolist() == pytest.approx([*true_positives_px, math.nan], nan_ok=True)
    assert hits.false_negatives_px.tolist() == pytest.approx([*false_negatives_px, math.nan], nan_ok=True)


def test_a_category_with_a_class_without_objects_is_not_scored() -> None:
    hits = statistics_of([26001, 26001, 24001], [0, 1, 1]).category_hits()
    assert hits.true_positives_px.tolist() == pytest.approx([1, math.nan], nan_ok=True)
    assert hits.false_negatives_px.tolist() == pytest.approx([1, math.nan], nan_ok=True)


def test_cityscapes_takes_its_constants_for_averages() -> None:
    statistics = statistics_of([26001] * 2, [13, 0], CITYSCAPES)
    assert statistics.class_hits().true_positives_px[13] == pytest.approx(12794.0202738185 / 2)
    assert statistics.class_hits().false_negatives_px[13] == pytest.approx(12794.0202738185 / 2)


def test_measured_averages_equal_a_first_pass_over_the_data() -> None:
    generator = np.random.default_rng(11)
    images = [
        (
            generator.choice([0, 5, 24, 24001, 24002, 26001, 26002, 26003, 27001], (13, 17)).astype(np.int32),
            generator.choice([0, 1, 2, 255], (13, 17)).astype(np.uint8),
        )
        for _ in range(6)
    ]
    sizes: dict[int, list[int]] = {0: [], 1: []}
    for ids, _ in images:
        for number in np.unique(ids[ids > 1000]):
            sizes[1 if number < 25000 else 0].append(int((ids == number).sum()))
    averages = {train_id: sum(found) / len(found) for train_id, found in sizes.items()}
    expected = {0: 0.0, 1: 0.0}
    for ids, predicted in images:
        for number in np.unique(ids[ids > 1000]):
            train_id = 1 if number < 25000 else 0
            mask = ids == number
            expected[train_id] += (predicted[mask] == train_id).sum() * averages[train_id] / mask.sum()

    statistics = InstanceStatistics(MERGED)
    for ids, predicted in images:
        statistics.update(ids, predicted)
    hits = statistics.class_hits()
    assert hits.true_positives_px[:2].tolist() == pytest.approx([expected[0], expected[1]])
    found_or_missed_px = hits.true_positives_px + hits.false_negatives_px
    assert found_or_missed_px[:2].tolist() == pytest.approx([sum(sizes[0]), sum(sizes[1])])


@pytest.mark.parametrize(
    ("ids", "predicted", "message"),
    [
        pytest.param([26001], [0, 0], r"the instance mask has shape \(1, 1\) and the prediction \(1, 2\)", id="shape"),
        pytest.param([256000], [0], "the instance mask holds id 256000; .* at most 255999", id="beyond a class id"),
        pytest.param([77001], [0], "object 77001 of file id 77, which is outside .* 'merged'", id="unknown class"),
    ],
)
def test_refuses_and_counts_nothing(ids: list[int], predicted: list[int], message: str) -> None:
    statistics = InstanceStatistics(MERGED)
    with pytest.raises(DataError, match=message):
        statistics.update(np.array([ids], np.int32), np.array([predicted], np.uint8))
    assert not statistics.objects.any()
