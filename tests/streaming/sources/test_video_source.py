from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from contextnet.errors import StreamError
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.decoding import decode_pictures, read_packets
from contextnet.streaming.sources.source import SourceCounts
from contextnet.streaming.sources.video import VideoSource
from counted_videos import RATE, SIZE_HW, counted_picture, number_in, spoil_jpegs, write_counted_video

B_FRAMES = {"bf": "3", "b_strategy": "0", "g": "12", "crf": "18"}
ALL_INTRA = {"g": "1", "crf": "18"}


def numbers(frames: list[Frame]) -> list[int]:
    return [number_in(frame.image) for frame in frames]


def times(frames: list[Frame]) -> list[Fraction]:
    return [frame.video.pts * frame.video.time_base for frame in frames if frame.video.pts is not None]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("a.mp4", "libx264", "yuv420p", {}),
        ("a.mp4", "libx264", "yuv420p", B_FRAMES),
        ("a.mkv", "libx264", "yuv420p", B_FRAMES),
        ("a.mov", "mpeg4", "yuv420p", {}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mkv", "ffv1", "yuv422p10le", {}),
        ("a.mjpeg", "mjpeg", "yuvj420p", {}),
        ("a.h264", "libx264", "yuv420p", {}),
        ("a.h264", "libx264", "yuv420p", B_FRAMES),
        ("a.webm", "libvpx", "yuv420p", {}),
    ],
)
def test_every_frame_comes_in_order_at_its_time(
    tmp_path: Path, name: str, codec: str, pixel_format: str, options: dict[str, str]
) -> None:
    path = write_counted_video(tmp_path / name, range(30), codec=codec, pixel_format=pixel_format, options=options)
    source = VideoSource(path)
    frames = list(source)
    assert numbers(frames) == list(range(30))
    assert [frame.index for frame in frames] == list(range(30))
    assert times(frames) == [Fraction(number, RATE) for number in range(30)]
    assert all(frame.size_hw == SIZE_HW for frame in frames)
    assert (source.info.name, source.info.is_live, source.info.rate) == (str(path), False, RATE)
    assert source.info.frame_count in (30, None)
    assert source.counts.damaged == 0


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
@pytest.mark.parametrize("options", [{}, B_FRAMES])
def test_a_variable_rate_is_kept(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    ticks = [0, 40, 80, 1000, 1010, 1020, 5000, 5001, 9000]
    path = write_counted_video(tmp_path / name, ticks, time_base=Fraction(1, 1000), options=options)
    frames = list(VideoSource(path))
    assert numbers(frames) == list(range(len(ticks)))
    assert times(frames) == [Fraction(tick, 1000) for tick in ticks]


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_a_start_that_is_not_zero_is_kept(tmp_path: Path, name: str) -> None:
    path = write_counted_video(tmp_path / name, range(250, 260))
    assert times(list(VideoSource(path))) == [Fraction(tick, RATE) for tick in range(250, 260)]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pictures_come_upright(tmp_path: Path, rotation: int) -> None:
    path = write_counted_video(tmp_path / "turned.mp4", rotation=rotation)
    frames = list(VideoSource(path))
    assert [number_in(np.rot90(frame.image, -rotation // 90)) for frame in frames] == list(range(12))
    assert all(frame.size_hw == (SIZE_HW if rotation == 180 else SIZE_HW[::-1]) for frame in frames)
    assert times(frames) == [Fraction(number, RATE) for number in range(12)]


# A film that is not what it should be.


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", ALL_INTRA),
        ("a.mp4", "libx264", B_FRAMES),
        ("a.mkv", "libx264", B_FRAMES),
        ("a.avi", "mpeg4", {}),
        ("a.ts", "libx264", B_FRAMES),
        ("a.mjpeg", "mjpeg", {}),
        ("a.h264", "libx264", {}),
    ],
)
@pytest.mark.parametrize("seed", range(6))
def test_flipped_bytes_never_raise_anything_else(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], seed: int
) -> None:
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_counted_video(tmp_path / name, range(40), codec=codec, options=options, pixel_format=pixel_format)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    generator = np.random.default_rng(seed)
    # All over the file, or in one place of it.
    spread = len(content) if seed % 2 else 300
    first = generator.integers(0, len(content) - spread + 1)
    places = first + generator.integers(0, spread, 25)
    content[places] ^= generator.integers(1, 256, 25, np.uint8)
    path.write_bytes(content.tobytes())
    frames: list[Frame] = []
    try:
        for frame in VideoSource(path):
            assert frame.image.shape == (*frame.size_hw, 3)
            frames.append(frame)
    except StreamError as error:
        assert str(path) in str(error)  # noqa: PT017 - most of the files can be read
    assert len(frames) <= 45
    assert [frame.index for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize("spoiled", [[7], [3, 4, 5], [0], [29], list(range(1, 30, 2))])
def test_pictures_that_cannot_be_decoded_are_counted_and_the_rest_comes(tmp_path: Path, spoiled: list[int]) -> None:
    path = write_counted_video(tmp_path / "a.avi", range(30), codec="mjpeg", pixel_format="yuvj420p")
    source = VideoSource(spoil_jpegs(path, spoiled))
    frames = list(source)
    assert numbers(frames) == [number for number in range(30) if number not in spoiled]
    assert times(frames) == [Fraction(number, RATE) for number in numbers(frames)]
    assert source.counts.damaged == len(spoiled)


def test_damage_in_the_middle_of_a_film_is_counted(tmp_path: Path) -> None:
    path = write_counted_video(tmp_path / "a.mp4", range(60), options={"g": "10", "crf": "10", "bf": "0"})
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    middle = len(content) // 3
    content[middle : middle + 300] = np.random.default_rng(1).integers(0, 256, 300, np.uint8)
    path.write_bytes(content.tobytes())
    source = VideoSource(path)
    found = numbers(list(source))
    assert 0 < source.counts.damaged <= 60 - len(found)
    assert found[:10] == list(range(10))
    assert found[-10:] == list(range(50, 60))


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts", "cut.h264"])
def test_a_film_that_was_cut_off_plays_up_to_there(tmp_path: Path, name: str) -> None:
    path = write_counted_video(tmp_path / name, range(60), options={"g": "10", "bf": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = numbers(list(VideoSource(path)))
    assert 10 <= len(found) <= 50
    assert found[:10] == list(range(10))


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        for number in range(5):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.rate, sound.pts = 8000, 1024 * number
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def with_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut_off(path: Path) -> Path:
    """An MP4 whose index, which stands at its end, is missing."""
    write_counted_video(path)
    return with_bytes(path, path.read_bytes()[: path.stat().st_size // 2])


def of_unknown_codec(path: Path) -> Path:
    write_counted_video(path)
    return with_bytes(path, path.read_bytes().replace(b"avc1\x00\x00\x00", b"zz9z\x00\x00\x00"))


def without_frames(path: Path) -> Path:
    """An MP4 in fragments, of which none is left."""
    write_counted_video(path, container_options={"movflags": "empty_moov+frag_keyframe"})
    content = path.read_bytes()
    return with_bytes(path, content[: content.index(b"moof") - 4])


def header_of_matroska(path: Path) -> Path:
    write_counted_video(path)
    content = path.read_bytes()
    return with_bytes(path, content[: content.index(b"\x1f\x43\xb6\x75")])


def folder_of_that_name(path: Path) -> Path:
    path.mkdir()
    return path


PLAYS = "check that it plays, or copy it again"
NO_FILMS: list[tuple[str, Callable[[Path], Path], str]] = [
    ("missing.mp4", lambda path: path, "does not exist; give a video file, .* or an address"),
    ("sound.mp4", audio_only, "holds no pictures; give a video"),
    (
        "text.mp4",
        lambda path: with_bytes(path, b"no video at all\n" * 99),
        f"is no video that can be read: .*; {PLAYS}",
    ),
    ("empty.mp4", lambda path: with_bytes(path, b""), f"is no video that can be read: .*; {PLAYS}"),
    ("zeros.mp4", lambda path: with_bytes(path, bytes(100_000)), f"is no video that can be read: .*; {PLAYS}"),
    ("folder.mp4", folder_of_that_name, f"is no video that can be read: Is a directory; {PLAYS}"),
    ("cut.mp4", cut_off, f"is no video that can be read: .*; {PLAYS}"),
    ("codec.mp4", of_unknown_codec, "is coded in a way that cannot be decoded here; convert it to H.264"),
    ("header.mp4", without_frames, f"holds no frame that can be decoded; {PLAYS}"),
    ("header.mkv", header_of_matroska, f"is no video that can be read: End of file; {PLAYS}"),
]


@pytest.mark.parametrize(("name", "make", "found"), NO_FILMS, ids=[name for name, _, _ in NO_FILMS])
def test_what_is_no_film_is_told_in_one_sentence(
    tmp_path: Path, name: str, make: Callable[[Path], Path], found: str
) -> None:
    path = make(tmp_path / name)
    with pytest.raises(StreamError, match=f"^{path}: {found}$") as caught:
        list(VideoSource(path))
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_frames_that_are_all_damaged_are_no_film(tmp_path: Path) -> None:
    path = write_counted_video(tmp_path / "a.avi", range(5), codec="mjpeg", pixel_format="yuvj420p")
    spoil_jpegs(path, range(5))
    with pytest.raises(StreamError, match=f"holds no frame that can be decoded; 5 were damaged; {PLAYS}"):
        list(VideoSource(path))


def test_a_title_in_another_encoding_is_no_damage(tmp_path: Path) -> None:
    path = write_counted_video(tmp_path / "titled.mkv", title="Strasse")
    content = path.read_bytes()
    assert b"Strasse" in content
    path.write_bytes(content.replace(b"Strasse", b"Stra\xdfe "))
    assert numbers(list(VideoSource(path))) == list(range(12))


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
def test_the_size_may_change_in_mid_stream(tmp_path: Path, suffix: str) -> None:
    sizes = [(64, 96), (96, 64), (48, 144)]
    both = b""
    for number, size_hw in enumerate(sizes):
        part = write_counted_video(
            tmp_path / f"part{suffix}", range(20 * number, 20 * number + 10), size_hw=size_hw, first_number=10 * number
        )
        both += part.read_bytes()
    (tmp_path / f"both{suffix}").write_bytes(both)
    source = VideoSource(tmp_path / f"both{suffix}")
    frames = list(source)
    assert numbers(frames) == list(range(30))
    assert [frame.size_hw for frame in frames] == [size for size in sizes for _ in range(10)]
    assert source.counts.damaged == 0
    assert times(frames) == sorted(set(times(frames)))


class LateStreams:
    """A container in which streams appeared on the way, which PyAV does not know when it comes to its end."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container

    def demux(self, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        yield from self._container.demux(stream)
        raise IndexError("list index out of range")


def test_streams_that_appear_on_the_way_are_passed_over(tmp_path: Path) -> None:
    counts = SourceCounts()
    with av.open(str(write_counted_video(tmp_path / "a.ts"))) as container:
        late, stream = cast(InputContainer, LateStreams(container)), container.streams.video[0]
        pictures = list(decode_pictures(read_packets(late, stream, counts), counts, lambda: False))
    assert [number_in(picture.video.to_ndarray(format="rgb24")) for picture in pictures] == list(range(12))
    assert counts.damaged == 0


@pytest.mark.parametrize("after", [0, 1, 5])
def test_closing_ends_the_frames(tmp_path: Path, after: int) -> None:
    source = VideoSource(write_counted_video(tmp_path / "a.mp4", range(100)))
    frames = iter(source)
    taken = [next(frames) for _ in range(after)]
    source.close()
    source.close()
    # Pictures of a packet that was decoded already may still come.
    assert len(list(frames)) <= 8
    assert numbers(taken) == list(range(after))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("share", "found"), [(0.0, "cannot be read"), (0.5, "cannot be read on after frame")])
def test_a_server_that_goes_silent_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, found: str
) -> None:
    monkeypatch.setattr("contextnet.streaming.sources.video.STALL_S", 0.5)
    path = write_counted_video(tmp_path / "a.mkv", range(100), time_base=Fraction(1, 25), size_hw=(64, 96))
    content = path.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    left = Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            if share:
                connection.sendall(head + content[: int(share * len(content))])
            left.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mkv"
        try:
            with pytest.raises(StreamError, match=f"{found}.*nothing came for 0.5 s"):
                list(VideoSource("a film", opened=address))
        finally:
            left.set()
            thread.join()


def test_frames_outlive_the_source(tmp_path: Path) -> None:
    frames = list(VideoSource(write_counted_video(tmp_path / "a.mp4")))
    first = frames[0].image
    assert np.abs(first.astype(int) - counted_picture(0)).mean() < 8
    assert frames[0].image is first
