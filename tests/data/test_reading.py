from __future__ import annotations

import threading

import pytest
from made_samples import CallableData, broken_at, sample

from contextnet.data.reading import READ_AHEAD, read_ahead
from contextnet.data.sample import Sample
from contextnet.errors import DataError


@pytest.mark.parametrize(
    ("count", "indices", "expected"),
    [
        (3, None, ["0.png", "1.png", "2.png"]),
        (30, range(1, 30, 7), ["1.png", "8.png", "15.png", "22.png", "29.png"]),
        (30, [4], ["4.png"]),
        (30, [7, 2, 7], ["7.png", "2.png", "7.png"]),
        (30, range(30, 30), []),
        (0, None, []),
    ],
)
def test_reads_the_samples_asked_for_in_order(
    count: int, indices: range | list[int] | None, expected: list[str]
) -> None:
    data = CallableData(count)
    found = [outcome for outcome in read_ahead(data, indices=indices) if isinstance(outcome, Sample)]
    assert [str(one.image_path) for one in found] == expected
    assert sorted(data.indices) == sorted(int(name.removesuffix(".png")) for name in expected)


def test_errors_about_data_stand_in_their_place() -> None:
    found = list(read_ahead(CallableData(20, broken_at(3, 9)), indices=range(0, 20, 3)))
    assert [str(one) if isinstance(one, DataError) else str(one.image_path) for one in found] == [
        "0.png",
        "3.png: is damaged",
        "6.png",
        "9.png: is damaged",
        "12.png",
        "15.png",
        "18.png",
    ]


def test_no_more_than_the_limit_is_read_before_it_is_used() -> None:
    asked = [threading.Event() for _ in range(100)]

    def read(index: int) -> Sample:
        asked[index].set()
        return sample(index)

    data = CallableData(100, read)
    for used, _ in enumerate(read_ahead(data, indices=range(1, 100, 2))):
        furthest = min(2 * (used + READ_AHEAD) - 1, 99)
        assert asked[furthest].wait(5)
        assert max(data.indices) == furthest


def test_a_sample_that_is_late_is_named_by_its_index() -> None:
    release = threading.Event()

    def read(index: int) -> Sample:
        if index == 5:
            release.wait()
        return sample(index)

    try:
        with pytest.raises(DataError, match=r"^sample 5 of 'made/train' was not read within 0.1 s; check the disk$"):
            list(read_ahead(CallableData(8, read), 0.1, range(3, 8, 2)))
    finally:
        release.set()
