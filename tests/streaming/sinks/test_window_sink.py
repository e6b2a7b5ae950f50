from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.sinks import window
from contextnet.streaming.sinks.window import Display, WindowSink, fit

RESULT = Segmentation(np.zeros((2, 2), np.uint8), CITYSCAPES, 1.0)


def flat(shade: int, size_hw: tuple[int, int]) -> VideoFrame:
    image = np.full((*size_hw, 3), shade, np.uint8)
    return VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


@dataclass
class FakeDisplay:
    """A display that notes what it is told, by which thread."""

    size_hw: tuple[int, int] = (100, 200)
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    is_wanted: bool = True
    is_closed: bool = False
    may_show: Event = field(default_factory=Event)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.may_show.set()

    def open(self, title: str) -> Display:
        assert title == "a street"
        self.threads.add(threading.current_thread().name)
        return self

    def show(self, image: NDArray[np.uint8]) -> None:
        assert self.may_show.wait(10)
        if self.fault is not None:
            raise self.fault
        self.images.append(image)
        self.threads.add(threading.current_thread().name)

    def update(self) -> bool:
        self.threads.add(threading.current_thread().name)
        return self.is_wanted

    def close(self) -> None:
        self.is_closed = True
        self.threads.add(threading.current_thread().name)


def wait_until(condition: Callable[[], bool], limit_s: float = 10) -> None:
    waiting, end_s = Event(), time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        waiting.wait(0.005)


def is_running() -> bool:
    return any(thread.name == "window" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("size_hw", "screen_hw", "expected"),
    [
        ((480, 640), (1080, 1920), (480, 640)),
        ((1024, 2048), (1080, 1920), (864, 1728)),
        ((2048, 1024), (1080, 1920), (972, 486)),
        ((972, 1728), (1080, 1920), (972, 1728)),
        ((1, 5000), (1000, 1000), (1, 900)),
    ],
)
def test_fit(size_hw: tuple[int, int], screen_hw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(size_hw, screen_hw) == expected


def test_pictures_are_shown_in_the_size_of_the_screen() -> None:
    display = FakeDisplay()
    sink = WindowSink("a street", display.open)
    # 0.9 × 100 of 300 rows, 0.3 of the size; small ones stay as they are.
    for count, (shade, size_hw, shown_hw) in enumerate([(60, (300, 400), (90, 120)), (180, (32, 48), (32, 48))], 1):
        sink.write(RESULT, flat(shade, size_hw))
        wait_until(lambda count=count: len(display.images) == count)
        assert display.images[-1].shape == (*shown_hw, 3)
        assert abs(display.images[-1].astype(int) - shade).max() <= 2
    assert not sink.asks_to_stop
    sink.close()
    assert display.is_closed
    assert display.threads == {"window"}, "one thread alone touches the display"
    assert not is_running()


def test_a_slow_display_passes_pictures_over_for_the_newest() -> None:
    display = FakeDisplay()
    display.may_show.clear()
    sink = WindowSink("a street", display.open)
    for shade in range(100):
        sink.write(RESULT, flat(2 * shade, (16, 16)))
    display.may_show.set()
    wait_until(lambda: bool(display.images) and abs(int(display.images[-1][0, 0, 0]) - 198) <= 2)
    assert len(display.images) <= 3
    sink.close()


def test_closing_the_window_asks_for_the_end() -> None:
    display = FakeDisplay()
    sink = WindowSink("a street", display.open)
    display.is_wanted = False
    wait_until(lambda: sink.asks_to_stop)
    wait_until(lambda: display.is_closed)
    sink.write(RESULT, flat(0, (16, 16)))
    sink.close()
    assert display.images == []
    assert not is_running()


def test_a_display_that_cannot_be_opened_is_told_at_once() -> None:
    def refuse(_: str) -> Display:
        raise StreamError("window: there is no display")

    with pytest.raises(StreamError, match=r"^window: there is no display$"):
        WindowSink("a street", refuse)
    wait_until(lambda: not is_running())


def test_a_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_OPENING_S", 0.05)
    answers = Event()

    def hang(title: str) -> Display:
        answers.wait(10)
        raise StreamError("too late")

    with pytest.raises(StreamError, match="window: the display does not answer; give http://localhost:8080 and look"):
        WindowSink("a street", hang)
    answers.set()
    wait_until(lambda: not is_running())


def test_a_display_that_breaks_down_is_told_with_the_next_picture() -> None:
    display = FakeDisplay(fault=RuntimeError("connection lost"))
    sink = WindowSink("a street", display.open)
    sink.write(RESULT, flat(0, (16, 16)))
    wait_until(lambda: display.is_closed)
    wait_until(lambda: not is_running())
    with pytest.raises(StreamError, match="window: the display broke down: connection lost; give http://localhost"):
        sink.write(RESULT, flat(0, (16, 16)))
    sink.close()


def test_without_a_display_it_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(StreamError, match=r"^window: there is no display: .*; give http://localhost:8080 and look"):
        WindowSink("a street")


def test_without_tk_it_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(StreamError, match=r"^window: Python has no Tk here \('apt install python3-tk'\); give http"):
        WindowSink("a street")


def test_macos_has_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(StreamError, match=r"^window: on macOS, Tk runs in a program's main thread only; give http"):
        WindowSink("a street")


def test_a_real_window_comes_and_goes() -> None:
    try:
        sink = WindowSink("a street")
    except StreamError as error:
        pytest.skip(str(error))
    for index, size_hw in enumerate([(48, 64), (48, 64), (64, 48)]):
        sink.write(RESULT, flat(60 * index, size_hw))
        wait_until(lambda: sink._picture is None)
    sink.close()
    assert not is_running()
    sink.write(RESULT, flat(0, (48, 64)))  # raises what the display failed with
