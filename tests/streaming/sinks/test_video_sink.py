from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.frame import Frame
from contextnet.streaming.planes import plane_views
from contextnet.streaming.sinks.video import SUFFIXES, VideoSink
from contextnet.streaming.sources.video import VideoSource
from counted_videos import RATE, counted_picture, number_in, timed_picture
from lively_networks import CLASSES, some_labels

CLOCK = Fraction(1, 90_000)
RESULT = Segmentation(np.zeros((1, 1), np.uint8), some_labels(CLASSES), 1.0)


def write(sink: VideoSink, pictures: Sequence[VideoFrame]) -> None:
    for picture in pictures:
        sink.write(RESULT, picture)


def numbered(
    times: Sequence[int], time_base: Fraction = CLOCK, size_hw: tuple[int, int] = (64, 96)
) -> list[VideoFrame]:
    return [timed_picture(counted_picture(n, size_hw), time, time_base) for n, time in enumerate(times)]


def read(path: Path) -> list[VideoFrame]:
    return [frame.video for frame in VideoSource(path)]


def numbers_in(path: Path) -> list[int]:
    return [number_in(frame.image) for frame in VideoSource(path)]


def times_in(path: Path) -> list[Fraction]:
    return [picture.pts * picture.time_base for picture in read(path) if picture.pts is not None]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".MP4"])
def test_the_file_is_h264_that_browsers_play(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    sink = VideoSink(path, Fraction(RATE))
    assert (sink.name, sink.needs_picture) == (str(path), True)
    write(sink, numbered(range(0, 60 * 3600, 3600)))
    sink.close()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert not stream.codec_context.has_b_frames
    assert numbers_in(path) == list(range(60))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("times", "time_base"),
    [
        ([0, 3600, 7200, 9000, 90_000, 90_900, 900_000], CLOCK),
        ([0, 40, 80, 1000, 1010, 1020, 5000, 9000], Fraction(1, 1000)),
        (list(range(40)), Fraction(1, RATE)),
        (list(range(40)), Fraction(1001, 30_000)),
        ([0, 33_366_667, 66_733_333, 100_100_000], Fraction(1, 10**9)),
    ],
)
def test_frames_keep_their_times(tmp_path: Path, suffix: str, times: list[int], time_base: Fraction) -> None:
    sink = VideoSink(tmp_path / f"a{suffix}")
    write(sink, numbered(times, time_base))
    sink.close()
    found = times_in(sink._path)
    # Matroska counts in milliseconds.
    tolerance_s = 0 if suffix == ".mp4" else Fraction(1, 2000)
    assert len(found) == len(times)
    assert all(abs(got - time * time_base) <= tolerance_s for got, time in zip(found, times, strict=True))


