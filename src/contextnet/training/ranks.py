"""The processes of a run, the ranks: which one this is, its part of a batch, how they meet, and how a loss shows.

A rank that ends closes its connections. On CPU tensors, which gloo carries, the others notice at once, and a silent
rank after the time limit; both raise ``TrainingError``. On CUDA tensors, which NCCL carries, a call returns before the
message is sent: a lost rank shows at the next CPU message, or it leaves the GPU waiting, where no exception can end it.
torchrun ends whoever still waits: it asks all others to stop when one has failed and kills them half a minute later.
Without it NCCL's watchdog ends the process at the time limit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed as dist

from contextnet.errors import RunError, TrainingError

NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
MEETING_PLACE = ("MASTER_ADDR", "MASTER_PORT")
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


@dataclass(frozen=True)
class Ranks:
    """Which process this is: ``rank`` of ``world_size`` in the run, ``local_rank`` of those on this machine."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the run's files."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """Whether this rank acts for its machine."""
        return self.local_rank == 0


ALONE = Ranks(0, 1, 0, 1)


def part_of(batch_size: int, ranks: Ranks, accumulation: int = 1) -> slice:
    """Give this rank's part of a batch, as a slice of its samples; the parts of all ranks are equal.

    Raises ``TrainingError`` naming the nearest sizes when the batch cannot be cut into equal parts.
    """
    parts = ranks.world_size * accumulation
    below = batch_size // parts * parts
    if batch_size != below:
        sizes = f"{below} or {below + parts}" if below else str(parts)
        raise TrainingError(
            f"'batch_size' {batch_size} cannot be cut into {parts} equal parts, {ranks.world_size} processes × "
            f"'execution.accumulation' {accumulation}; use {sizes}"
        )
    share = batch_size // ranks.world_size
    return slice(ranks.rank * share, (ranks.rank + 1) * share)


@contextmanager
def join_ranks(device: str, timeout_s: float = 1800) -> Iterator[tuple[Ranks, torch.device]]:
    """Meet the other processes that torchrun started, and leave them at the end; give this one's rank and device.

    Without torchrun's environment the process is alone. ``cuda`` becomes the GPU of the local rank. ``timeout_s`` is
    how long any message may take. An exception cuts the connections without waiting for anybody, and must end the
    process. Raises ``RunError`` when the environment is not torchrun's, a GPU is missing or the others do not come.
    """
    ranks = read_ranks(os.environ)
    place = _device_of(device, ranks)
    if ranks.world_size == 1:
        yield ranks, place
        return
    _meet(ranks, place, timeout_s)
    try:
        # A rank that is lost while others still connect to it would leave them waiting for the time limit.
        with answered(ranks):
            dist.all_reduce(torch.zeros(1))
        yield ranks, place
    except BaseException:
        _abandon()
        raise
    with answered(ranks):
        dist.destroy_process_group()


def read_ranks(environment: Mapping[str, str]) -> Ranks:
    """Read the ranks from the variables that torchrun sets; without them the process is alone.

    Raises ``RunError`` naming the variable when only some are set, or one makes no sense.
    """
    if not any(name in environment for name in NUMBERS):
        return ALONE
    missing = [name for name in (*NUMBERS, *MEETING_PLACE) if name not in environment]
    if missing:
        given = [name for name in NUMBERS if name in environment]
        raise RunError(f"the environment has {', '.join(given)} but not {', '.join(missing)}; {_REMEDY}")
    ranks = Ranks(*(_whole_number(environment, name) for name in NUMBERS))
    limits = {
        "WORLD_SIZE": (ranks.world_size, 1, 1 << 20),
        "RANK": (ranks.rank, 0, ranks.world_size - 1),
        "LOCAL_WORLD_SIZE": (ranks.local_world_size, 1, ranks.world_size),
        "LOCAL_RANK": (ranks.local_rank, 0, ranks.local_world_size - 1),
        "MASTER_PORT": (_whole_number(environment, "MASTER_PORT"), 1, 65535),
    }
    for name, (value, lowest, highest) in limits.items():
        if not lowest <= value <= highest:
            raise RunError(f"{name} is {value} in the environment; expected {lowest} to {highest}; {_REMEDY}")
    return ranks


_REMEDY = "start the run with torchrun, which sets them all, or unset them to use one process"


def _whole_number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise RunError(f"{name} is '{text}' in the environment; expected a whole number; {_REMEDY}")
    return int(text)


def _device_of(device: str, ranks: Ranks) -> torch.device:
    """Give the device of this rank: of several on one machine, each takes the GPU of its own number."""
    place = torch.device(device)
    if place.type != "cuda" or ranks.world_size == 1:
        return place
    if place.index is not None:
        raise RunError(f"device '{device}': each of {ranks.world_size} processes takes a GPU of its own; give cuda")
    if ranks.local_world_size > torch.cuda.device_count():
        raise RunError(
            f"device 'cuda': {ranks.local_world_size} processes on a machine with {torch.cuda.device_count()} CUDA "
            "GPUs; start at most one a GPU with torchrun --nproc-per-node, or use cpu"
        )
    return torch.device("cuda", ranks.local_rank)


def _meet(ranks: Ranks, place: torch.device, timeout_s: float) -> None:
    if place.type == "cuda":
        torch.cuda.set_device(place)
    try:
        dist.init_process_group(BACKENDS[place.type], timeout=timedelta(seconds=timeout_s))
    except RuntimeError as error:
        where = ":".join(os.environ[name] for name in MEETING_PLACE)
        raise RunError(
            f"rank {ranks.rank}: the {ranks.world_size} processes of the run did not meet at {where} "
            f"({_reason(error)}); see that all were started and reach that address"
        ) from error


def _abandon() -> None:
    """Leave without waiting for ranks that may be gone: a proper farewell would wait for the GPU's last message."""
    with suppress(RuntimeError):
        if dist.group.WORLD is not None:
            dist.group.WORLD.abort()
    with suppress(RuntimeError):
        dist.destroy_process_group()


@contextmanager
def answered(ranks: Ranks) -> Iterator[None]:
    """Turn the failure of a message between ranks into one ``TrainingError``."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"rank {ranks.rank}: another process of the run has ended or does not answer ({_reason(error)}); "
            "see that process's own message, then go on with --resume"
        ) from error


def _reason(error: RuntimeError) -> str:
    """Give the first sentence of gloo's or NCCL's message, without the source line before it."""
    text = re.sub(r"^\[\S+:\d+\] ", "", str(error).strip())
    return re.split(r"\. |\n", text)[0]
