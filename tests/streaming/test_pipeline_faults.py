from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Timer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextnet.streaming.pipeline import Pipeline, Stage
from pipeline_items import PATIENCE_S, Item, Numbers, Silent, Taking, passing, pipeline, stream_threads


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    assert stream_threads() == []


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


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_stopped", [True, False])
def test_an_interrupt_after_the_end_was_asked_for_waits_no_longer(
    monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    monkeypatch.setattr("contextnet.streaming.pipeline.LEAVING_S", 0.05)
    source, free, is_open, is_held = Numbers(None), Taking("free"), Event(), Event()

    def hold(item: Item) -> None:
        is_held.set()
        assert is_open.wait(PATIENCE_S)

    releasing = Timer(0.5, is_open.set)
    running = pipeline(source, [passing("a")], [Stage("blocked", hold), free.stage()])

    def interrupt() -> None:
        with running:
            assert is_held.wait(PATIENCE_S)
            if is_stopped:
                running.stop()
            else:
                releasing.start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert free.finished == 1, "what is not blocked is finished"
    assert is_open.is_set() != is_stopped, "the first interrupt waits for what is on its way"
    is_open.set()
    for thread in [*stream_threads(), releasing]:
        if thread.ident:
            thread.join(PATIENCE_S)


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


@pytest.mark.timeout(30)
@pytest.mark.parametrize("has_failed", [True, False])
def test_a_part_that_is_blocked_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, has_failed: bool) -> None:
    """An error is raised, and an end with a limit comes, whatever another part waits for."""
    monkeypatch.setattr("contextnet.streaming.pipeline.FINISHING_S", 0.05)
    free, is_open, is_held = Taking("free"), Event(), Event()

    def hold(item: Item) -> None:
        is_held.set()
        assert is_open.wait(PATIENCE_S)

    def fail(item: Item) -> None:
        assert is_held.wait(PATIENCE_S)
        if has_failed:
            raise OSError("disk full")

    running = pipeline(Numbers(None), [passing("a")], [Stage("blocked", hold), Stage("full", fail), free.stage()])

    def run() -> None:
        with running:
            assert is_held.wait(PATIENCE_S)
            if not has_failed:
                running.stop(within_s=0.05)
            assert running.wait(PATIENCE_S)

    if has_failed:
        with pytest.raises(OSError, match="disk full"):
            run()
    else:
        run()
    assert running.is_blocked
    assert free.finished == 1
    is_open.set()
    until_s = time.monotonic() + PATIENCE_S
    while running.is_blocked and time.monotonic() < until_s:
        time.sleep(0.01)
    assert not running.is_blocked


@pytest.mark.timeout(30)
def test_an_interrupt_while_the_source_is_closed_is_not_lost() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    running = Pipeline(
        iter([Item(0)]),
        [passing("a")],
        [Taking("end").stage()],
        capacity=2,
        on_done=lambda item: None,
        stop_source=interrupt,
    )
    with pytest.raises(KeyboardInterrupt), running:
        running.wait(PATIENCE_S)
