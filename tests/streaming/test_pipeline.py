from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    assert stream_threads() == []


def pipeline(
    source: Numbers | Silent,
    stages: list[Stage[Item]],
    ends: list[Stage[Item]],
    capacity: int = 3,
    on_done: Callable[[Item], None] = lambda item: None,
) -> Pipeline[Item]:
    return Pipeline(source, stages, ends, capacity=capacity, on_done=on_done, stop_source=source.close)


@pytest.mark.parametrize("capacity", [1, 2, 7])
@pytest.mark.parametrize("length", [0, 1, 40])
def test_every_end_takes_every_item_in_order(capacity: int, length: int) -> None:
    ends = [Taking("one"), Taking("two"), Taking("three")]
    done: list[Item] = []
    stages = [passing("a"), passing("b")]
    running = pipeline(Numbers(length), stages, [end.stage() for end in ends], capacity, done.append)
    with running:
        assert running.wait(PATIENCE_S)
    for end in ends:
        assert (end.taken, end.finished) == (list(range(length)), 1)
    assert [item.number for item in done] == list(range(length))
    assert all(item.path == ["a", "b"] for item in done)
    assert {clock.name: clock.items for clock in running.clocks} == dict.fromkeys(
        ["source", "a", "b", "one", "two", "three"], length
    )


def test_stages_work_on_different_items_at_the_same_time() -> None:
    """Each stage waits until the one behind it is at work on the item before: that needs three threads."""
    at_work = {(stage, number): Event() for stage in "abc" for number in range(6)}

    def work(stage: str, behind: str) -> Callable[[Item], None]:
        def meet(item: Item) -> None:
            at_work[stage, item.number].set()
            if behind and item.number:
                assert at_work[behind, item.number - 1].wait(PATIENCE_S)

        return meet

    end = Taking("end")
    stages = [Stage(name, work(name, behind)) for name, behind in (("a", "b"), ("b", "c"), ("c", ""))]
    with pipeline(Numbers(6), stages, [end.stage()]) as running:
        assert running.wait(PATIENCE_S)
    assert end.taken == list(range(6))


@pytest.mark.parametrize("capacity", [1, 3])
def test_no_more_than_the_capacity_is_on_its_way(capacity: int) -> None:
    source, is_open, is_held = Numbers(20), Event(), Event()
    on_way, lock, most = 0, Lock(), 0

    def enter(item: Item) -> None:
        nonlocal on_way, most
        with lock:
            on_way += 1
            most = max(most, on_way)

    def leave(item: Item) -> None:
        nonlocal on_way
        with lock:
            on_way -= 1

    def hold(item: Item) -> None:
        is_held.set()
        assert is_open.wait(PATIENCE_S)

    ends = [Taking("quick").stage(), Stage("slow", hold)]
    with pipeline(source, [Stage("enter", enter)], ends, capacity, leave) as running:
        assert is_held.wait(PATIENCE_S)
        assert not running.wait(0)
        assert source.given <= capacity
        is_open.set()
        assert running.wait(PATIENCE_S)
    assert (most <= capacity, on_way, source.given) == (True, 0, 20)


FAULTS = [
    (Numbers(30, fails_at=4), "source", None),
    (Numbers(30), "a", None),
    (Numbers(30), "b", None),
    (Numbers(30), "one", None),
    (Numbers(30), "two", None),
    (Numbers(None), "b", None),
    (Numbers(3), "one finish", "one"),
    (Numbers(3), "two finish", "two"),
    (Silent(5), "b", None),
    (Silent(5), "two", None),
]


