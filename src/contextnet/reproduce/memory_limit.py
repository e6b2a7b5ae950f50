"""A limit to the memory of this process, so that what is too large for the machine is refused by an error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from contextnet.data.placement import free_memory_bytes

USABLE_SHARE = 0.9
"""How much of the main memory that is free may be taken; the rest is for what is mapped without being data."""


@contextmanager
def limited_memory(device: torch.device) -> Iterator[None]:
    """Have allocations beyond the main memory that is free fail while this is open, with an error that can be caught.

    Linux hands out more memory than there is, and ends a process without a word once it is used. On another system, and
    for work on another device than the CPU, nothing is changed.
    """
    taken, free = _data_bytes(), free_memory_bytes()
    if sys.platform != "linux" or device.type != "cpu" or taken is None or free is None:
        yield
        return
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [taken + int(USABLE_SHARE * free), *(bound for bound in (before, most) if bound != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, most))


def _data_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Give what Linux counts against the limit: memory of this process alone that it can write to."""
    try:
        found = re.search(r"^VmData:\s*(\d+) kB$", status.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
