"""An RTSP server on this machine that sends a drawn, counting picture, RTP within the connection (RFC 2326, 10.12).

It can be killed, started again on the same port, and stalled: then it keeps its connections and sends nothing.
"""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Callable
from fractions import Fraction
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

HOST = "127.0.0.1"
PATH = "/street"
RATE = 50
BITS = 12
BLOCK_PX = 16


def counting_picture(number: int, size_hw: tuple[int, int] = (48, BITS * BLOCK_PX)) -> NDArray[np.uint8]:
    """Draw a number as black and white blocks, the lowest bit on the left, over a slope that moves; uint8 (H, W, 3)."""
    height, width = size_hw
    row = (np.arange(width) + 5 * number) % 200 + 30
    image = np.repeat(np.broadcast_to(row, (height, width))[..., None], 3, axis=2).astype(np.uint8)
    for bit in range(BITS):
        image[:BLOCK_PX, bit * BLOCK_PX : (bit + 1) * BLOCK_PX] = 255 * (number >> bit & 1)
    return image


def number_in(image: NDArray[np.uint8]) -> int:
    """Read the number that a picture shows."""
    middles = image[BLOCK_PX // 2, BLOCK_PX // 2 : BITS * BLOCK_PX : BLOCK_PX].mean(axis=1)
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


class RtspServer:
    """Serves the counting picture at ``address``, 50 a second, to any number of clients, each from its own key frame.

    Numbers go on from client to client. ``user_password`` is asked for when given; ``turned_away`` counts requests
    without it, and for pictures by UDP. ``stalled`` set sends nothing.
    """

    def __init__(self, user_password: str | None = None, options: dict[str, str] | None = None) -> None:
        self.user_password = user_password
        self.encoder_options = options or {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        self.stalled = Event()
        self.turned_away = 0
        self.sent = 0
        self.playing = Event()
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        self._server: _Server | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """Where the picture is."""
        return f"rtsp://{HOST}:{self.port}{PATH}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = _Server((HOST, self.port), _Session)
        self._server.rtsp = self
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.01,), name="rtsp server").start()

    def kill(self) -> None:
        """Stop listening, and cut every connection; returns when nothing is left running."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            self.cut()
            server.server_close()

    def cut(self) -> None:
        """Cut every connection, and go on listening."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def keep(self, connection: socket.socket) -> None:
        """Note a connection, to be cut."""
        with self._lock:
            self._connections.add(connection)

    def forget(self, connection: socket.socket) -> None:
        """Forget one that has ended."""
        with self._lock:
            self._connections.discard(connection)

    def next_number(self) -> int:
        """Give the number of the next picture."""
        with self._lock:
            self.sent += 1
            return self.sent - 1


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    rtsp: RtspServer


class _Session(StreamRequestHandler):
    """One client: answers its requests, and sends pictures once it asks to play."""

    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.rtsp = self.server.rtsp
        self.rtsp.keep(self.connection)
        self.gone = Event()
        self.write_lock = Lock()
        self.player: Thread | None = None
        try:
            with contextlib.suppress(OSError):
                while request := self._request():
                    self._answer(*request)
        finally:
            self.gone.set()
            if self.player is not None:
                self.player.join()
            self.rtsp.forget(self.connection)

    def _request(self) -> tuple[str, str, dict[str, str]] | None:
        """Read a request: method, address and headers; None at the end. RTCP between requests is passed over."""
        while (first := self.rfile.read(1)) == b"$":
            _, length = self.rfile.read(1), int.from_bytes(self.rfile.read(2), "big")
            self.rfile.read(length)
        if not first:
            return None
        method, address, _ = (first + self.rfile.readline()).decode().split()
        lines = iter(lambda: self.rfile.readline().decode().strip(), "")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return method, address, headers

    def _answer(self, method: str, address: str, headers: dict[str, str]) -> None:
        if not self._is_let_in(headers):
            self.rtsp.turned_away += 1
            return self._reply(headers, "401 Unauthorized", **{"WWW-Authenticate": 'Basic realm="street"'})
        if PATH not in address:
            return self._reply(headers, "404 Not Found")
        if method == "DESCRIBE":
            return self._reply(headers, "200 OK", _description(), **{"Content-Type": "application/sdp"})
        if method == "SETUP":
            if "RTP/AVP/TCP" not in headers["transport"]:
                self.rtsp.turned_away += 1
                return self._reply(headers, "461 Unsupported Transport")
            return self._reply(headers, "200 OK", Transport="RTP/AVP/TCP;unicast;interleaved=0-1", Session="1")
        self._reply(headers, "200 OK", Session="1", Public="DESCRIBE, SETUP, PLAY, TEARDOWN")
        if method == "PLAY":
            self.player = Thread(target=self._play, name="rtsp player")
            self.player.start()
        return None

    def _is_let_in(self, headers: dict[str, str]) -> bool:
        wanted = self.rtsp.user_password
        if wanted is None:
            return True
        return headers.get("authorization") == f"Basic {base64.b64encode(wanted.encode()).decode()}"

    def _reply(self, headers: dict[str, str], status: str, body: str = "", **more: str) -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers['cseq']}", *(f"{key}: {value}" for key, value in more.items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self.write_lock:
            self.wfile.write("\r\n".join([*lines, "", body]).encode())

    def _play(self) -> None:
        self.rtsp.playing.set()
        send_pictures(self._send, self.rtsp.next_number, self.rtsp.encoder_options, self._may_go_on)

    def _may_go_on(self) -> bool:
        """Wait until the next picture is due and may be sent; False when the client has gone."""
        self.gone.wait(1 / RATE)
        while self.rtsp.stalled.is_set() and not self.gone.wait(0.01):
            pass
        return not self.gone.is_set()

    def _send(self, packet: bytes) -> None:
        """Send a packet: RTCP's types are 200 to 204, in the place where RTP has 128 and the marker."""
        channel = 1 if 200 <= packet[1] <= 204 else 0
        try:
            with self.write_lock:
                self.wfile.write(bytes((ord("$"), channel)) + len(packet).to_bytes(2, "big") + packet)
        except OSError:
            self.gone.set()


def send_pictures(
    send: Callable[[bytes], None],
    next_number: Callable[[], int],
    options: dict[str, str],
    may_go_on: Callable[[], bool],
) -> None:
    """Encode pictures as H.264 and hand them over in RTP packets."""
    with av.open(_PacketFile(send), "w", format="rtp", options={"packetsize": "1200"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        first = counting_picture(0)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        tick = 0
        while may_go_on():
            video = av.VideoFrame.from_ndarray(counting_picture(next_number()), format="rgb24")
            video.pts, video.time_base = tick, Fraction(1, RATE)
            tick += 1
            container.mux(stream.encode(video))


class _PacketFile:
    """A file of which every write is one packet."""

    name = f"rtp://{HOST}"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def write(self, packet: bytes) -> int:
        if packet:
            self._send(bytes(packet))
        return len(packet)


def _description() -> str:
    """Describe the stream: H.264 as RTP's type 96, its parameter sets within the stream."""
    lines = ["v=0", f"o=- 1 1 IN IP4 {HOST}", "s=street", f"c=IN IP4 {HOST}", "t=0 0"]
    media = ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", "a=control:video"]
    return "\r\n".join([*lines, *media, ""])
