"""Real processes for the tests of distributed training, in the environment that torchrun makes; results go to files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from contextnet.errors import ContextNetError
from contextnet.training.ranks import Ranks, join_ranks

Work = Callable[[Ranks], Any]

# Every process is forked from one that has imported PyTorch and done nothing else, which spares two seconds each.
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["contextnet.training.synchronized_norm", "pytest"])


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, what its work returned, and what it wrote to standard error."""

    code: int | None
    result: Any
    errors: str


def run_ranks(work: Work, world_size: int, folder: Path, timeout_s: float = 60) -> list[Ended]:
    """Run a module's function in ``world_size`` processes; an error for the user ends one with code 2."""
    # The parent holds the store, as torchrun does, on a port that no other can take in between.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = []
    for rank in range(world_size):
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        processes.append(PROCESSES.Process(target=_run, args=(work, environment, folder, timeout_s)))
        processes[-1].start()
    try:
        ended = []
        for rank, process in enumerate(processes):
            process.join(60)
            store.set(f"rank {rank} has ended", "")
            result = folder / f"{rank}.pt"
            found = torch.load(result, weights_only=False) if result.exists() else None
            ended.append(Ended(process.exitcode, found, (folder / f"{rank}.txt").read_text()))
        return ended
    finally:
        for process in processes:
            process.kill()


def wait_for_end_of(rank: int) -> None:
    """Stay silent, in a process of ``run_ranks``, until that of ``rank`` has ended."""
    store = dist.TCPStore("127.0.0.1", int(os.environ["MASTER_PORT"]), is_master=False)
    store.wait([f"rank {rank} has ended"])


def raises_in_time(action: Callable[[], object]) -> None:
    """Run an action that does not return; write the seconds it took to raise, and let its error through."""
    began_s = time.monotonic()
    try:
        action()
    finally:
        print(f"after {time.monotonic() - began_s:.1f} s", file=sys.stderr)
    raise AssertionError("no error came")


def _run(work: Work, environment: dict[str, str], folder: Path, timeout_s: float) -> None:
    rank = environment["RANK"]
    with (folder / f"{rank}.txt").open("w") as errors:
        os.dup2(errors.fileno(), 2)
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        with join_ranks("cpu", timeout_s) as (ranks, device):
            assert device == torch.device("cpu")
            torch.save(work(ranks), folder / f"{rank}.pt")
    except ContextNetError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        assert not dist.is_initialized()
