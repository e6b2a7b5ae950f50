from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rank_processes import Ended, raises_in_time, run_ranks, wait_for_end_of
from torch import distributed as dist
from torch import nn

from contextnet.data.sample import Sample
from contextnet.errors import DataError, ImageError, TrainingError
from contextnet.evaluation.evaluator import Evaluation, evaluate
from contextnet.training.distributed import (
    ALONE,
    Ranks,
    any_rank,
    average_gradients,
    average_over_ranks,
    evaluate_together,
    gather,
    part_of,
    stack_over_ranks,
    sum_over_ranks,
    total_over_ranks,
    value_of_first,
    wait_for_all,
)
from contextnet.training.stopping import Stopped
from training_data import LABELS, Blocks


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


def some_network(rank: int) -> nn.ModuleDict:
    """A network whose gradients tell of their rank; 'one' has one on rank 1 only, 'none' nowhere, 'frozen' is fixed."""
    layers = {name: nn.Linear(2, 1, bias=False) for name in ("all", "one", "none", "frozen")}
    network = nn.ModuleDict({**layers, "conv": nn.Conv2d(2, 3, 3, bias=False).to(memory_format=torch.channels_last)})
    network["all"].weight.grad = torch.tensor([[1.0 + rank, -4.0 * rank]])
    if rank == 1:
        network["one"].weight.grad = torch.tensor([[6.0, 12.0]])
    network["frozen"].requires_grad_(False)
    network["frozen"].weight.grad = torch.tensor([[0.0, float(rank)]])
    values = torch.arange(54.0).view(3, 2, 3, 3) * (rank + 1)
    network["conv"].weight.grad = values.contiguous(memory_format=torch.channels_last)
    return network


def averaged_gradients(ranks: Ranks) -> dict[str, Any]:
    network = some_network(ranks.rank)
    average_gradients(network, ranks)
    gradients = {name: p.grad for name, p in network.named_parameters()}
    conv = gradients["conv.weight"]
    assert conv is not None
    return {**gradients, "is channels last": conv.is_contiguous(memory_format=torch.channels_last)}


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


def all_that_ranks_do(ranks: Ranks) -> dict[str, Any]:
    rank, tensor = ranks.rank, torch.tensor([1.0, 2.0]) * (ranks.rank + 1)
    calls: list[tuple[int, int]] = []
    found = {
        "ranks": ranks,
        "gradients": averaged_gradients(ranks),
        "sums": sum_over_ranks([2.0**40 + rank, 0.5], ranks),
        "total": total_over_ranks(tensor, ranks).tolist(),
        "average": average_over_ranks(tensor, ranks).tolist(),
        "stack": stack_over_ranks(tensor, ranks).tolist(),
        "tensor": tensor.tolist(),
        "any": [any_rank(flag, ranks) for flag in (rank == ranks.world_size - 1, False, True)],
        "gathered": gather({"rank": rank}, ranks),
        "first": value_of_first(f"said by {rank}", ranks),
        "scores": [bits(evaluate_together(Guess(), Blocks(count), ranks)) for count in (5, 1)],
        "fault": fault_of_damaged(ranks),
        "stop": signal_of_stop(ranks),
    }
    # What follows a fault that all ranks raised still matches.
    evaluate_together(Guess(), Blocks(5), ranks, lambda done, total: calls.append((done, total)))
    wait_for_all(ranks)
    return {**found, "progress": calls}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    return run_ranks(all_that_ranks_do, 2, tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    return run_ranks(all_that_ranks_do, 3, tmp_path_factory.mktemp("trio"))


@pytest.fixture(params=[2, 3], ids=["two ranks", "three ranks"])
def ended(request: pytest.FixtureRequest) -> list[Ended]:
    ranks: list[Ended] = request.getfixturevalue({2: "pair", 3: "trio"}[request.param])
    assert [one.code for one in ranks] == [0] * len(ranks), [one.errors for one in ranks]
    return ranks


@pytest.fixture
def found(ended: list[Ended]) -> list[dict[str, Any]]:
    """What each rank found, by rank."""
    return [one.result for one in ended]


def test_each_process_knows_its_rank(found: list[dict[str, Any]]) -> None:
    size = len(found)
    assert [one["ranks"] for one in found] == [Ranks(rank, size, rank, size) for rank in range(size)]
    assert [one["ranks"].is_first for one in found] == [True] + [False] * (size - 1)


def test_gradients_are_averaged_by_hand(found: list[dict[str, Any]]) -> None:
    # Ranks 0 and 1 (and 2) have (1, 0), (2, -4), (3, -8); 'one' has (6, 12) on rank 1 and counts as zeros elsewhere.
    expected = {2: ([[1.5, -2.0]], [[3.0, 6.0]], 1.5), 3: ([[2.0, -4.0]], [[2.0, 4.0]], 2.0)}
    everywhere, one_rank, factor = expected[len(found)]
    for rank, gradients in enumerate(one["gradients"] for one in found):
        assert gradients["all.weight"].tolist() == everywhere
        assert gradients["one.weight"].tolist() == one_rank
        assert gradients["none.weight"] is None
        assert gradients["frozen.weight"].tolist() == [[0.0, rank]]
        assert torch.equal(gradients["conv.weight"], torch.arange(54.0).view(3, 2, 3, 3) * factor)
        assert gradients["is channels last"]


def test_numbers_and_tensors_over_ranks(found: list[dict[str, Any]]) -> None:
    size = len(found)
    stack = [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]][:size]
    expected = {
        "sums": {2: [2.0**41 + 1, 1.0], 3: [3 * 2.0**40 + 3, 1.5]}[size],
        "total": {2: [3.0, 6.0], 3: [6.0, 12.0]}[size],
        "average": {2: [1.5, 3.0], 3: [2.0, 4.0]}[size],
        "stack": stack,
        "any": [True, False, True],
        "gathered": [{"rank": rank} for rank in range(size)],
        "first": "said by 0",
    }
    for rank, one in enumerate(found):
        assert {name: one[name] for name in expected} == expected
        assert one["tensor"] == stack[rank]


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


