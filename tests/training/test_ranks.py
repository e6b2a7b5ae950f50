from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed as dist

from contextnet.errors import RunError, TrainingError
from contextnet.training.ranks import ALONE, Ranks, join_ranks, part_of, read_ranks

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def set_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "variables",
    [{}, {"MASTER_ADDR": "a"}, TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}],
    ids=["none", "an address alone", "torchrun with one process"],
)
def test_one_process_joins_nobody(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, variables)
    with join_ranks("cpu") as (ranks, device):
        assert (ranks, device) == (ALONE, torch.device("cpu"))
        assert not dist.is_initialized()


def test_reads_what_torchrun_sets() -> None:
    ranks = read_ranks(TORCHRUN)
    assert ranks == Ranks(rank=3, world_size=4, local_rank=1, local_world_size=2)
    assert (ranks.is_first, ranks.is_first_here) == (False, False)
    assert (ALONE.is_first, ALONE.is_first_here) == (True, True)
    assert Ranks(2, 4, 0, 2).is_first_here


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"LOCAL_RANK": None, "MASTER_PORT": None}, r"has RANK, WORLD_SIZE, LOCAL_WORLD_SIZE but not LOCAL_RANK, MAS"),
        ({"RANK": "4"}, r"RANK is 4 in the environment; expected 0 to 3; start the run with torchrun"),
        ({"RANK": "-1"}, r"RANK is '-1' in the environment; expected a whole number"),
        ({"WORLD_SIZE": "four"}, r"WORLD_SIZE is 'four' in the environment; expected a whole number"),
        ({"WORLD_SIZE": ""}, r"WORLD_SIZE is '' in the environment"),
        ({"WORLD_SIZE": "0"}, r"WORLD_SIZE is 0 in the environment; expected 1 to"),
        ({"LOCAL_RANK": "2"}, r"LOCAL_RANK is 2 in the environment; expected 0 to 1"),
        ({"LOCAL_WORLD_SIZE": "5"}, r"LOCAL_WORLD_SIZE is 5 in the environment; expected 1 to 4"),
        ({"MASTER_PORT": "65536"}, r"MASTER_PORT is 65536 in the environment; expected 1 to 65535"),
    ],
)
def test_refuses_an_environment_that_is_not_torchruns(change: dict[str, str | None], message: str) -> None:
    variables = {name: value for name, value in (TORCHRUN | change).items() if value is not None}
    with pytest.raises(RunError, match=message):
        read_ranks(variables)


def test_names_ranks_that_never_come(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agent = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    set_environment(monkeypatch, TORCHRUN | agent)
    with (
        pytest.raises(RunError, match=rf"rank 3: the 4 processes of the run did not meet at 127.0.0.1:{store.port} \("),
        join_ranks("cpu", timeout_s=1),
    ):
        pass
    assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("device", "gpus", "message"),
    [
        ("cuda:0", 8, "device 'cuda:0': each of 4 processes takes a GPU of its own; give cuda"),
        ("cuda", 1, "device 'cuda': 2 processes on a machine with 1 CUDA GPUs; start at most one a GPU"),
    ],
)
def test_refuses_gpus_that_ranks_cannot_share(
    device: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(monkeypatch, TORCHRUN)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(RunError, match=message), join_ranks(device):
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked of PyTorch for GPUs, which are not needed then, in order."""
    calls: list[Any] = []
    set_environment(monkeypatch, TORCHRUN)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: calls.append((backend, timeout.seconds)))
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: calls.append(f"met on {tensor.device}"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("left"))
    world = SimpleNamespace(abort=lambda: calls.append("cut"))
    monkeypatch.setattr(dist, "group", SimpleNamespace(WORLD=world))
    return calls


def test_each_rank_takes_the_gpu_of_its_number(asked: list[Any]) -> None:
    with join_ranks("cuda", 60) as (ranks, device):
        assert (ranks.local_rank, device) == (1, torch.device("cuda:1"))
    assert asked == [torch.device("cuda:1"), ("cpu:gloo,cuda:nccl", 60), "met on cpu", "left"]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_error_cuts_what_a_farewell_would_wait_for(error: type[BaseException], asked: list[Any]) -> None:
    with pytest.raises(error), join_ranks("cuda"):
        raise error
    assert asked[2:] == ["met on cpu", "cut", "left"]


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
