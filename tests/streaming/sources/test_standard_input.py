from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from contextnet.errors import StreamError
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.standard_input import StandardInput
from counted_videos import RATE, counted_picture, number_in, write_counted_video

PATIENCE_S = 10.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def write_all(descriptor: int, content: bytes, *, close: bool = True) -> Thread:
    """Write in another thread, as the program at the pipe's other end does."""

    def write() -> None:
        with open(descriptor, "wb", closefd=close) as file, contextlib.suppress(BrokenPipeError):
            file.write(content)

    thread = Thread(target=write, name="writer")
    thread.start()
    return thread


def raw(numbers: range, size_hw: tuple[int, int] = (64, 96)) -> bytes:
    return b"".join(counted_picture(number, size_hw).tobytes() for number in numbers)


def numbers(frames: list[Frame]) -> list[int]:
    return [number_in(frame.image) for frame in frames]


@pytest.mark.parametrize("size_hw", [(64, 96), (33, 51)])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(1, 2)])
def test_raw_pixels_come_as_they_are(pipe: tuple[int, int], size_hw: tuple[int, int], rate: Fraction) -> None:
    writer = write_all(pipe[1], raw(range(20), size_hw))
    source = StandardInput(size_hw, rate, descriptor=pipe[0])
    frames = list(source)
    writer.join(PATIENCE_S)
    assert (source.info.name, source.info.is_live, source.info.rate) == ("standard input", False, rate)
    assert [frame.index for frame in frames] == list(range(20))
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, counted_picture(number, size_hw))
        assert frame.time_s == pytest.approx(number / rate)
    assert source.counts.damaged == 0


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mjpeg", "mjpeg", "yuvj420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.h264", "libx264", "yuv420p"),
    ],
)
def test_a_video_tells_what_it_is(
    pipe: tuple[int, int], tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    path = write_counted_video(tmp_path / name, range(40), codec=codec, pixel_format=pixel_format)
    writer = write_all(pipe[1], path.read_bytes())
    source = StandardInput(descriptor=pipe[0])
    frames = list(source)
    writer.join(PATIENCE_S)
    assert numbers(frames) == list(range(40))
    steps_s = [after.time_s - before.time_s for before, after in pairwise(frames)]
    assert steps_s == pytest.approx([1 / RATE] * 39)


def test_a_writer_that_ends_within_a_picture_loses_that_one(pipe: tuple[int, int]) -> None:
    writer = write_all(pipe[1], raw(range(8))[:-5000])
    source = StandardInput((64, 96), descriptor=pipe[0])
    frames = list(source)
    writer.join(PATIENCE_S)
    assert numbers(frames) == list(range(7))


@pytest.mark.parametrize("name", ["a.ts", "a.mjpeg", "a.mkv"])
def test_a_film_that_breaks_off_plays_up_to_there(pipe: tuple[int, int], tmp_path: Path, name: str) -> None:
    codec, pixel_format = ("mjpeg", "yuvj420p") if name == "a.mjpeg" else ("libx264", "yuv420p")
    options = {} if codec == "mjpeg" else {"bf": "0", "g": "10"}
    path = write_counted_video(tmp_path / name, range(60), codec=codec, pixel_format=pixel_format, options=options)
    content = path.read_bytes()
    writer = write_all(pipe[1], content[: len(content) // 2])
    found = numbers(list(StandardInput(descriptor=pipe[0])))
    writer.join(PATIENCE_S)
    assert 10 <= len(found) <= 50
    assert found[:10] == list(range(10))


PIPED = r"make an MP4 for streaming \(ffmpeg .*\) or give it as a file; for raw RGB give --size HEIGHTxWIDTH"
RAW = "check that whole pictures of that size come, 3 bytes a pixel"


@pytest.mark.parametrize(
    ("content", "raw_hw", "found"),
    [
        (b"", None, f"is no video that can be read: .*; {PIPED}"),
        (b"no video at all\n" * 500, None, f"is no video that can be read: .*; {PIPED}"),
        (raw(range(3)), None, f"is no video that can be read: .*; {PIPED}"),
        (b"", (64, 96), f"holds no frame that can be decoded; {RAW}"),
        (bytes(500), (64, 96), f"holds no frame that can be decoded; 1 was damaged; {RAW}"),
    ],
)
def test_what_is_no_video_is_told(
    pipe: tuple[int, int], content: bytes, raw_hw: tuple[int, int] | None, found: str
) -> None:
    writer = write_all(pipe[1], content)
    with pytest.raises(StreamError, match=f"^standard input: {found}$"):
        list(StandardInput(raw_hw, descriptor=pipe[0]))
    writer.join(PATIENCE_S)


@pytest.mark.parametrize("movflags", ["", "frag_keyframe+empty_moov"])
def test_an_mp4_is_read_where_it_was_made_for_streaming(pipe: tuple[int, int], tmp_path: Path, movflags: str) -> None:
    container_options = {"movflags": movflags} if movflags else {}
    path = write_counted_video(tmp_path / "a.mp4", range(200), size_hw=(240, 320), container_options=container_options)
    writer = write_all(pipe[1], path.read_bytes())
    if movflags:
        assert numbers(list(StandardInput(descriptor=pipe[0]))) == list(range(200))
    else:
        with pytest.raises(StreamError, match=f"^standard input: .*; {PIPED}$"):
            list(StandardInput(descriptor=pipe[0]))
    writer.join(PATIENCE_S)


def taken_until_silence(source: StandardInput, after: Callable[[], None]) -> list[int]:
    """Take frames in another thread, and do something when the first of them has come."""
    taken: list[int] = []
    thread = Thread(target=lambda: taken.extend(numbers(list(source))), name="reader")
    thread.start()
    after()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the reader waits for a writer that is silent"
    return taken


def test_closing_wakes_who_waits_for_a_silent_writer(pipe: tuple[int, int]) -> None:
    writer = write_all(pipe[1], raw(range(3)), close=False)
    source = StandardInput((64, 96), descriptor=pipe[0])
    writer.join(PATIENCE_S)
    started_s = time.monotonic()
    taken = taken_until_silence(source, source.close)
    assert time.monotonic() - started_s < 2
    assert taken == list(range(len(taken)))
    assert len(taken) <= 3


def test_a_source_that_is_closed_first_gives_nothing(pipe: tuple[int, int]) -> None:
    writer = write_all(pipe[1], raw(range(3)), close=False)
    source = StandardInput((64, 96), descriptor=pipe[0])
    writer.join(PATIENCE_S)
    source.close()
    source.close()
    assert list(source) == []


WAIT_FOR_VIDEO = """
import signal
from contextnet.streaming.sources.standard_input import StandardInput

signal.signal(signal.SIGINT, signal.default_int_handler)
print("waiting", flush=True)
StandardInput()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_ends_the_wait_for_the_first_bytes() -> None:
    command = [sys.executable, "-c", WAIT_FOR_VIDEO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.stderr is not None
        assert b"KeyboardInterrupt" in process.stderr.read()
