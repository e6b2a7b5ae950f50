"""Work in a process of its own, so that the memory it takes is not that of what is measured, or is all that is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from contextnet.errors import ContextNetError

T = TypeVar("T")


def call_apart(size_hw: tuple[int, int], task: str, call: Callable[..., T], *arguments: object) -> T:
    """Call a module's function in a process of its own and give what it returns; ``task`` says what that process does.

    Raises ``ContextNetError`` naming the size when the process dies, and whatever ``call`` raises.
    """
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(call, *arguments).result()
    except BrokenProcessPool:
        raise ContextNetError(
            f"size {size_hw[0]}x{size_hw[1]}: the process that {task} died; free memory or give a smaller "
            "size, and call from a module that can be imported without running"
        ) from None


def draw_apart(size_hw: tuple[int, int], draw: Callable[..., T], *arguments: object) -> T:
    """Draw a street or a film in a process of its own, as ``call_apart`` does."""
    return call_apart(size_hw, "draws the street", draw, *arguments)
