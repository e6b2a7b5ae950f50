from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event, Lock

import pytest

from contextnet.streaming.pipeline import Stage
from pipeline_items import PATIENCE_S, Item, Numbers, Silent, Taking, passing, pipeline, stream_threads


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    assert stream_threads() == []


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
