from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks import mjpeg_server
from contextnet.streaming.sinks.mjpeg_server import MAX_CLIENTS, MjpegServer

TOLERANCE = 8
"""How far a flat area of a picture may be off, of 255: rounding to YUV and back, twice, and JPEG's own."""


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    before = set(threading.enumerate())
    server = MjpegServer(0)
    yield server
    started_s = time.monotonic()
    server.close()
    assert time.monotonic() - started_s < 1
    assert set(threading.enumerate()) <= before, "no thread is left"


def picture_of(image: NDArray[np.uint8]) -> VideoFrame:
    return VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


def flat(shade: int, size_hw: tuple[int, int] = (48, 64)) -> VideoFrame:
    return picture_of(np.full((*size_hw, 3), shade, np.uint8))


def noise(seed: int, size_hw: tuple[int, int]) -> VideoFrame:
    return picture_of(np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8))


def result_of(index: int) -> Segmentation:
    frame = Frame.of_image(np.zeros((2, 2, 3), np.uint8), index, 0.0)
    return Segmentation(np.zeros((2, 2), np.uint8), CITYSCAPES, 1.0, frame=frame)


def shade_of(jpeg: bytes) -> float:
    return float(np.asarray(Image.open(io.BytesIO(jpeg))).mean())


@contextmanager
def connection(server: MjpegServer) -> Iterator[HTTPConnection]:
    parts = urlsplit(server.address)
    client = HTTPConnection(str(parts.hostname), parts.port or 0, timeout=10)
    try:
        yield client
    finally:
        client.close()


