"""How the C library hands memory back: a training step on a CPU allocates and frees the same gigabyte each time.

glibc returns freed blocks of 32 MB and more to the system at once, and the next step pays for every page again: nine
page faults in ten, a tenth of a bfloat16 step of cn14, a quarter of a float32 one. Elsewhere nothing is changed.
"""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h: option numbers, and the values that the library arrives at by itself among large blocks.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_USUAL_TRIM_BYTES, _USUAL_MMAP_BYTES, _USUAL_MMAP_MAX = 64 << 20, 32 << 20, 65536


def retain_freed_memory(wanted: bool) -> None:
    """Have this process keep the memory that it frees, for its next allocations, or give it back as usual."""
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0 if wanted else _USUAL_MMAP_MAX)
    library.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP_BYTES)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1 if wanted else _USUAL_TRIM_BYTES)
