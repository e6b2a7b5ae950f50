"""Memory: how an allocation that fails is told, and how the C library hands memory back.

A training step on a CPU allocates and frees the same gigabyte each time. glibc returns freed blocks of 32 MB and more
to the system at once, and the next step pays for every page again: seven page faults in eight, and a fifth of the
step's time.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# From glibc's malloc.h: option numbers, and the values that the library arrives at by itself among large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL_TRIM_BYTES, _USUAL_MMAP_BYTES, _USUAL_MMAP_MAX = 64 << 20, 32 << 20, 65536

_NO_MEMORY = ("can't allocate memory", "bad_alloc")
"""What PyTorch says where main memory does not suffice, and what C++ libraries do."""


def lacks_memory(error: BaseException) -> bool:
    """Tell whether an error says that main memory or a device's does not hold what was to be computed."""
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in told for words in _NO_MEMORY)


@contextmanager
def retained_memory(device: torch.device) -> Iterator[None]:
    """Have this process keep the memory that it frees, for its next allocations, while it trains on a CPU.

    On another device, and with another C library than glibc, nothing is changed.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
        library.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP_BYTES)
        library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM_BYTES)
