from __future__ import annotations

import resource
import sys

import pytest
import torch

from contextnet.reproduce.memory_limit import limited_memory
from contextnet.training.allocator import lacks_memory

MEGABYTE = 1 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process writes to")


def take(megabytes: int) -> torch.Tensor:
    return torch.empty(megabytes * MEGABYTE, dtype=torch.uint8)


def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.memory_limit.free_memory_bytes", lambda: 200 * MEGABYTE)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited_memory(torch.device("cpu")):
        take(100)
        with pytest.raises(RuntimeError) as caught:
            take(300)
    assert lacks_memory(caught.value)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    take(300)


def test_many_small_pieces_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.memory_limit.free_memory_bytes", lambda: 200 * MEGABYTE)
    kept = []

    def fill() -> None:
        for _ in range(10):
            kept.append(take(40))

    with limited_memory(torch.device("cpu")), pytest.raises(RuntimeError) as caught:
        fill()
    assert lacks_memory(caught.value)
    assert 0 < len(kept) < 10


@pytest.mark.parametrize(("device", "free"), [("cuda", 200 * MEGABYTE), ("cpu", None)])
def test_other_devices_and_unknown_memory_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, device: str, free: int | None
) -> None:
    monkeypatch.setattr("contextnet.reproduce.memory_limit.free_memory_bytes", lambda: free)
    with limited_memory(torch.device(device)):
        take(300)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_errors_for_want_of_memory(error: Exception, expected: bool) -> None:
    assert lacks_memory(error) == expected
