"""Run lengths: hand-counted masks, and pycocotools' text character for character."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from contextnet.errors import DataError
from contextnet.runtime.run_length import RunLength, class_run_lengths


def mask_of(*rows: str) -> NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def coco_of(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


@pytest.mark.parametrize(
    ("rows", "counts", "box"),
    [
        pytest.param(["#"], [0, 1], (0, 0, 1, 1), id="one pixel set"),
        pytest.param(["."], [1], (0, 0, 0, 0), id="one pixel not set"),
        pytest.param(["##", "##"], [0, 4], (0, 0, 2, 2), id="all"),
        pytest.param(["....", "...."], [8], (0, 0, 0, 0), id="none"),
        pytest.param([".#.", "##."], [1, 3, 2], (0, 0, 2, 2), id="by columns"),
        pytest.param(["...", "..#"], [5, 1], (2, 1, 1, 1), id="the last pixel"),
        pytest.param(["#..", "..#"], [0, 1, 4, 1], (0, 0, 3, 2), id="first and last"),
        pytest.param(["...", "#.#", "..."], [1, 1, 5, 1, 1], (0, 1, 3, 1), id="one row"),
        pytest.param([".#.", "#..", "..."], [1, 1, 1, 1, 5], (0, 0, 2, 2), id="a run for each column"),
        pytest.param([".#", "..", "#."], [2, 2, 2], (0, 0, 2, 3), id="a run from bottom to top"),
    ],
)
def test_counts_and_boxes_worked_out_by_hand(rows: list[str], counts: list[int], box: tuple[int, ...]) -> None:
    mask = mask_of(*rows)
    encoded = RunLength.from_mask(mask)
    assert encoded.counts.tolist() == counts
    assert encoded.area_px == mask.sum()
    assert encoded.box_xywh == box
    np.testing.assert_array_equal(encoded.to_mask(), mask)
    assert encoded.to_coco() == coco_of(mask)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5000), (5000, 1), (37, 61), (128, 256), (2, 40_000)])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_text_area_and_box_are_those_of_pycocotools(size_hw: tuple[int, int], share: float) -> None:
    generator = np.random.default_rng(5)
    mask = generator.random(size_hw) < share
    # Rectangles make runs of every length beside the single pixels.
    for _ in range(4):
        top, left = generator.integers(0, size_hw)
        mask[top : top + generator.integers(1, 60), left : left + generator.integers(1, 9000)] ^= True
    encoded, expected = RunLength.from_mask(mask), coco_of(mask)
    assert encoded.to_coco() == expected
    assert encoded.area_px == coco.area(expected)
    assert encoded.box_xywh == tuple(coco.toBbox(expected).astype(int).tolist())
    read = RunLength.from_coco(expected)
    assert read.size_hw == size_hw
    np.testing.assert_array_equal(read.to_mask(), mask)


@pytest.mark.parametrize("power", [4, 5, 9, 10, 14, 15, 20, 24])
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_lengths_at_the_limits_of_one_character_more(power: int, offset: int) -> None:
    long = 2**power + offset
    # Differences of +(long - 1) and -(long - 1), and of the two lengths that have none before them.
    counts = [long, 1, 1, long, long, 1, 1, 3]
    values = {"size": [sum(counts), 1], "counts": counts}
    text = coco.frPyObjects(values, *values["size"])["counts"]
    encoded = RunLength.from_coco(values)
    assert encoded.to_coco()["counts"] == text.decode("ascii")
    assert RunLength.from_coco({**values, "counts": text}).counts.tolist() == counts


def test_uint8_masks_are_read_as_pycocotools_reads_them() -> None:
    mask = np.array([[0, 1], [1, 1]], np.uint8)
    assert RunLength.from_mask(mask).counts.tolist() == [1, 3]


def test_foreign_lengths_of_zero_count_for_nothing() -> None:
    encoded = RunLength.from_coco({"size": [2, 3], "counts": [0, 0, 3, 1, 1, 0, 1]})
    assert encoded.area_px == 1
    assert encoded.box_xywh == (1, 1, 1, 1)
    np.testing.assert_array_equal(encoded.to_mask(), mask_of("...", ".#."))


def test_all_classes_in_one_pass_are_each_mask_alone() -> None:
    labels = np.random.default_rng(11).integers(0, 4, (9, 13)).astype(np.uint8) * 85  # 0, 85, 170 and void
    encoded = class_run_lengths(labels)
    assert list(encoded) == [0, 85, 170, 255]
    for label, run_lengths in encoded.items():
        assert run_lengths.to_coco() == coco_of(labels == label)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"counts": [4]}, "'size' is None; give \\[height, width\\]", id="no size"),
        pytest.param({"size": [2], "counts": [4]}, "'size' is \\[2\\]", id="one number"),
        pytest.param({"size": "22", "counts": [4]}, "'size' is '22'", id="text as size"),
        pytest.param({"size": [2.0, 2], "counts": [4]}, "'size' is \\[2.0, 2\\]", id="fraction"),
        pytest.param({"size": [-2, -2], "counts": [4]}, "'size' is \\[-2, -2\\]", id="negative size"),
        pytest.param({"size": [1 << 16, 1 << 16], "counts": [4]}, "at most 4294967295 pixels", id="too large"),
        pytest.param({"size": [2, 2]}, "'counts' is neither a text nor a list", id="no counts"),
        pytest.param({"size": [2, 2], "counts": [5, -1]}, "'counts' is neither", id="negative length"),
        pytest.param({"size": [2, 2], "counts": [True]}, "'counts' is neither", id="true"),
        pytest.param({"size": [2, 2], "counts": [3]}, "lengths sum up to 3 pixels and the size is 2×2", id="short"),
        pytest.param({"size": [2, 2], "counts": ""}, "lengths sum up to 0 pixels", id="empty text"),
        pytest.param({"size": [2, 2], "counts": "4 "}, "'counts' holds the byte 32 at 1", id="space"),
        pytest.param({"size": [2, 2], "counts": "4é"}, "'counts' holds the byte 195 at 1", id="not ASCII"),
        pytest.param({"size": [2, 2], "counts": b"4p"}, "'counts' holds the byte 112 at 1", id="beyond 'o'"),
        pytest.param({"size": [2, 2], "counts": "T"}, "ends in the middle of a number", id="cut off"),
        pytest.param({"size": [2, 2], "counts": "P" * 7 + "0"}, "a number of 8 characters", id="endless number"),
        pytest.param({"size": [2, 2], "counts": "5O"}, "'counts' holds the length -1", id="negative in the text"),
    ],
)
def test_refuses_by_field(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"^result 3: .*{message}"):
        RunLength.from_coco(values, "result 3")
