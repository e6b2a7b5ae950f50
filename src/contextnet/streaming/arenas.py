"""How the C library divides memory among threads."""

from __future__ import annotations

import ctypes
import platform

# From glibc's malloc.h.
_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Have the threads that this process will start share two heaps; with another C library nothing is changed.

    glibc gives threads heaps of their own, up to eight a core. In a stream one thread makes a picture and another frees
    it, so that memory creeps up by a twentieth in the first minute.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
