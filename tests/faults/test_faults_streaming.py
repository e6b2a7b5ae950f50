"""Streams that meet bad videos, failing parts and Ctrl-C: one sentence, nothing left running, a file that plays."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from contextnet.errors import StreamError
from contextnet.streaming import stream as stream_module
from contextnet.streaming.figures import StreamFigures
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks.video import VideoSink
from contextnet.streaming.sources.network import NetworkSource
from contextnet.streaming.sources.newest import Newest
from contextnet.streaming.sources.reconnection import Patience
from contextnet.streaming.sources.video import VideoSource
from contextnet.streaming.stream import LabelStream, StreamOptions
from counted_videos import spoil_jpegs, write_counted_video
from counting_engine import CountedSource, Keeping, counting_segmenter, ignore_number
from rtsp_server import RtspServer

PATIENCE_S = 10.0
GOP = {"g": "10", "bf": "0", "crf": "12"}


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("stream ")] == []


def label_video(source: Path, target: Path) -> StreamFigures:
    """Label a video with the counting engine, and draw the results into another."""
    with LabelStream(counting_segmenter(), VideoSource(source), [VideoSink(target)]) as running:
        assert running.wait(PATIENCE_S)
    return running.figures()


def sizes_of(path: Path) -> list[tuple[int, int]]:
    """Play a video to its end, and give the size of each picture."""
    return [frame.size_hw for frame in VideoSource(path)]


# A damaged video, another size in mid-stream, no video at all; the output plays.


@pytest.mark.parametrize("seed", range(5))
def test_damage_in_a_video_is_skipped_and_counted(tmp_path: Path, seed: int) -> None:
    film = write_counted_video(tmp_path / "in.mp4", range(60), options=GOP)
    content = np.frombuffer(film.read_bytes(), np.uint8).copy()
    generator = np.random.default_rng(seed)
    first = generator.integers(len(content) // 4, len(content) // 2)
    content[first : first + 400] = generator.integers(0, 256, 400, np.uint8)
    film.write_bytes(content.tobytes())
    figures = label_video(film, tmp_path / "out.mp4")
    assert figures.counts.damaged > 0
    assert 30 <= figures.frames < 60
    assert len(sizes_of(tmp_path / "out.mp4")) == figures.frames


def test_another_size_in_mid_stream_is_fitted_into_the_output(tmp_path: Path) -> None:
    parts = [
        write_counted_video(tmp_path / f"{n}.ts", range(20 * n, 20 * n + 8), size_hw=size_hw, first_number=8 * n)
        for n, size_hw in enumerate([(64, 96), (96, 64), (128, 192)])
    ]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert label_video(tmp_path / "in.ts", tmp_path / "out.mp4").frames == 24
    assert sizes_of(tmp_path / "out.mp4") == [(64, 96)] * 24


def test_a_video_whose_pictures_are_all_damaged_is_named(tmp_path: Path) -> None:
    film = write_counted_video(tmp_path / "in.avi", range(8), codec="mjpeg", pixel_format="yuvj420p")
    spoil_jpegs(film, range(8))
    with pytest.raises(StreamError, match=f"^{film}: holds no frame that can be decoded; 8 were damaged; check that"):
        label_video(film, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("missing.mp4", None, "does not exist; give a video file"),
        ("empty.mp4", b"", "is no video that can be read: "),
        ("text.mp4", b"no video at all\n" * 99, "is no video that can be read: "),
    ],
)
def test_what_is_no_video_is_named_before_anything_is_written(
    tmp_path: Path, name: str, content: bytes | None, found: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StreamError, match=f"^{tmp_path / name}: {found}"):
        label_video(tmp_path / name, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


# An error anywhere ends every thread within a second, and is the one that is raised.


def fails_at_20(number: int) -> None:
    if number == 20:
        raise ZeroDivisionError("part")


class FailingSource(CountedSource):
    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            fails_at_20(frame.index)
            yield frame


class FailingSmoother:
    def __init__(self) -> None:
        self._number = -1

    def smooth(self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._number += 1
        fails_at_20(self._number)
        return scores_CHW

    def reset(self) -> None:
        """There is nothing to forget."""


class FailingPainter(stream_module.OverlayPainter):
    def draw(self, video: VideoFrame, labels: NDArray[np.uint8]) -> VideoFrame:
        assert video.pts is not None
        fails_at_20(video.pts // 3600)
        return super().draw(video, labels)


class FailingSink(Keeping):
    def close(self) -> None:
        super().close()
        raise ZeroDivisionError("part")


@pytest.mark.parametrize("part", ["source", "begin", "scores", "smoother", "painter", "sink", "finish"])
@pytest.mark.parametrize("is_live", [False, True])
def test_an_error_ends_every_thread_and_the_output_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, is_live: bool
) -> None:
    def at(name: str) -> Callable[[int], None]:
        return fails_at_20 if part == name else ignore_number

    if part == "painter":
        monkeypatch.setattr(stream_module, "OverlayPainter", FailingPainter)
    source = (FailingSource if part == "source" else CountedSource)(30, is_live=is_live)
    kept = (FailingSink if part == "finish" else Keeping)(on_write=at("sink"))
    options = StreamOptions(FailingSmoother()) if part == "smoother" else None
    segmenter = counting_segmenter(at("begin"), at("scores"))
    video = VideoSink(tmp_path / "out.mp4")
    with pytest.raises(ZeroDivisionError, match="part"), LabelStream(segmenter, source, [video, kept], options) as s:
        s.wait(PATIENCE_S)
    assert kept.closed == 1
    assert source.closed.is_set()
    played = len(sizes_of(tmp_path / "out.mp4")) if (tmp_path / "out.mp4").exists() else 0
    assert played <= 30
    assert part != "finish" or played > 0


def test_all_threads_end_within_a_second(tmp_path: Path) -> None:
    failed_s: list[float] = []

    def fail(number: int) -> None:
        if number == 20:
            failed_s.append(time.monotonic())
            raise ZeroDivisionError("part")

    sinks = [VideoSink(tmp_path / "out.mp4"), Keeping(on_write=fail)]
    with pytest.raises(ZeroDivisionError), LabelStream(counting_segmenter(), CountedSource(None), sinks) as running:
        running.wait(PATIENCE_S)
    assert time.monotonic() - failed_s[0] < 1


def test_what_a_video_has_open_is_given_back_after_an_error(tmp_path: Path) -> None:
    film = write_counted_video(tmp_path / "in.mp4", range(60))
    sinks = [Keeping(on_write=fails_at_20)]
    running = LabelStream(counting_segmenter(), VideoSource(film), sinks)
    with pytest.raises(ZeroDivisionError), running:
        running.wait(PATIENCE_S)
    assert film not in open_files()


def open_files() -> list[Path]:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not tell which files are open")
    found = []
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):
            found.append(descriptor.readlink())
    return found


# Ctrl-C.

STREAM = """
import signal, sys
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background ignore it
from pathlib import Path
from contextnet.streaming.sinks.video import VideoSink
from contextnet.streaming.stream import LabelStream
from counting_engine import CountedSource, counting_segmenter