@pytest.mark.parametrize(
    ("source", "found", "fails_finishing"), FAULTS, ids=[f"{type(s).__name__} {f}" for s, f, _ in FAULTS]
)
def test_the_first_error_is_raised_and_everything_ends(
    source: Numbers | Silent, found: str, fails_finishing: str | None
) -> None:
    def at(name: str) -> int | None:
        return 4 if name == found else None

    ends = [Taking(name, at(name), fails_finishing=name == fails_finishing) for name in ("one", "two")]
    done: list[Item] = []
    stages = [passing("a", at("a")), passing("b", at("b"))]
    running = pipeline(source, stages, [end.stage() for end in ends], on_done=done.append)
    with pytest.raises(OSError, match=f"^{found}$"), running:
        running.wait(PATIENCE_S)
    started_s = time.monotonic()
    assert [end.finished for end in ends] == [1, 1]
    assert stream_threads() == []
    assert time.monotonic() - started_s < 1
    for end in ends:
        assert end.taken == list(range(len(end.taken))), "items before the error are taken in order, none twice"
    assert [item.number for item in done] == list(range(len(done)))


def test_an_error_while_the_source_is_blocked_ends_it() -> None:
    source, is_open = Silent(2), Event()

    def fail(item: Item) -> None:
        assert is_open.wait(PATIENCE_S)
        raise OSError("late")

    with pipeline(source, [passing("a")], [Stage("end", fail)]) as running:
        assert source.is_waiting.wait(PATIENCE_S)
        is_open.set()
        with pytest.raises(OSError, match="late"):
            running.wait(PATIENCE_S)
    assert source.closed.is_set()


def test_ends_are_finished_while_the_source_still_blocks() -> None:
    """As FFmpeg does, which notices only after a while that it is no longer wanted."""
    is_released, is_taken, finished = Event(), Event(), Event()

    def source() -> Iterator[Item]:
        yield Item(0)
        assert is_released.wait(PATIENCE_S)

    def fail(item: Item) -> None:
        assert is_taken.wait(PATIENCE_S)
        raise OSError("one")

    running = Pipeline(
        source(),
        [passing("a"), passing("b")],
        [Stage("one", fail), Stage("two", lambda item: is_taken.set(), finished.set)],
        capacity=3,
        on_done=lambda item: None,
        stop_source=lambda: None,
    )
    with running:
        assert finished.wait(PATIENCE_S / 2)
        assert not running.wait(0)
        is_released.set()
        with pytest.raises(OSError, match="one"):
            running.wait(PATIENCE_S)


def test_stopping_finishes_what_is_on_its_way() -> None:
    source, end, is_open = Numbers(None), Taking("end"), Event()
    is_held = Event()

    def hold(item: Item) -> None:
        is_held.set()
        assert is_open.wait(PATIENCE_S)

    with pipeline(source, [Stage("hold", hold)], [end.stage()], capacity=4) as running:
        assert is_held.wait(PATIENCE_S)
        running.stop()
        running.stop()
        is_open.set()
        assert running.wait(PATIENCE_S)
    assert end.taken == list(range(source.given))
    assert end.finished == 1


def test_stopping_wakes_a_source_that_blocks() -> None:
    source, end = Silent(3), Taking("end")
    with pipeline(source, [passing("a")], [end.stage()]) as running:
        assert source.is_waiting.wait(PATIENCE_S)
        running.stop()
        assert running.wait(PATIENCE_S)
    assert (end.taken, end.finished) == ([0, 1, 2], 1)


@pytest.mark.parametrize("source", [Numbers(None), Silent(2)])
def test_leaving_the_context_ends_the_source(source: Numbers | Silent) -> None:
    end = Taking("end")
    with pipeline(source, [passing("a")], [end.stage()]):
        pass
    assert end.finished == 1


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_an_exception_in_the_context_ends_everything(kind: type[BaseException]) -> None:
    source, end = Silent(2), Taking("end", fails_finishing=True)
    with pytest.raises(kind, match="mine"), pipeline(source, [passing("a")], [end.stage()]):
        raise kind("mine")
    assert end.finished == 1
    assert source.closed.is_set()


def test_an_error_that_nobody_waited_for_is_raised_on_leaving() -> None:
    end = Taking("end", fails_finishing=True)
    with pytest.raises(OSError, match="end finish"), pipeline(Numbers(3), [passing("a")], [end.stage()]):
        pass


def test_an_error_is_raised_once_to_whom_it_was_told() -> None:
    with pipeline(Numbers(3), [passing("a", 1)], [Taking("end").stage()]) as running:
        for _ in range(2):
            with pytest.raises(OSError, match="a"):
                running.wait(PATIENCE_S)