def ask(server: MjpegServer, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    with connection(server) as client:
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()


@contextmanager
def raw_request(server: MjpegServer, words: str) -> Iterator[socket.socket]:
    """Ask through a bare connection that takes little in advance."""
    parts = urlsplit(server.address)
    with socket.socket() as client:
        client.settimeout(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((str(parts.hostname), parts.port or 0))
        client.sendall(f"{words} HTTP/1.0\r\n\r\n".encode())
        yield client


@contextmanager
def watching(server: MjpegServer) -> Iterator[HTTPResponse]:
    with connection(server) as client:
        client.request("GET", "/stream")
        with client.getresponse() as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
            assert answer.readline() == b"--picture\r\n"
            yield answer


def next_jpeg(answer: HTTPResponse) -> bytes | None:
    """Read one part with the boundary behind it; None at the stream's end."""
    line = answer.readline()
    if not line:
        return None
    assert line == b"Content-Type: image/jpeg\r\n"
    length = int(answer.readline().removeprefix(b"Content-Length: "))
    assert answer.readline() == b"\r\n"
    jpeg = answer.read(length)
    assert answer.readline() + answer.readline() == b"\r\n--picture\r\n"
    return jpeg


def wait_until(condition: Callable[[], bool], limit_s: float = 10) -> None:
    waiting, end_s = threading.Event(), time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        waiting.wait(0.005)


def test_the_page_shows_the_stream(server: MjpegServer) -> None:
    status, kind, content = ask(server, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"<title>ContextNet</title>" in content
    assert b'src="/stream"' in content
    assert server.name == server.address


def test_the_newest_picture_as_it_is(server: MjpegServer) -> None:
    steps = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, 32, 0), 32, 1)
    image = np.stack([steps, np.flipud(steps), np.fliplr(steps)], axis=-1)
    server.write(result_of(0), flat(0))
    server.write(result_of(1), picture_of(image))
    status, kind, content = ask(server, "/frame.jpg?t=1")
    assert (status, kind) == (200, "image/jpeg")
    found = np.asarray(Image.open(io.BytesIO(content)))
    assert found.shape == (96, 128, 3)
    # Blocks of 32 pixels: in their middles neither the halved colour nor the blocks of JPEG reach over an edge.
    np.testing.assert_allclose(found[16::32, 16::32].astype(int), image[16::32, 16::32].astype(int), atol=TOLERANCE)


def test_the_newest_result_in_figures(server: MjpegServer) -> None:
    server.write(result_of(41), flat(0))
    status, kind, content = ask(server, "/stats.json")
    assert (status, kind) == (200, "application/json")
    record = json.loads(content)
    assert (record["index"], record["classes"]["road"]["share"]) == (41, 1)


def test_pictures_follow_each_other(server: MjpegServer) -> None:
    with watching(server) as answer:
        for index, shade in enumerate((40, 200, 120)):
            server.write(result_of(index), flat(shade))
            jpeg = next_jpeg(answer)
            assert jpeg is not None
            assert abs(shade_of(jpeg) - shade) <= TOLERANCE


def test_a_picture_is_encoded_once_and_only_for_those_who_look(
    server: MjpegServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = mjpeg_server._Newest._encode
    monkeypatch.setattr(mjpeg_server._Newest, "_encode", lambda *args: encoded.append(args) or encode(*args))
    for index in range(5):
        server.write(result_of(index), flat(10 * index))
    assert not encoded
    with ExitStack() as stack:
        answers = [stack.enter_context(watching(server)) for _ in range(6)]
        jpegs = {next_jpeg(answer) for answer in answers}
        assert len(encoded) == 1
        assert len(jpegs) == 1
        server.write(result_of(5), flat(250))
        jpegs = {next_jpeg(answer) for answer in answers}
        assert len(encoded) == 2
        assert len(jpegs) == 1


def test_one_who_stops_reading_holds_nobody_up(server: MjpegServer) -> None:
    with raw_request(server, "GET /stream") as stuck, watching(server) as answer:
        assert stuck.recv(8) == b"HTTP/1.0"
        slowest_s = 0.0
        # Some 100 kB each, more together than the kernel holds for one who does not read.
        for index in range(40):
            started_s = time.monotonic()
            server.write(result_of(index), noise(index, (256, 384)))
            slowest_s = max(slowest_s, time.monotonic() - started_s)
            assert next_jpeg(answer) is not None
        assert slowest_s < 0.25
        server.write(result_of(40), flat(200))
        last = next_jpeg(answer)
        assert last is not None
        assert abs(shade_of(last) - 200) <= TOLERANCE


def test_one_who_stops_reading_does_not_hold_up_the_end() -> None:
    server = MjpegServer(0)
    with raw_request(server, "GET /stream") as stuck, watching(server) as answer:
        assert stuck.recv(8) == b"HTTP/1.0"
        for index in range(20):
            server.write(result_of(index), noise(index, (256, 384)))
            assert next_jpeg(answer) is not None
        started_s = time.monotonic()
        server.close()
        assert time.monotonic() - started_s < 1


def test_one_who_leaves_in_mid_picture_is_forgotten(server: MjpegServer, capfd: pytest.CaptureFixture[str]) -> None:
    with watching(server) as answer:
        server.write(result_of(0), noise(0, (512, 768)))
        assert len(answer.read(1000)) == 1000
        assert len(server._server._clients) == 1

    def write_on() -> bool:
        server.write(result_of(1), flat(90))
        return not server._server._clients

    wait_until(write_on)
    status, _, content = ask(server, "/frame.jpg")
    assert status == 200
    assert abs(shade_of(content) - 90) <= TOLERANCE
    assert capfd.readouterr() == ("", ""), "nothing is printed"


def test_one_who_leaves_is_forgotten_while_the_source_is_silent(
    server: MjpegServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mjpeg_server, "_REPEAT_S", 0.02)
    with watching(server) as answer:
        server.write(result_of(0), flat(90))
        assert next_jpeg(answer) == next_jpeg(answer) != b""
        assert len(server._server._clients) == 1
    wait_until(lambda: not server._server._clients)


def test_no_more_clients_than_there_is_room_for(server: MjpegServer) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CLIENTS - 1):
            stack.enter_context(watching(server))
        with watching(server):
            with connection(server) as client:
                client.connect()
                assert client.sock.recv(100).startswith(b"HTTP/1.0 503 Too many clients\r\n")
            server.write(result_of(0), flat(0))
        wait_until(lambda: server.write(result_of(1), flat(1)) or len(server._server._clients) < MAX_CLIENTS)
        assert ask(server, "/")[0] == 200


def test_the_last_picture_comes_before_the_end() -> None:
    server = MjpegServer(0)
    with watching(server) as answer:
        server.write(result_of(0), flat(40))
        first = next_jpeg(answer)
        server.write(result_of(1), flat(200))
        server.close()
        jpegs = [first]
        while jpegs[-1] is not None:
            jpegs.append(next_jpeg(answer))
    assert [round(shade_of(jpeg) / 40) for jpeg in jpegs if jpeg is not None] == [1, 5]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("HEAD", "/", 200, "text/html; charset=utf-8"),
        ("HEAD", "/stream", 200, "multipart/x-mixed-replace; boundary=picture"),
        ("HEAD", "/frame.jpg", 200, "image/jpeg"),
        ("HEAD", "/stats.json", 200, "application/json"),
        ("HEAD", "/other", 404, "text/html;charset=utf-8"),
        ("GET", "/other", 404, "text/html;charset=utf-8"),
        ("GET", "/../etc/passwd", 404, "text/html;charset=utf-8"),
        ("GET", "/stream/", 404, "text/html;charset=utf-8"),
        ("POST", "/", 501, "text/html;charset=utf-8"),
    ],
)
def test_what_is_asked_for(server: MjpegServer, method: str, path: str, status: int, kind: str) -> None:
    server.write(result_of(0), flat(0))
    found_status, found_kind, content = ask(server, path, method)
    assert (found_status, found_kind) == (status, kind)
    assert (content == b"") == (method == "HEAD")


