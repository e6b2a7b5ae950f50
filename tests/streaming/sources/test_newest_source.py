from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore

import numpy as np
import pytest

from contextnet.errors import StreamError
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.newest import Newest
from contextnet.streaming.sources.source import SourceCounts, SourceInfo

pytestmark = pytest.mark.timeout(30)


class ToldSource:
    """Gives what it is told to: frames, an error, or the end as None."""

    def __init__(self, heeds_close: bool = True) -> None:
        self.info = SourceInfo("told", is_live=True)
        self.counts = SourceCounts(dropped=5, damaged=3, reconnections=1)
        self.closings = 0
        self._heeds_close = heeds_close
        self._told: SimpleQueue[Frame | Exception | None] = SimpleQueue()
        self._asked = Semaphore(0)

    def tell(self, *items: Frame | Exception | None) -> None:
        for item in items:
            self._told.put(item)

    def wait_until_asked(self, times: int) -> None:
        """Wait until the next item is asked for, which is after what came before was taken."""
        for _ in range(times):
            assert self._asked.acquire(timeout=5)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            self._asked.release()
            item = self._told.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        self.closings += 1
        if self._heeds_close:
            self.tell(None)


def frame(index: int) -> Frame:
    return Frame.of_image(np.full((2, 2, 3), index, np.uint8), index, index / 25)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "newest frame"]


def test_what_came_meanwhile_is_passed_over_and_counted() -> None:
    source = ToldSource()
    newest = Newest(source)
    frames = iter(newest)
    source.tell(frame(0))
    assert next(frames).index == 0
    assert newest.counts == SourceCounts(5, 3, 1)
    source.tell(frame(1), frame(2), frame(3))
    source.wait_until_asked(5)  # for the first frame, and after each of the four
    assert next(frames).index == 3
    assert newest.counts == SourceCounts(5 + 2, 3, 1), "frames 1 and 2, and what the source itself had lost"
    source.tell(frame(4), None)
    assert [frame.index for frame in frames] == [4], "the last frame is given before the end"
    assert newest.info == source.info


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_what_the_source_raises_is_raised_behind_its_last_frame(behind: int) -> None:
    source = ToldSource()
    source.tell(*map(frame, range(behind)), StreamError("unplugged"))
    frames = iter(Newest(source))
    given: list[Frame] = []
    with pytest.raises(StreamError, match="unplugged"):
        given += frames  # keeps those before the error
    assert [taken.index for taken in given][-1:] == list(range(behind))[-1:], "the last frame is not lost"
    assert next(frames, None) is None


def test_one_frame_is_kept_however_many_come() -> None:
    source = ToldSource()
    newest = Newest(source)
    frames = iter(newest)
    source.tell(frame(0))
    next(frames)
    made = []
    for index in range(1, 200):
        item = frame(index)
        made.append(weakref.ref(item))
        source.tell(item)
        del item
    source.wait_until_asked(201)
    gc.collect()
    assert [kept.index for ref in made if (kept := ref()) is not None] == [199]
    assert newest.counts.dropped == 5 + 198
    newest.close()


@pytest.mark.parametrize("heeds_close", [True, False])
def test_closing_ends_a_wait_at_once(heeds_close: bool) -> None:
    """Also while the reader does not end, as one within a foreign library."""
    source = ToldSource(heeds_close)
    newest = Newest(source)
    frames = iter(newest)
    source.tell(frame(0))
    assert next(frames).index == 0
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, frames, None)
        source.wait_until_asked(2)
        started_s = time.monotonic()
        newest.close()
        assert waiting.result(timeout=1) is None
    assert time.monotonic() - started_s < 1
    assert bool(readers()) == (not heeds_close), "the reader is left only where it could not be ended"
    newest.close()
    assert source.closings == 2
    source.tell(None)
    for reader in readers():
        reader.join(5)
    assert readers() == []


def test_closed_before_it_is_read_it_gives_nothing() -> None:
    newest = Newest(ToldSource())
    newest.close()
    assert list(newest) == []


def test_readers_and_closers_do_not_lock_each_other_out() -> None:
    """Closed at any moment, from another thread, the iteration ends and frames come in their order."""
    for turn in range(30):
        source = ToldSource()
        newest = Newest(source)
        seen, enough = [], Event()

        def read(source: Newest = newest, seen: list[int] = seen, enough: Event = enough, turn: int = turn) -> None:
            for taken in source:
                seen.append(taken.index)
                if taken.index >= turn:
                    enough.set()

        with ThreadPoolExecutor(2) as pool:
            reading = pool.submit(read)
            telling: Callable[..., None] = source.tell
            pool.submit(telling, *map(frame, range(turn + 1)))
            assert enough.wait(5)
            newest.close()
            reading.result(timeout=5)
        assert seen == sorted(set(seen))
    assert readers() == []
