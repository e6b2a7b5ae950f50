from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.data.synthetic import Drive
from contextnet.errors import DataError
from contextnet.evaluation.flicker import Flicker, follow_pixels

STILL = (0.0, 0.0)
UNKNOWN = (math.nan, math.nan)


def ids(*rows: list[int]) -> NDArray[np.int32]:
    return np.array(rows, np.int32)


def motion(*rows: list[tuple[float, float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("flow", "objects", "objects_before", "expected"),
    [
        pytest.param([STILL] * 3, [7, 7, 8], [7, 7, 8], {0: 0, 1: 1, 2: 2}, id="stands still"),
        pytest.param([(0, 1)] * 3, [7, 7, 7], [7, 7, 7], {0: 1, 1: 2}, id="the last comes from outside"),
        pytest.param([(1, 0), (-1, 0), STILL], [7, 7, 7], [7, 7, 7], {2: 2}, id="from below and above"),
        pytest.param([UNKNOWN, (math.nan, 0), STILL], [7, 7, 7], [7, 7, 7], {2: 2}, id="unknown motion"),
        pytest.param([STILL] * 3, [7, 7, 7], [7, 9, 7], {0: 0, 2: 2}, id="hidden before"),
        pytest.param([STILL] * 3, [26001] * 3, [26001, 26002, 26001], {0: 0, 2: 2}, id="another car hid it"),
        pytest.param([(0, 0.4), (0, -0.6), (0.4, -1.6)], [7] * 3, [7] * 3, {0: 0, 1: 0, 2: 0}, id="to the nearest"),
        pytest.param([(0, -9e4), (0, 9e4), STILL], [7] * 3, [7] * 3, {2: 2}, id="far outside"),
    ],
)
def test_which_pixels_are_followed(
    flow: list[tuple[float, float]], objects: list[int], objects_before: list[int], expected: dict[int, int]
) -> None:
    followed = follow_pixels(motion(flow), ids(objects), ids(objects_before))
    assert dict(zip(followed.now.tolist(), followed.before.tolist(), strict=True)) == expected
    assert followed.size_hw == (1, 3)


def test_rows_and_columns() -> None:
    """Of 2×3 pixels, all that come from one row up and one column to the left."""
    followed = follow_pixels(np.full((2, 3, 2), -1, np.float32), np.ones((2, 3), np.int32), np.ones((2, 3), np.int32))
    assert (followed.now.tolist(), followed.before.tolist()) == ([4, 5], [0, 1])


def test_changes_are_counted_over_frames() -> None:
    flicker = Flicker()
    assert math.isnan(flicker.share)
    assert math.isnan(flicker.followed_share)
    followed = follow_pixels(motion([STILL, STILL, (0, -1), UNKNOWN]), ids([7] * 4), ids([7] * 4))
    flicker.update(np.array([[0, 1, 2, 3]], np.uint8), np.array([[0, 2, 0, 0]], np.uint8), followed)
    # The second was 2 before; the third shows what the second showed, 2 as well; the fourth is not known.
    assert (flicker.changed_px, flicker.followed_px, flicker.all_px) == (1, 3, 4)
    flicker.update(np.zeros((1, 4), np.uint8), np.zeros((1, 4), np.uint8), followed)
    assert flicker.share == pytest.approx(1 / 6)
    assert flicker.followed_share == pytest.approx(6 / 8)


def test_the_ground_truth_does_not_flicker_and_one_label_neither() -> None:
    drive = Drive(20_001, (64, 128), 6)
    before, now = drive.frame(3), drive.frame(4)
    followed = follow_pixels(drive.motion_of(now), now.instance_ids, before.instance_ids)
    flicker = Flicker()
    flicker.update(now.label_ids, before.label_ids, followed)
    assert flicker.share == 0
    assert flicker.followed_share > 0.85
    flicker.update(np.full((64, 128), 3, np.uint8), np.full((64, 128), 3, np.uint8), followed)
    assert flicker.share == 0
    flicker.update(np.full((64, 128), 3, np.uint8), np.full((64, 128), 4, np.uint8), followed)
    assert flicker.share == pytest.approx(1 / 3)


def test_random_frames_against_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    flow = rng.normal(0, 2, (9, 11, 2)).astype(np.float32)
    flow[rng.random((9, 11)) < 0.1] = np.nan
    objects, objects_before = rng.integers(0, 2, (2, 9, 11)).astype(np.int32)
    labels, labels_before = rng.integers(0, 2, (2, 9, 11)).astype(np.uint8)
    changed = count = 0
    for row, column in np.ndindex(9, 11):
        dy, dx = flow[row, column].tolist()
        if math.isnan(dy):
            continue
        y, x = round(row + dy), round(column + dx)
        if 0 <= y < 9 and 0 <= x < 11 and objects[row, column] == objects_before[y, x]:
            count += 1
            changed += int(labels[row, column] != labels_before[y, x])
    flicker = Flicker()
    flicker.update(labels, labels_before, follow_pixels(flow, objects, objects_before))
    assert (flicker.changed_px, flicker.followed_px) == (changed, count)


def test_sizes_that_differ_are_refused() -> None:
    flow, objects = motion([STILL, STILL]), ids([1, 1])
    with pytest.raises(DataError, match="the motion is 1 × 1 pixels and the frame 1 × 2"):
        follow_pixels(flow[:, :1], objects, objects)
    with pytest.raises(DataError, match="the frame before is 2 × 1 pixels and the frame 1 × 2"):
        follow_pixels(flow, objects, objects.T)
    followed, labels = follow_pixels(flow, objects, objects), np.zeros((1, 2), np.uint8)
    with pytest.raises(DataError, match="the prediction is 2 × 1 pixels and the frame 1 × 2"):
        Flicker().update(labels.T, labels, followed)
    with pytest.raises(DataError, match="the prediction before is 2 × 1 pixels and the frame 1 × 2"):
        Flicker().update(labels, labels.T, followed)
