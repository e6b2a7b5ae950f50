from __future__ import annotations

import signal
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rank_processes import run_ranks

from contextnet.data.sample import Sample
from contextnet.errors import DataError, ImageError
from contextnet.evaluation.evaluator import Evaluation, evaluate
from contextnet.stop_signals import Stopped
from contextnet.training.messages import wait_for_all
from contextnet.training.ranks import ALONE, Ranks
from contextnet.training.shared_evaluation import evaluate_together
from training_data import Blocks


class Guess:
    """A predictor without a network: one class where red is strongest, another elsewhere, wrong on purpose."""

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(image_HW3[..., 0] > image_HW3[..., 1], 0, 1 + image_HW3[..., 2] % 2).astype(np.uint8)


class Damaged(Blocks):
    """A split whose image 1 cannot be read."""

    def __getitem__(self, index: int) -> Sample:
        if index == 1:
            raise ImageError.at("1.png", "the file is truncated", "copy it again")
        return super().__getitem__(index)


def bits(evaluation: Evaluation) -> Any:
    """Everything that was scored, floats as their bits."""
    scores = evaluation.scores
    floats = (scores.miou, scores.pixel_accuracy, *scores.class_iou, *(one.miou for one in evaluation.per_image))
    return [value.hex() for value in floats], scores.confusion.tolist(), [str(one.path) for one in evaluation.per_image]


def fault_of_damaged(ranks: Ranks) -> tuple[type[Exception], str, str]:
    with pytest.raises(DataError) as caught:
        evaluate_together(Guess(), Damaged(5), ranks)
    return type(caught.value), str(caught.value), caught.value.file


def signal_of_stop(ranks: Ranks) -> int:
    """Evaluate where rank 1 alone is asked to stop after its first image."""

    def heed(done: int, total: int) -> None:
        if ranks.rank == 1:
            raise Stopped(signal.SIGINT)

    with pytest.raises(Stopped) as caught:
        evaluate_together(Guess(), Blocks(4), ranks, heed)
    return caught.value.signal_number


def all_that_ranks_evaluate(ranks: Ranks) -> dict[str, Any]:
    calls: list[tuple[int, int]] = []
    found = {
        "scores": [bits(evaluate_together(Guess(), Blocks(count), ranks)) for count in (5, 1)],
        "fault": fault_of_damaged(ranks),
        "stop": signal_of_stop(ranks),
    }
    # What follows a fault that all ranks raised still matches.
    evaluate_together(Guess(), Blocks(5), ranks, lambda done, total: calls.append((done, total)))
    wait_for_all(ranks)
    return {**found, "progress": calls}


@pytest.fixture(scope="module", params=[2, 3], ids=["two ranks", "three ranks"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, by rank."""
    ended = run_ranks(all_that_ranks_evaluate, request.param, tmp_path_factory.mktemp("ranks"))
    assert [one.code for one in ended] == [0] * len(ended), [one.errors for one in ended]
    return [one.result for one in ended]


def test_scores_are_those_of_one_process_to_the_bit(found: list[dict[str, Any]]) -> None:
    # A single image leaves the other ranks without any.
    expected = [bits(evaluate(Guess(), Blocks(count))) for count in (5, 1)]
    assert [one["scores"] for one in found] == [expected] * len(found)
    assert 0.1 < evaluate(Guess(), Blocks(5)).scores.miou < 0.9
    progress = {2: [[(1, 3), (2, 3), (3, 3)], [(1, 2), (2, 2)]], 3: [[(1, 2), (2, 2)], [(1, 2), (2, 2)], [(1, 1)]]}
    assert [one["progress"] for one in found] == progress[len(found)]


def test_every_rank_raises_the_fault_of_one(found: list[dict[str, Any]]) -> None:
    fault = (ImageError, "1.png: the file is truncated; copy it again", "1.png")
    assert [one["fault"] for one in found] == [fault] * len(found)


def test_every_rank_stops_with_one(found: list[dict[str, Any]]) -> None:
    assert [one["stop"] for one in found] == [signal.SIGINT] * len(found)


def test_one_process_evaluates_alone() -> None:
    assert bits(evaluate_together(Guess(), Blocks(3), ALONE)) == bits(evaluate(Guess(), Blocks(3)))
    assert fault_of_damaged(ALONE) == (ImageError, "1.png: the file is truncated; copy it again", "1.png")