@pytest.mark.parametrize("fails_at", [1, None])
def test_a_source_that_cannot_be_closed_keeps_nothing_running(fails_at: int | None) -> None:
    def stop() -> None:
        raise OSError("close")

    end = Taking("end", fails_at)
    running = Pipeline(
        Numbers(3), [passing("a")], [end.stage()], capacity=2, on_done=lambda item: None, stop_source=stop
    )
    with pytest.raises(OSError, match="end" if fails_at else "close"), running:
        running.wait(PATIENCE_S)
    assert end.finished == 1


def test_an_error_of_whom_items_are_reported_to_is_raised() -> None:
    def fail(item: Item) -> None:
        raise ZeroDivisionError("report")

    end = Taking("end")
    with (
        pytest.raises(ZeroDivisionError, match="report"),
        pipeline(Numbers(5), [passing("a")], [end.stage()], on_done=fail) as running,
    ):
        running.wait(PATIENCE_S)
    assert end.finished == 1


def test_what_the_source_holds_is_given_back_after_an_error() -> None:
    given_back = Event()

    def source() -> Iterator[Item]:
        try:
            yield from (Item(number) for number in range(100))
        finally:
            given_back.set()

    running = Pipeline(
        source(),
        [passing("a", 1)],
        [Taking("end").stage()],
        capacity=2,
        on_done=lambda item: None,
        stop_source=lambda: None,
    )
    with pytest.raises(OSError, match="a"), running:
        running.wait(PATIENCE_S)
    assert given_back.is_set()


def test_clocks_count_work_and_no_waiting() -> None:
    turns = 20_000

    def labour(item: Item) -> None:
        sum(range(turns))

    with pipeline(Numbers(50), [Stage("busy", labour), passing("idle")], [Taking("end").stage()]) as running:
        assert running.wait(PATIENCE_S)
    busy_s = {clock.name: clock.busy_s for clock in running.clocks}
    assert busy_s["busy"] > 3 * busy_s["idle"]
    assert busy_s["busy"] > 3 * busy_s["end"]


def test_a_stage_that_waits_for_the_source_is_not_busy() -> None:
    source = Silent(1)
    started_s = time.perf_counter()
    with pipeline(source, [passing("a")], [Taking("end").stage()]) as running:
        assert not running.wait(0.3), "the source is silent"
        running.stop()
        assert running.wait(PATIENCE_S)
    whole_s = time.perf_counter() - started_s
    busy_s = {clock.name: clock.busy_s for clock in running.clocks}
    assert busy_s["a"] < whole_s / 3
    assert busy_s["source"] > 0.2


@settings(max_examples=300, deadline=None)
@given(
    length=st.integers(0, 12),
    capacity=st.integers(1, 4),
    faults=st.dictionaries(st.sampled_from(["source", "a", "b", "one", "two"]), st.integers(0, 14), max_size=3),
    finishing=st.sets(st.sampled_from(["one", "two"])),
    stops=st.booleans(),
)
def test_wherever_errors_happen_everything_ends(
    length: int, capacity: int, faults: dict[str, int], finishing: set[str], stops: bool
) -> None:
    source = Numbers(length, faults.get("source"))
    ends = [Taking(name, faults.get(name), fails_finishing=name in finishing) for name in ("one", "two")]
    done: list[Item] = []
    stages = [passing(name, faults.get(name)) for name in "ab"]
    running = pipeline(source, stages, [end.stage() for end in ends], capacity, done.append)
    failure = None
    try:
        with running:
            if stops:
                running.stop()
            assert running.wait(PATIENCE_S)
    except OSError as error:
        failure = str(error)
    happening = {name for name, at in faults.items() if at < length} | {f"{name} finish" for name in finishing}
    assert failure in happening if failure else stops or not happening
    assert [end.finished for end in ends] == [1, 1]
    assert [item.number for item in done] == list(range(len(done)))
    if not failure:
        assert all(end.taken == list(range(source.given)) for end in ends)
        assert len(done) == source.given
    assert stream_threads() == []
