"""Drawing in a process of its own, so that the memory it takes is not that of what is measured."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from contextnet.errors import ContextNetError

T = TypeVar("T")


def draw_apart(size_hw: tuple[int, int], draw: Callable[..., T], *arguments: object) -> T:
    """Call ``draw`` in a process of its own and give what it returns.

    Raises ``ContextNetError`` naming the size when that process dies, and whatever ``draw`` raises.
    """
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(draw, *arguments).result()
    except BrokenProcessPool:
        raise ContextNetError(
            f"size {size_hw[0]}x{size_hw[1]}: the process that draws the street died; free memory or give a smaller "
            "size, and call from a module that can be imported without running"
        ) from None
