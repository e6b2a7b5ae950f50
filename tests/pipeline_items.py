"""Numbered items, sources that give them and ends that keep them, to try a pipeline with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Thread

from contextnet.streaming.pipeline import Pipeline, Stage

PATIENCE_S = 10.0
"""How long a test waits for what must come; only a hang takes so long."""


@dataclass(eq=False)
class Item:
    """What goes through: its number, and the stages that have worked on it."""

    number: int
    path: list[str] = field(default_factory=list)


class Numbers:
    """A source of items 0, 1, 2, …, ended by ``close``; ``length`` None goes on until then."""

    def __init__(self, length: int | None, fails_at: int | None = None) -> None:
        self.length, self.fails_at = length, fails_at
        self.given = 0
        self.is_closed = False

    def __iter__(self) -> Iterator[Item]:
        while not self.is_closed and self.given != self.length:
            if self.given == self.fails_at:
                raise OSError("source")
            self.given += 1
            yield Item(self.given - 1)

    def close(self) -> None:
        self.is_closed = True


class Silent:
    """A source that gives some items and then blocks until it is closed."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.is_waiting, self.closed = Event(), Event()

    def __iter__(self) -> Iterator[Item]:
        yield from (Item(number) for number in range(self.length))
        self.is_waiting.set()
        assert self.closed.wait(PATIENCE_S), "nobody closed the source"

    def close(self) -> None:
        self.closed.set()


class Taking:
    """An end that keeps what it takes, fails where it is told to, and counts how often it was finished."""

    def __init__(self, name: str, fails_at: int | None = None, *, fails_finishing: bool = False) -> None:
        self.name, self.fails_at, self.fails_finishing = name, fails_at, fails_finishing
        self.taken: list[int] = []
        self.finished = 0

    def stage(self) -> Stage[Item]:
        return Stage(self.name, self._take, self._finish)

    def _take(self, item: Item) -> None:
        if item.number == self.fails_at:
            raise OSError(self.name)
        self.taken.append(item.number)

    def _finish(self) -> None:
        self.finished += 1
        if self.fails_finishing:
            raise OSError(f"{self.name} finish")


def passing(name: str, fails_at: int | None = None) -> Stage[Item]:
    def work(item: Item) -> None:
        if item.number == fails_at:
            raise OSError(name)
        item.path.append(name)

    return Stage(name, work)


def stream_threads() -> list[Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("stream ")]


def pipeline(
    source: Numbers | Silent,
    stages: list[Stage[Item]],
    ends: list[Stage[Item]],
    capacity: int = 3,
    on_done: Callable[[Item], None] = lambda item: None,
) -> Pipeline[Item]:
    return Pipeline(source, stages, ends, capacity=capacity, on_done=on_done, stop_source=source.close)
