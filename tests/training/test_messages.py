from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_processes import raises_in_time, run_ranks, wait_for_end_of
from torch import distributed as dist
from torch import nn

from contextnet.training.messages import (
    any_rank,
    average_gradients,
    average_over_ranks,
    gather,
    stack_over_ranks,
    sum_over_ranks,
    total_over_ranks,
    value_of_first,
    wait_for_all,
)
from contextnet.training.ranks import ALONE, Ranks


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


def all_that_ranks_do(ranks: Ranks) -> dict[str, Any]:
    rank, tensor = ranks.rank, torch.tensor([1.0, 2.0]) * (ranks.rank + 1)
    return {
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
    }


@pytest.fixture(scope="module", params=[2, 3], ids=["two ranks", "three ranks"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found, by rank."""
    ended = run_ranks(all_that_ranks_do, request.param, tmp_path_factory.mktemp("ranks"))
    assert [one.code for one in ended] == [0] * len(ended), [one.errors for one in ended]
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


def lose_rank_1_in_a_message(ranks: Ranks) -> None:
    numbers = torch.ones(8_000_000)
    if ranks.rank == 1:
        dist.all_reduce(numbers, async_op=True)
        os._exit(3)
    raises_in_time(lambda: total_over_ranks(numbers, ranks))


def break_rank_1(ranks: Ranks) -> None:
    if ranks.rank == 1:
        raise KeyError("a mistake on one rank")
    raises_in_time(lambda: gather("something", ranks))


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
