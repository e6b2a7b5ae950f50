from __future__ import annotations

import gc
import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import av
import numpy as np
import pytest
from av.container import InputContainer
from PIL import Image

from contextnet.errors import StreamError
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sources.network import NetworkSource, without_secrets
from contextnet.streaming.sources.newest import Newest
from contextnet.streaming.sources.reconnection import Patience
from rtsp_server import HOST, RtspServer, counting_picture, number_in

pytestmark = pytest.mark.timeout(60)
QUICK = Patience(stall_s=0.6, back_off_s=0.02, longest_back_off_s=0.1, first_attempts=2)
"""Long enough that two busy cores send something in it, short enough for a test."""


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as running:
        yield running
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("rtsp")] == []


def require_in_order(frames: list[Frame]) -> None:
    """Numbers, times and pictures of the frames go on without a gap in the numbers."""
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].time_s == 0
    for before, after in pairwise(frames):
        assert after.video.time_base == CLOCK
        assert after.time_s > before.time_s
        assert number_in(after.image) > number_in(before.image)
        # Bursts that come together are spread by a tick each, so times may be ahead of the clock by some ticks.
        assert after.time_s == pytest.approx(after.arrived_s - frames[0].arrived_s, abs=len(frames) * float(CLOCK))


def test_frames_come_in_order_with_the_times_of_their_arrival(server: RtspServer) -> None:
    source = NetworkSource(server.address, QUICK)
    frames, behind = [], []
    for frame in islice(source, 80):
        frames.append(frame)
        behind.append(server.sent - 1 - number_in(frame.image))
    require_in_order(frames)
    assert [number_in(frame.image) for frame in frames] == list(range(80)), "from the very first one"
    # FFmpeg knows that a picture is complete when the next one begins, and holds back no more than that.
    assert np.median(behind[40:]) <= 2
    assert server.turned_away == 0, "TCP is asked for first"
    assert source.info.is_live
    assert source.counts.reconnections == source.counts.damaged == 0


def test_pixels_that_are_no_squares_are_told() -> None:
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", "x264-params": "sar=16/11"}
    with RtspServer(options=options) as wide:
        frame = next(iter(NetworkSource(wide.address, QUICK)))
    assert frame.pixel_aspect == Fraction(16, 11)


def test_cut_connections_are_made_again(server: RtspServer) -> None:
    source = NetworkSource(server.address, QUICK)
    stream = iter(source)
    frames = list(islice(stream, 10))
    for turn in range(1, 4):
        server.cut()
        while source.counts.reconnections < turn:
            frames.append(next(stream))
    require_in_order(frames)


def test_a_server_that_comes_back_is_found_again(server: RtspServer) -> None:
    source = NetworkSource(server.address, QUICK)
    stream = iter(source)
    frames = list(islice(stream, 10))
    server.kill()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(islice(stream, 30)))
        server.start()
        frames += reading.result(timeout=20)
    assert source.counts.reconnections == 1
    require_in_order(frames)


def test_a_stall_ends_in_a_new_connection(server: RtspServer) -> None:
    source = NetworkSource(server.address, QUICK)
    stream = iter(source)
    frames = list(islice(stream, 10))
    server.playing.clear()
    server.stalled.set()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(islice(stream, 100)))
        assert server.playing.wait(10), "the source connects anew by itself"
        server.stalled.clear()
        frames += reading.result(timeout=20)
    assert source.counts.reconnections == 1
    assert max(after.time_s - before.time_s for before, after in pairwise(frames)) >= QUICK.stall_s
    require_in_order(frames)


def held() -> tuple[int, int, int]:
    """Count the containers, threads and open files of this process."""
    gc.collect()
    containers = sum(type(thing) is InputContainer for thing in gc.get_objects())
    files = Path("/proc/self/fd")
    return containers, threading.active_count(), len(list(files.iterdir())) if files.is_dir() else 0


