"""What a video source corrects, and what it gives back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Thread

import av
import pytest
from av import VideoFrame
from av.video.stream import VideoStream

from contextnet.errors import StreamError
from contextnet.streaming.sources.paced import Paced
from contextnet.streaming.sources.video import VideoSource
from counted_videos import RATE, counted_picture, number_in, timed_picture, write_counted_video


def write_anamorphic(path: Path, aspect: Fraction, rotation: int, size_hw: tuple[int, int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = size_hw
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(12):
            container.mux(stream.encode(timed_picture(counted_picture(number, size_hw), number)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 11)])
def test_frames_tell_the_shape_of_their_pixels(tmp_path: Path, suffix: str, aspect: Fraction) -> None:
    path = write_anamorphic(tmp_path / f"a{suffix}", aspect, 0, (64, 96))
    assert [frame.pixel_aspect for frame in VideoSource(path)] == [aspect] * 12


@pytest.mark.parametrize("size_hw", [(64, 96), (96, 64), (64, 64)])
@pytest.mark.parametrize(
    ("rotation", "aspect"),
    [(90, Fraction(11, 16)), (180, Fraction(16, 11)), (270, Fraction(11, 16))],
)
def test_pixels_are_turned_with_their_picture(
    tmp_path: Path, rotation: int, aspect: Fraction, size_hw: tuple[int, int]
) -> None:
    path = write_anamorphic(tmp_path / "a.mp4", Fraction(16, 11), rotation, size_hw)
    frames = list(VideoSource(path))
    assert [frame.pixel_aspect for frame in frames] == [aspect] * 12
    assert all(frame.size_hw == (size_hw if rotation == 180 else size_hw[::-1]) for frame in frames)


def test_what_does_not_tell_has_square_pixels(tmp_path: Path) -> None:
    path = write_counted_video(tmp_path / "a.mjpeg", codec="mjpeg", pixel_format="yuvj420p")
    assert {frame.pixel_aspect for frame in VideoSource(path)} == {1}


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """Two films of two seconds, joined end to end: their clocks both begin at the same time."""
    part = write_counted_video(tmp_path / "part.ts", range(50), options={"bf": "0"}).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(part + part)
    return path


def test_times_go_on_where_films_are_joined(joined: Path) -> None:
    frames = list(VideoSource(joined))
    assert [number_in(frame.image) for frame in frames] == [*range(50), *range(50)]
    steps = [after.time_s - before.time_s for before, after in pairwise(frames)]
    assert steps == pytest.approx([1 / RATE] * 99, abs=1e-4)


def test_films_that_were_joined_keep_their_pace(joined: Path) -> None:
    now_s, waits_s = 0.0, []

    def wait(seconds: float) -> bool:
        nonlocal now_s
        waits_s.append(seconds)
        now_s += seconds
        return False

    frames = list(Paced(VideoSource(joined), lambda: now_s, wait))
    assert len(frames) == 100
    assert waits_s == pytest.approx([1 / RATE] * 99, abs=1e-4)


def test_a_film_that_is_not_read_is_closed(tmp_path: Path) -> None:
    source = VideoSource(write_counted_video(tmp_path / "a.mp4"))
    source.close()
    with pytest.raises(AssertionError, match="Container is not open"):
        next(source._container.demux(source._stream))
    assert list(source) == []
    source.close()


def test_a_film_that_is_read_is_closed_by_its_reader(tmp_path: Path) -> None:
    source = VideoSource(write_counted_video(tmp_path / "a.mp4", range(100)))
    frames = iter(source)
    next(frames)
    source.close()
    # Pictures of a packet that was decoded already may still come.
    assert len(list(frames)) <= 8


def refuse(server: socket.socket) -> None:
    server.close()


def answer_404(server: socket.socket) -> None:
    def serve() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    Thread(target=serve, name="server", daemon=True).start()


@pytest.mark.parametrize(
    ("answer", "found"), [(refuse, "Connection refused"), (answer_404, "Server returned 404 Not Found")]
)
def test_an_address_without_a_film_is_told(answer: Callable[[socket.socket], None], found: str) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
    answer(server)
    with pytest.raises(StreamError) as caught:
        VideoSource("a film", opened=address)
    assert str(caught.value) == f"a film: cannot be read: {found}; check the address and that its server runs"


def test_a_picture_without_a_time_is_given_one(tmp_path: Path) -> None:
    source = VideoSource(write_counted_video(tmp_path / "a.mp4"))
    picture = VideoFrame(16, 16, "yuv420p")
    source._time(picture)
    assert (picture.pts, picture.time_base) == (0, Fraction(1, 90_000))
    source.close()