def tell(number):
    global is_told
    if number == 40 and not is_told:
        is_told = True
        print("running", flush=True)

is_told = False

stream = LabelStream(counting_segmenter(on_scores=tell), CountedSource(None), [VideoSink(Path(sys.argv[2]))])
try:
    with stream:
        stream.wait()
except KeyboardInterrupt:
    print(stream.figures().frames, flush=True)
    raise
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_finishes_the_output_and_leaves_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", STREAM, str(Path(__file__).parents[1]), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        printed, complaint = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert complaint.splitlines()[-1] == "KeyboardInterrupt"
    frames = int(printed)
    assert frames > 0
    # The sink may have taken a frame that was not counted any more.
    assert len(sizes_of(path)) - frames in {0, 1}


# A camera that stalls, or goes away and comes back.

QUICK = Patience(stall_s=0.6, back_off_s=0.02, longest_back_off_s=0.1, first_attempts=2)


@pytest.mark.parametrize("fault", ["stall", "kill"])
def test_a_camera_that_goes_away_comes_back(fault: str, tmp_path: Path) -> None:
    come = threading.Condition()
    indices: list[int] = []

    def note(index: int) -> None:
        with come:
            indices.append(index)
            come.notify()

    def await_results(number: int) -> None:
        with come:
            assert come.wait_for(lambda: len(indices) >= number, PATIENCE_S)

    path = tmp_path / "out.mp4"
    with RtspServer() as server:
        source = Newest(NetworkSource(server.address, QUICK))
        sinks = [VideoSink(path), Keeping(on_write=note)]
        with LabelStream(counting_segmenter(), source, sinks) as running:
            await_results(5)
            if fault == "stall":
                server.playing.clear()
                server.stalled.set()
                assert server.playing.wait(PATIENCE_S), "the source connects anew by itself"
                server.stalled.clear()
            else:
                server.kill()
                server.start()
            await_results(len(indices) + 5)
            running.stop()
            assert running.wait(PATIENCE_S)
        figures = running.figures()
    assert figures.counts.reconnections >= 1
    assert indices == sorted(set(indices)), "numbers go on, and never back"
    assert len(sizes_of(path)) == figures.frames


# A consumer that is slower than its source.


def test_a_slow_consumer_sees_the_newest_frame_and_drops_are_counted() -> None:
    inner = CountedSource(None)
    source = Newest(inner)
    given: list[int] = []

    def consume_slowly(index: int) -> None:
        begun = inner.given
        while inner.given < begun + 20 and not inner.closed.is_set():
            time.sleep(0)
        given.append(inner.given)

    kept = Keeping(on_write=consume_slowly)
    with LabelStream(counting_segmenter(), source, [kept]) as running:
        while len(given) < 30:
            assert not running.wait(0.01)
        running.stop()
        assert running.wait(PATIENCE_S)
    indices = [result.frame.index for result in kept.results if result.frame]
    # What is taken next is no older than what the source had given when the one before was finished.
    for index, newest in zip(indices[1:], given, strict=False):
        assert index >= newest - 3, "but for what the reader is about to keep"
    figures = running.figures()
    assert figures.counts.dropped >= 20 * (len(indices) - 2)
    assert figures.counts.dropped + figures.frames == pytest.approx(inner.given, abs=2)