def test_nothing_is_left_of_broken_connections(server: RtspServer) -> None:
    source = NetworkSource(server.address, QUICK)
    stream = iter(source)
    next(stream)
    # Its own one is open; what tests before it have left may go meanwhile.
    open_before = held()[0]
    found = []
    for turn in range(1, 21):
        server.cut()
        while source.counts.reconnections < turn:
            next(stream)
        found.append(held())
    containers, threads, files = zip(*found, strict=True)
    assert max(containers) <= open_before
    # The server may still be at leaving a connection that was cut.
    assert max(threads) - min(threads) <= 4
    assert max(files) - min(files) <= 4


@pytest.mark.parametrize("is_stalled", [False, True])
def test_closing_ends_the_frames_within_a_second(server: RtspServer, is_stalled: bool) -> None:
    source = NetworkSource(server.address, QUICK)
    newest = Newest(source)
    frames = iter(newest)
    next(frames)
    if is_stalled:
        server.stalled.set()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: sum(1 for _ in frames))
        started_s = time.monotonic()
        newest.close()
        reading.result(timeout=1)
    assert time.monotonic() - started_s < 1
    for thread in threading.enumerate():
        if thread.name == "newest frame":
            thread.join(5)
            assert not thread.is_alive()


def test_closing_ends_the_wait_for_a_server_that_is_away(server: RtspServer) -> None:
    source = NetworkSource(server.address, Patience(stall_s=0.6, back_off_s=3600, longest_back_off_s=3600))
    stream = iter(source)
    next(stream)
    server.kill()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(stream))
        source.close()
        reading.result(timeout=1)


def test_the_password_opens_and_is_not_told() -> None:
    with RtspServer(user_password="guest:s3cret") as server:
        right = server.address.replace("rtsp://", "rtsp://guest:s3cret@")
        source = NetworkSource(right, QUICK)
        assert next(iter(source)).index == 0
        assert source.info.name == server.address
        server.turned_away = 0
        with pytest.raises(StreamError, match="asks for a user and a password; put the user") as caught:
            next(iter(NetworkSource(right.replace("s3cret", "other"), QUICK)))
        assert server.turned_away <= 2, "cameras lock out who tries often"
        told = f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"
        assert "other" not in told
        assert "guest" not in told


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://cam.lan:554/stream1", "rtsp://cam.lan:554/stream1"),
        ("rtsp://admin:pw@cam.lan/stream1", "rtsp://cam.lan/stream1"),
        ("rtsp://admin:p/w?=@#@cam.lan/stream1", "rtsp://…"),
        ("rtsp://admin:p@w/x@cam.lan/stream1", "rtsp://cam.lan/stream1"),
        ("http://cam.lan/video?user=admin&password=pw", "http://cam.lan/video"),
        ("http://cam.lan/video?password=p@w", "http://…"),
        ("rtsp://cam.lan/user=admin&password=pw&channel=1.sdp", "rtsp://cam.lan/user"),
        ("udp://@239.0.0.1:1234", "udp://239.0.0.1:1234"),
    ],
)
def test_a_name_holds_no_secret(address: str, name: str) -> None:
    assert without_secrets(address) == name
    assert NetworkSource(address).info.name == name


