"""A pipeline: stages in threads of their own, so that every part of a stream works at the same time.

The source gives items, each stage adds to them, every end takes each. A bounded number of items is on its way; while it
is reached the source waits, so that no queue ever fills up and memory stays bounded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

SIGNAL_S = 0.2
"""How long a wait lasts in one piece: a signal that reaches another thread of the process does not wake it."""

FINISHING_S = 10.0
"""How long the other parts may take to finish after one has failed; by then they are blocked."""

LEAVING_S = 1.0
"""The same when the user no longer waits for what is blocked."""


@dataclass(frozen=True)
class Stage(Generic[T]):
    """One kind of work: ``work`` is done with each item in turn, ``finish`` once at the end, after an error too.

    ``name`` is what its times are told under.
    """

    name: str
    work: Callable[[T], None]
    finish: Callable[[], None] = lambda: None


@dataclass
class StageClock:
    """How much a stage has done: items, and the seconds in which it was at work and not waiting for others."""

    name: str
    items: int = 0
    busy_s: float = 0.0


class Pipeline(Generic[T]):
    """Runs stages in threads until the source ends, ``stop`` is called, or something fails.

    The order of the items is kept. ``capacity`` is how many are on their way at most. ``on_done`` is told of each item
    that every end has taken. ``stop_source`` has to make the source end soon, from another thread. After the first
    error no stage begins another item; each end is finished all the same, and ``wait`` raises that error, or leaving
    the context does.

    Leaving waits for what is on its way, however long it takes. An error, an interrupt after ``stop`` or while leaving,
    and ``stop`` with a limit end the waiting: what is blocked then, as by a pipe that nobody reads, is left to its
    thread, which ends with the program.
    """

    def __init__(
        self,
        source: Iterable[T],
        stages: Sequence[Stage[T]],
        ends: Sequence[Stage[T]],
        *,
        capacity: int,
        on_done: Callable[[T], None],
        stop_source: Callable[[], None],
    ) -> None:
        assert stages, "a pipeline has one stage at least"
        assert ends, "an item is done when an end has taken it"
        self.clocks = [StageClock("source")] + [StageClock(stage.name) for stage in (*stages, *ends)]
        self._on_done = on_done
        self._stop_source = stop_source
        self._places = _Places(capacity)
        self._failure: BaseException | None = None
        self._failure_lock = Lock()
        self._is_failure_told = False
        self._is_stopped = False
        self._until_s = math.inf
        self._inboxes: list[SimpleQueue[_Passing[T] | None]] = [SimpleQueue() for _ in (*stages, *ends)]
        self._threads = self._make_threads(source, stages, ends)

    @property
    def is_blocked(self) -> bool:
        """Tell whether a thread is still at work."""
        return any(thread.is_alive() for thread in self._threads)

    def stop(self, within_s: float | None = None) -> None:
        """End the source; what is on its way is still finished, in so many seconds where a limit is given.

        Any thread may call it, more than once.
        """
        self._is_stopped = True
        if within_s is not None:
            self._limit(within_s)
        self._places.shut()
        self._stop_source()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all is done, at most so long, and tell whether it is; raises the first error of any stage."""
        if not self._wait_for_threads(math.inf if timeout_s is None else time.monotonic() + timeout_s):
            return False
        if self._failure is not None:
            self._is_failure_told = True
            raise self._failure
        return True

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_stopped and isinstance(error, KeyboardInterrupt):
            self._limit(LEAVING_S)
        if error is not None:
            self._fail(error)
        self._end_source()
        self._wait_for_threads(math.inf)
        if error is None and not self._is_failure_told:
            self.wait()

    def _limit(self, seconds: float) -> None:
        self._until_s = min(self._until_s, time.monotonic() + seconds)

    def _wait_for_threads(self, until_s: float) -> bool:
        """Wait until all have ended, or are waited for no longer; False if ``until_s`` comes first. Heeds signals."""
        for thread in self._threads:
            while thread.is_alive():
                now_s = time.monotonic()
                if now_s >= self._until_s:
                    return True
                if now_s >= until_s:
                    return False
                thread.join(min(SIGNAL_S, until_s - now_s))
        return True

    def _make_threads(self, source: Iterable[T], stages: Sequence[Stage[T]], ends: Sequence[Stage[T]]) -> list[Thread]:
        middle, last = self._inboxes[: len(stages)], self._inboxes[len(stages) :]
        outboxes = [[inbox] for inbox in middle[1:]] + [last] + [[] for _ in ends]
        # Only its thread holds the source, so that what it has open is given back when the thread ends.
        threads = [_thread("source", self._feed, source, middle[0], len(ends))]
        for parts in zip((*stages, *ends), self._inboxes, outboxes, self.clocks[1:], strict=True):
            threads.append(_thread(parts[0].name, self._work, *parts))
        return threads

    def _feed(self, source: Iterable[T], outbox: SimpleQueue[_Passing[T] | None], ends: int) -> None:
        clock = self.clocks[0]
        try:
            items = iter(source)
            while self._places.take():
                started_s = time.perf_counter()
                item = next(items, None)
                clock.busy_s += time.perf_counter() - started_s
                if item is None:
                    break
                clock.items += 1
                outbox.put(_Passing(item, ends))
        except BaseException as error:  # who waits for the pipeline gets it
            self._fail(error)
        outbox.put(None)

    def _work(
        self,
        stage: Stage[T],
        inbox: SimpleQueue[_Passing[T] | None],
        outboxes: Sequence[SimpleQueue[_Passing[T] | None]],
        clock: StageClock,
    ) -> None:
        try:
            while (passing := inbox.get()) is not None and self._failure is None:
                started_s = time.perf_counter()
                stage.work(passing.item)
                clock.busy_s += time.perf_counter() - started_s
                clock.items += 1
                for outbox in outboxes:
                    outbox.put(passing)
                if not outboxes and passing.is_taken_by_last():
                    self._on_done(passing.item)
                    self._places.give_back()
        except BaseException as error:  # who waits for the pipeline gets it
            self._fail(error)
        try:
            stage.finish()
        except BaseException as error:  # likewise, unless there was one before
            self._fail(error)
        for outbox in outboxes:
            outbox.put(None)

    def _fail(self, error: BaseException) -> None:
        """Keep the first error, and have every thread end as soon as it has done what it is doing."""
        self._keep(error)
        self._limit(FINISHING_S)
        self._places.shut()
        for inbox in self._inboxes:
            inbox.put(None)
        self._end_source()

    def _end_source(self) -> None:
        try:
            self._stop_source()
        except Exception as error:  # the threads have to be ended all the same
            self._keep(error)

    def _keep(self, error: BaseException) -> None:
        with self._failure_lock:
            if self._failure is None:
                self._failure = error


@dataclass
class _Passing(Generic[T]):
    """An item on its way, and how many ends have yet to take it."""

    item: T
    ends_left: int
    lock: Lock = field(default_factory=Lock)

    def is_taken_by_last(self) -> bool:
        """Note that an end has taken it, and tell whether it was the last one."""
        with self.lock:
            self.ends_left -= 1
            return self.ends_left == 0


class _Places:
    """The places for items on their way."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._is_open = True
        self._condition = Condition()

    def take(self) -> bool:
        """Wait for a free place and take it; False when no more are given out."""
        with self._condition:
            self._condition.wait_for(lambda: self._free > 0 or not self._is_open)
            self._free -= 1
            return self._is_open

    def give_back(self) -> None:
        """Have a place taken again."""
        with self._condition:
            self._free += 1
            self._condition.notify()

    def shut(self) -> None:
        """Give out no more."""
        with self._condition:
            self._is_open = False
            self._condition.notify_all()


def _thread(name: str, target: Callable[..., None], *arguments: object) -> Thread:
    # A daemon: FFmpeg may be waiting for a camera that has gone silent when the program wants to end.
    return Thread(target=target, args=arguments, name=f"stream {name}", daemon=True)