def test_an_mp4_keeps_the_time_of_its_first_picture(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    write(sink, numbered([900_000, 903_600, 990_000]))
    sink.close()
    assert times_in(tmp_path / "a.mp4") == [10, 10 + Fraction(1, RATE), 11]


def test_times_that_do_not_grow_are_moved_on_by_a_tick(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    write(sink, numbered([0, 3600, 3600, 1800, 0, 7200]))
    sink.close()
    assert times_in(tmp_path / "a.mp4") == [time * CLOCK for time in (0, 3600, 3601, 3602, 3603, 7200)]
    assert numbers_in(tmp_path / "a.mp4") == list(range(6))


def test_times_in_other_ticks_are_turned_into_those_of_the_first(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    pictures = [*numbered([0, 3600]), *numbered([80, 120, 160], Fraction(1, 1000))]
    write(sink, pictures)
    sink.close()
    assert times_in(tmp_path / "a.mp4") == [Fraction(number, RATE) for number in range(5)]


def test_the_pictures_of_other_sinks_stay_as_they_are(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    pictures = [*numbered([7200, 3600]), *numbered([40, 80], Fraction(1, 1000))]
    before = [(picture.pts, picture.time_base) for picture in pictures]
    write(sink, pictures)
    sink.close()
    assert [(picture.pts, picture.time_base) for picture in pictures] == before


@pytest.mark.parametrize(("size_hw", "even_hw"), [((1, 1), (2, 2)), ((3, 5), (4, 6)), ((127, 96), (128, 96))])
def test_an_odd_size_is_made_even_with_its_edge_repeated(
    tmp_path: Path, size_hw: tuple[int, int], even_hw: tuple[int, int]
) -> None:
    image = np.full((*size_hw, 3), 40, np.uint8)
    image[:, -1] = image[-1] = 200
    sink = VideoSink(tmp_path / "a.mkv")
    write(sink, [timed_picture(image, number) for number in range(3)])
    sink.close()
    for picture in read(tmp_path / "a.mkv"):
        assert (picture.height, picture.width) == even_hw
        luma = plane_views(picture)[0].astype(int)
        added = [(0, even_hw[0] - size_hw[0]), (0, even_hw[1] - size_hw[1])]
        expected = np.pad(image[..., 0].astype(int), added, "edge")
        np.testing.assert_allclose(luma, 16 + expected * 219 / 255, rtol=0, atol=12)


@pytest.mark.parametrize(
    ("second_hw", "shown"),
    [
        ((64, 96), (slice(0, 64), slice(0, 96))),
        ((128, 192), (slice(0, 64), slice(0, 96))),
        ((63, 95), (slice(0, 64), slice(0, 96))),
        ((32, 96), (slice(16, 48), slice(0, 96))),
        ((64, 32), (slice(0, 64), slice(32, 64))),
        ((200, 100), (slice(0, 64), slice(32, 64))),
        ((1, 500), (slice(30, 34), slice(0, 96))),
    ],
)
def test_a_picture_of_another_size_is_fitted_between_black_bars(
    tmp_path: Path, second_hw: tuple[int, int], shown: tuple[slice, slice]
) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    white = [timed_picture(np.full((*size, 3), 255, np.uint8), n) for n, size in enumerate([(64, 96), second_hw])]
    write(sink, white)
    sink.close()
    first, second = (plane_views(picture)[0] for picture in read(tmp_path / "a.mp4"))
    assert first.shape == second.shape == (64, 96)
    bars = np.ones((64, 96), np.bool_)
    bars[shown] = False
    assert second[bars].max(initial=0) < 40
    inner = second[shown][1:-1, 1:-1]
    assert np.median(inner) > 215


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11), Fraction(11, 16), Fraction(4, 3)])
def test_pixels_keep_their_shape(tmp_path: Path, suffix: str, aspect: Fraction) -> None:
    path = tmp_path / f"a{suffix}"
    sink = VideoSink(path)
    for number, picture in enumerate(numbered(range(3), Fraction(1, RATE), (66, 96))):
        frame = Frame(picture, number, pixel_aspect=aspect)
        sink.write(replace(RESULT, frame=frame), picture)
    sink.close()
    with av.open(str(path)) as container:
        shown = container.streams.video[0].sample_aspect_ratio
    # Matroska keeps the size at which a picture is to be shown, in whole pixels.
    assert shown == pytest.approx(aspect, rel=0.02 if suffix == ".mkv" else 0)


@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
def test_colours_are_described_as_the_source_does(tmp_path: Path, color_range: int) -> None:
    pictures = numbered(range(3), Fraction(1, RATE))
    for picture in pictures:
        picture.colorspace, picture.color_range = Colorspace.ITU709, color_range
        picture.color_primaries, picture.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    sink = VideoSink(tmp_path / "a.mp4")
    write(sink, pictures)
    sink.close()
    for picture in read(tmp_path / "a.mp4"):
        assert (picture.colorspace, picture.color_range) == (Colorspace.ITU709, color_range)
        assert (picture.color_primaries, picture.color_trc) == (ColorPrimaries.BT709, ColorTrc.BT709)


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "a.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.mp4"
    sink = VideoSink(path)
    with pytest.raises(StreamError, match=f"^{path}: cannot be written: No such file or directory; free some space"):
        write(sink, numbered(range(0, 36_000, 3600)))
    sink.close()


FULL = "cannot be written: No space left on device; free some space, or give another file"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_full_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"full{suffix}"
    path.symlink_to("/dev/full")
    sink = VideoSink(path)
    with pytest.raises(StreamError, match=f"^{path}: {FULL}$"):
        write(sink, numbered(range(0, 360_000, 3600)))
    try:
        sink.close()
    except StreamError as error:
        assert str(error) == f"{path}: {FULL}"  # noqa: PT017 - only some formats have something left to write
    sink.close()


WRITE_NOISE = """
import resource, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from av import VideoFrame
from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.sinks.video import VideoSink

result = Segmentation(np.zeros((1, 1), np.uint8), CITYSCAPES, 1.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, limit, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
generator = np.random.default_rng(0)
sink = VideoSink(path)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    for number in range(200):
        picture = VideoFrame.from_ndarray(generator.integers(0, 256, (64, 96, 3), np.uint8), format="rgb24")
        picture = picture.reformat(format="yuv420p")
        picture.pts, picture.time_base = first + number, Fraction(1, 25)
        sink.write(result, picture)
except StreamError as error:
    print("write", error)
    try:
        sink.close()
    except StreamError as error:
        print("close", error)
    sys.exit(3)
signal.raise_signal(signal.SIGKILL)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_disk_that_fills_up_leaves_what_was_written_playable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    command = [sys.executable, "-c", WRITE_NOISE, str(path), "400000", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3, ended.stderr
    assert f"write {path}: cannot be written: File too large; " in ended.stdout
    assert ended.stderr == ""
    assert 20 <= len(read(path)) < 200


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("first", [0, 1, 250])
def test_what_was_written_before_a_kill_plays(tmp_path: Path, suffix: str, first: int) -> None:
    path = tmp_path / f"a{suffix}"
    command = [sys.executable, "-c", WRITE_NOISE, str(path), "0", str(first)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    found = times_in(path)
    assert len(found) >= 200 - 2 * RATE, "all but the last two seconds"
    assert found == [Fraction(first + number, RATE) for number in range(len(found))]


def test_a_stream_that_fails_elsewhere_leaves_every_picture(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    write(sink, numbered(range(0, 5 * 3600, 3600)))
    with pytest.raises(ValueError, match="mangled"):
        sink.write(RESULT, Mangled())  # type: ignore[arg-type]
    sink.close()
    assert numbers_in(tmp_path / "a.mp4") == list(range(5))


class Mangled:
    """A picture that cannot be looked at."""

    @property
    def height(self) -> int:
        raise ValueError("mangled")