def encode_jpeg(number: int, size_hw: tuple[int, int] = (48, 192)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(counting_picture(number, size_hw)).save(file, "JPEG")
    return file.getvalue()


JPEGS = [encode_jpeg(number) for number in range(40)]
PAGE = b"<html><body>This is a page.</body></html>"


def transport_stream() -> bytes:
    """Encode ten pictures as MPEG-TS, which then ends."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.height, stream.width, _ = counting_picture(0).shape
        stream.pix_fmt = "yuv420p"
        for number in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(counting_picture(number), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


class Site(BaseHTTPRequestHandler):
    """Sends motion JPEG, damaged or not, a film, a page, and nothing."""

    parts: ClassVar = {
        "/camera": JPEGS,
        "/damaged": [*JPEGS[:5], b"\xff\xd8 no picture \xff\xd9", *JPEGS[5:]],
        "/resized": [*JPEGS[:5], *(encode_jpeg(n, (96, 400)) for n in range(5, 40))],
    }
    bodies: ClassVar = {"/film": ("video/mp2t", transport_stream()), "/page": ("text/html", PAGE)}
    left = Event()

    def do_GET(self) -> None:
        if self.path in self.parts:
            self._begin("multipart/x-mixed-replace;boundary=part")
            for jpeg in self.parts[self.path]:
                head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        elif self.path in self.bodies:
            kind, body = self.bodies[self.path]
            self._begin(kind, {"Content-Length": str(len(body))})
            self.wfile.write(body)
        elif self.path == "/silent":
            self.left.wait(20)
        else:
            self.send_error(404)

    def _begin(self, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for key, value in {"Content-Type": kind, **(more or {})}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class QuietServer(ThreadingHTTPServer):
    """One whose clients may leave in mid-sentence."""

    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.left.clear()
    with QuietServer((HOST, 0), Site) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://{HOST}:{server.server_address[1]}"
        Site.left.set()
        server.shutdown()


def test_motion_jpeg_is_read(site: str) -> None:
    frames = list(islice(NetworkSource(f"{site}/camera", QUICK), 40))
    require_in_order(frames)


def test_a_damaged_picture_is_left_out_and_counted(site: str) -> None:
    source = NetworkSource(f"{site}/damaged", QUICK)
    frames = list(islice(source, 40))
    assert source.counts.damaged == 1
    assert source.counts.reconnections == 0
    require_in_order(frames)


def test_pictures_may_change_their_size(site: str) -> None:
    frames = list(islice(NetworkSource(f"{site}/resized", QUICK), 40))
    assert [frame.size_hw for frame in frames] == [(48, 192)] * 5 + [(96, 400)] * 35
    require_in_order(frames)


def test_the_end_is_a_break_like_any_other(site: str) -> None:
    source = NetworkSource(f"{site}/film", QUICK)
    frames = list(islice(source, 25))
    assert [frame.index for frame in frames] == list(range(25))
    assert [number_in(frame.image) for frame in frames] == [*range(10), *range(10), *range(5)]
    assert source.counts.reconnections == 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/missing", "is not there: the server says 404; check the path of the address"),
        ("/page", "sends no picture that can be decoded; check that it is the address of a video"),
        ("/silent", "sent nothing for 0.6 s; check the host and the network, and that the camera is on"),
    ],
)
def test_what_is_no_stream_is_told(site: str, path: str, found: str) -> None:
    with pytest.raises(StreamError) as caught:
        next(iter(NetworkSource(site + path, QUICK)))
    assert str(caught.value) == f"{site}{path}: {found}"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("rtsp://u:hidden@HOST:PORT/x", "rtsp://HOST:PORT/x: refuses the connection; check the host and the port"),
        ("http://HOST:PORT/x?key=hidden", "http://HOST:PORT/x: refuses the connection; check the host and the port"),
        ("tcp://HOST:PORT", "tcp://HOST:PORT: refuses the connection; check the host and the port"),
        ("udp://HOST:PORT", "udp://HOST:PORT: sent nothing for 0.6 s; check the host and the network"),
        (
            "gopher-2://x:hidden@HOST/x",
            "gopher-2://HOST/x: has a protocol that cannot be read; give an address such as",
        ),
        ("rtsp://nowhere.invalid/x", "rtsp://nowhere.invalid/x: cannot be read: .*; check the address"),
    ],
)
def test_where_nothing_answers_is_told(address: str, found: str) -> None:
    place = {"HOST": HOST, "PORT": str(free_port())}
    for key, value in place.items():
        address, found = address.replace(key, value), found.replace(key, value)
    started_s = time.monotonic()
    with pytest.raises(StreamError, match=found) as caught:
        next(iter(NetworkSource(address, QUICK)))
    assert "hidden" not in f"{caught.value}{caught.value.__cause__}{caught.value.__context__}"
    assert time.monotonic() - started_s < 10


def test_a_missing_path_of_a_camera_is_told(server: RtspServer) -> None:
    with pytest.raises(StreamError, match="is not there: the server says 404"):
        next(iter(NetworkSource(server.address.replace("street", "other"), QUICK)))


def test_waiting_doubles_up_to_its_limit() -> None:
    patience = Patience()
    assert [patience.wait_s(failures) for failures in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert patience.wait_s(10**6) == 10