@pytest.mark.parametrize("path", ["/", "/stream", "/frame.jpg", "/stats.json"])
def test_a_head_has_no_body(server: MjpegServer, path: str) -> None:
    server.write(result_of(0), flat(0))
    with raw_request(server, f"HEAD {path}") as client, client.makefile("rb") as answer:
        head, body = answer.read().split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert body == b""


@pytest.mark.parametrize("path", ["/frame.jpg", "/stats.json"])
def test_before_the_first_picture(server: MjpegServer, path: str) -> None:
    assert ask(server, path)[0] == 503


def test_a_fault_in_encoding_is_raised_to_the_writer(server: MjpegServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no encoder")

    monkeypatch.setattr(mjpeg_server._Newest, "_encode", broken)
    server.write(result_of(0), flat(0))
    with watching(server) as answer:
        assert next_jpeg(answer) is None
    wait_until(lambda: server._server.failure is not None)
    with pytest.raises(RuntimeError, match="no encoder"):
        server.write(result_of(1), flat(0))


def test_many_clients_while_it_is_closed() -> None:
    server = MjpegServer(0)
    ended = []

    def watch() -> None:
        with watching(server) as answer:
            while next_jpeg(answer) is not None:
                pass
        ended.append(True)

    watchers = [Thread(target=watch) for _ in range(8)]
    for watcher in watchers:
        watcher.start()
    wait_until(lambda: len(server._server._clients) == 8)
    for index in range(20):
        server.write(result_of(index), flat(index))
    server.close()
    for watcher in watchers:
        watcher.join(10)
    assert len(ended) == 8


def test_port_in_use(server: MjpegServer) -> None:
    port = urlsplit(server.address).port
    expected = rf"^http://127\.0\.0\.1:{port}: port {port} is in use; give another port, or 0 for any free one$"
    with pytest.raises(StreamError, match=expected):
        MjpegServer(port or 0)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, r"there is no port 65536; ports run from 0 to 65535$"),
        ("192.0.2.1", 0, r"cannot be served: Cannot assign requested address; give localhost or 0\.0\.0\.0"),
        ("x" * 64, 0, r"the host is not known; give localhost or 0\.0\.0\.0$"),
    ],
)
def test_places_that_cannot_be_served(host: str, port: int, message: str) -> None:
    before = threading.active_count()
    with pytest.raises(StreamError, match=message):
        MjpegServer(port, host)
    assert threading.active_count() == before


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socketserver.TCPServer.server_bind", unknown)
    with pytest.raises(StreamError, match=r"^http://camera:8080: the host is not known; give localhost or"):
        MjpegServer(8080, "camera")


def test_only_this_machine_can_look_unless_a_host_is_given() -> None:
    addresses = []
    for host in ("127.0.0.1", "0.0.0.0"):
        server = MjpegServer(0, host)
        addresses.append(server._server.server_address[0])
        server.close()
    assert addresses == ["127.0.0.1", "0.0.0.0"]
