from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.errors import ContextNetError
from contextnet.runtime.engines.scoring_call import CallsInFlight, ScoringCall, accept_images

# Two classes, one cell: the second leads everywhere.
SCORES = np.array([[[[1.0]], [[2.0]]]], np.float32)


class Waits:
    """Counts how often scores are waited for."""

    def __init__(self, outcome: NDArray[np.float32] | Exception = SCORES) -> None:
        self.outcome = outcome
        self.count = 0

    def __call__(self) -> NDArray[np.float32]:
        self.count += 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def test_scores_are_waited_for_once() -> None:
    waits = Waits()
    call = ScoringCall(waits, (3, 5), 8)
    assert waits.count == 0
    assert call.scores() is call.scores() is SCORES
    np.testing.assert_array_equal(call.labels(), np.ones((1, 3, 5), np.uint8))
    assert call.labels() is call.labels()
    assert waits.count == 1


def test_a_failure_is_for_who_asks_for_results() -> None:
    waits = Waits(RuntimeError("out of memory"))
    call = ScoringCall(waits, (8, 8), 8)
    call.finish()
    asking: list[Callable[[], object]] = [call.scores, call.labels, call.scores]
    for ask in asking:
        with pytest.raises(RuntimeError, match=r"^out of memory$"):
            ask()
    assert waits.count == 1


def test_threads_that_ask_at_a_time_get_the_same() -> None:
    go_on, asked = threading.Event(), threading.Barrier(4)
    waits: list[int] = []

    def wait() -> NDArray[np.float32]:
        waits.append(1)
        go_on.wait(30)
        return SCORES

    call = ScoringCall(wait, (8, 8), 8)
    found: list[object] = []

    def ask() -> None:
        asked.wait(30)
        found.append(call.scores())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    asked.wait(30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(found) == 3
    assert all(scores is SCORES for scores in found)
    assert waits == [1]


def test_room_is_made_by_waiting_for_the_oldest_alone() -> None:
    waits = [Waits() for _ in range(4)]
    calls = CallsInFlight(2)
    finished = []
    for wait in waits:
        calls.make_room()
        assert calls.add(call := ScoringCall(wait, (8, 8), 8)) is call
        finished.append([w.count for w in waits])
    assert finished == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    calls.close()
    assert [w.count for w in waits] == [1, 1, 1, 1]


def test_a_call_that_fails_makes_room_all_the_same() -> None:
    calls = CallsInFlight(1)
    failed = calls.add(ScoringCall(Waits(RuntimeError("lost")), (8, 8), 8))
    calls.make_room()
    calls.add(ScoringCall(Waits(), (8, 8), 8))
    calls.close()
    with pytest.raises(RuntimeError, match="lost"):
        failed.scores()


def test_after_closing_there_is_no_room() -> None:
    calls = CallsInFlight(2)
    calls.close()
    with pytest.raises(ValueError, match=r"^the engine is closed$"):
        calls.make_room()


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((1, 4, 4, 3), np.float32), r"float32 \(1, 4, 4, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), r"uint8 \(4, 4, 3\)"),
        (np.zeros((1, 4, 4, 4), np.uint8), r"uint8 \(1, 4, 4, 4\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), r"uint8 \(0, 4, 4, 3\)"),
        (np.zeros((1, 0, 4, 3), np.uint8), r"uint8 \(1, 0, 4, 3\)"),
    ],
)
def test_what_is_no_images_is_refused(images: NDArray[np.uint8], found: str) -> None:
    with pytest.raises(ValueError, match=rf"^the images are {found}; expected uint8 \(N, H, W, 3\)$"):
        accept_images(images, None)


@pytest.mark.parametrize(
    ("size_hw", "fixed_hw", "refused"),
    [
        ((4, 6), None, False),
        ((4, 6), (4, 6), False),
        ((6, 4), (4, 6), True),
        ((4, 7), (4, 6), True),
        ((3, 6), (4, 6), True),
    ],
)
def test_a_fixed_size_admits_itself_alone(
    size_hw: tuple[int, int], fixed_hw: tuple[int, int] | None, refused: bool
) -> None:
    images = np.zeros((2, *size_hw, 3), np.uint8)
    if not refused:
        assert accept_images(images, fixed_hw) is images
        return
    height, width = size_hw
    with pytest.raises(ContextNetError, match=rf"^the image is {height}×{width} .* fixed to 4×6; scale the image"):
        accept_images(images, fixed_hw)


def test_images_with_gaps_are_copied() -> None:
    images = np.arange(1 * 4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)[:, :, ::2]
    accepted = accept_images(images, None)
    assert accepted.flags.c_contiguous
    np.testing.assert_array_equal(accepted, images)