def lose_rank_1_in_a_message(ranks: Ranks) -> None:
    numbers = torch.ones(8_000_000)
    if ranks.rank == 1:
        dist.all_reduce(numbers, async_op=True)
        os._exit(3)
    raises_in_time(lambda: total_over_ranks(numbers, ranks))


def break_rank_1(ranks: Ranks) -> None:
    if ranks.rank == 1:
        raise KeyError("a mistake on one rank")
    raises_in_time(lambda: evaluate_together(Guess(), Blocks(3), ranks))


def leave_rank_1_silent(ranks: Ranks) -> None:
    if ranks.rank == 1:
        wait_for_end_of(0)
    raises_in_time(lambda: wait_for_all(ranks))


@pytest.mark.parametrize(
    ("work", "world_size", "code", "seconds"),
    [
        pytest.param(lose_rank_1_in_a_message, 3, 3, (0, 5), id="killed"),
        pytest.param(break_rank_1, 2, 1, (0, 5), id="broken"),
        pytest.param(leave_rank_1_silent, 2, 2, (2.9, 8), id="silent"),
    ],
)
def test_the_others_end_with_a_lost_rank(
    work: Any, world_size: int, code: int, seconds: tuple[float, float], tmp_path: Path
) -> None:
    ended = run_ranks(work, world_size, tmp_path, timeout_s=3 if work is leave_rank_1_silent else 60)
    assert [one.code for one in ended] == [2, code, 2][:world_size]
    for rank in {0, world_size - 1} - {1}:
        message = ended[rank].errors
        assert re.search(
            rf"rank {rank}: another process of the run has ended or does not answer \([A-Z][^.\n]*[^\n]*\); "
            r"see that process's own message, then go on with --resume\n$",
            message,
        )
        assert "/gloo/" not in message
        waited = re.search(r"^after ([\d.]+) s$", message, re.MULTILINE)
        assert waited is not None
        assert seconds[0] <= float(waited[1]) <= seconds[1]


def test_one_process_gets_back_what_it_gave() -> None:
    tensor = torch.tensor([1.0, 2.0])
    network = some_network(0)
    before = {name: p.grad for name, p in network.named_parameters()}
    average_gradients(network, ALONE)
    assert all(p.grad is before[name] for name, p in network.named_parameters())
    assert sum_over_ranks([1.5], ALONE) == [1.5]
    assert average_over_ranks(tensor, ALONE).tolist() == [1.0, 2.0]
    assert stack_over_ranks(tensor, ALONE).tolist() == [[1.0, 2.0]]
    assert [any_rank(flag, ALONE) for flag in (True, False)] == [True, False]
    assert (gather("a", ALONE), value_of_first("a", ALONE)) == (["a"], "a")
    wait_for_all(ALONE)
    assert bits(evaluate_together(Guess(), Blocks(3), ALONE)) == bits(evaluate(Guess(), Blocks(3)))
    assert fault_of_damaged(ALONE) == (ImageError, "1.png: the file is truncated; copy it again", "1.png")
    assert LABELS.num_classes == 3


@pytest.mark.parametrize(
    ("batch_size", "rank", "world_size", "accumulation", "expected"),
    [
        (16, 0, 1, 1, slice(0, 16)),
        (16, 0, 4, 1, slice(0, 4)),
        (16, 3, 4, 2, slice(12, 16)),
        (6, 1, 2, 3, slice(3, 6)),
    ],
)
def test_parts_of_a_batch(batch_size: int, rank: int, world_size: int, accumulation: int, expected: slice) -> None:
    assert part_of(batch_size, Ranks(rank, world_size, rank, world_size), accumulation) == expected


@pytest.mark.parametrize(
    ("batch_size", "world_size", "accumulation", "message"),
    [
        (10, 4, 1, r"'batch_size' 10 cannot be cut into 4 equal parts, 4 processes × .*accumulation' 1; use 8 or 12"),
        (10, 2, 2, r"'batch_size' 10 cannot be cut into 4 equal parts, 2 processes × .*accumulation' 2; use 8 or 12"),
        (3, 4, 1, r"'batch_size' 3 cannot be cut into 4 equal parts.*use 4$"),
        (5, 1, 2, r"'batch_size' 5 cannot be cut into 2 equal parts.*use 4 or 6$"),
    ],
)
def test_refuses_a_batch_of_unequal_parts(batch_size: int, world_size: int, accumulation: int, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        part_of(batch_size, Ranks(0, world_size, 0, world_size), accumulation)
