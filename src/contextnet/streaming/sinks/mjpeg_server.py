"""The newest result as a web page, to look at from a browser or another machine: motion JPEG over HTTP.

"/" is a page that shows the stream, "/stream" the pictures as multipart/x-mixed-replace, "/frame.jpg" the newest
picture, "/stats.json" the newest result in the words of ``contextnet.streaming.sinks.json_lines``.
"""

from __future__ import annotations

import errno
import io
import json
import socket
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Condition, Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from av import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.sinks.json_lines import frame_record

MAX_CLIENTS = 16
JPEG_QUALITY = 85

_BOUNDARY = "picture"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ContextNet</title>
<style>
body { margin: 0; background: #111 }
img { display: block; margin: auto; max-width: 100%; max-height: 100vh }
</style>
<img src="/stream" alt="The labelled stream">
</html>
"""

# A client that takes nothing for so long has vanished.
_CLIENT_TIMEOUT_S = 10.0
# While the source is silent the newest picture is sent again, which shows whether the client is still there.
_REPEAT_S = 5.0
# What waits in the kernel for a slow client is old when it comes: room for a picture, not for seconds of them.
_SEND_BUFFER_BYTES = 1 << 18
_POLL_S = 0.1
_GRACE_S = 0.4


class MjpegServer:
    """Shows the drawn results to up to 16 clients at a time; each gets the newest picture whenever it is ready for one.

    A picture is encoded once, and only when somebody looks. Slow clients miss pictures and hold nothing up. With the
    default host only this machine can look; 0.0.0.0 lets every machine in the network. Port 0 takes a free one, and
    ``address`` says which. Raises ``StreamError`` when the port is taken or the host is not this machine's.
    """

    needs_picture = True

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._newest = _Newest()
        self._server = _open_server(host, port, self._newest)
        self.address = _address(host, self._server.server_address[1])
        # A daemon: who forgets to close the sink could not end the program.
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_S,), name="mjpeg-server", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The address of the page."""
        return self.address

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Show one picture from now on; it must not change any more. Raises what an earlier one failed with."""
        assert picture is not None
        if self._server.failure is not None:
            raise self._server.failure
        self._newest.put(result, picture)

    def close(self) -> None:
        """Send the last picture to those who take it at once, and end all connections, within a second."""
        self._newest.end()
        self._server.shutdown()
        self._thread.join()
        self._server.end_clients()
        self._server.server_close()


class _Newest:
    """The newest result and its picture, for one writer and many readers. Pictures are numbered from 1."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._number = 0
        self._result: Segmentation | None = None
        self._picture: VideoFrame | None = None
        self._has_ended = False
        self._encoding = Lock()
        self._jpeg = (0, b"")
        self._reformatter = VideoReformatter()

    def put(self, result: Segmentation, picture: VideoFrame) -> None:
        with self._changed:
            self._result, self._picture = result, picture
            self._number += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait(self, seen: int) -> bool:
        """Wait for a picture after number ``seen``, not for ever if one was seen; tell whether one is to be sent."""
        with self._changed:
            timeout_s = _REPEAT_S if seen else None
            self._changed.wait_for(lambda: self._has_ended or self._number > seen, timeout_s)
            return self._number > seen or not self._has_ended

    def jpeg(self) -> tuple[int, bytes]:
        """Give the newest picture's number, 0 if there is none, and its JPEG."""
        # Whoever comes while another encodes waits for the same bytes.
        with self._encoding:
            with self._changed:
                number, picture = self._number, self._picture
            if picture is not None and number != self._jpeg[0]:
                self._jpeg = number, self._encode(picture)
            return self._jpeg

    def record(self) -> dict[str, Any] | None:
        """Describe the newest result in plain JSON values."""
        with self._changed:
            result = self._result
        return None if result is None else frame_record(result)

    def _encode(self, picture: VideoFrame) -> bytes:
        # The frame's own conversion is not safe while another sink's thread converts the same frame.
        rgb = self._reformatter.reformat(picture, format="rgb24", threads=1)
        file = io.BytesIO()
        Image.fromarray(rgb.to_ndarray()).save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()


class _Server(ThreadingHTTPServer):
    """A thread a client, so many clients and no more; ``failure`` is the first fault that is not a client's."""

    allow_reuse_port = False
    daemon_threads = False
    block_on_close = True

    def __init__(self, host: str, port: int, newest: _Newest) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.newest = newest
        self.failure: BaseException | None = None
        self._clients: set[socket.socket] = set()
        self._client_left = Condition()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own looks its name up, which takes seconds where name servers do not answer.
        TCPServer.server_bind(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Count a client in, in the thread that accepts them."""
        with self._client_left:
            if len(self._clients) < MAX_CLIENTS:
                self._clients.add(request)
                return True
        with suppress(OSError):
            request.sendall(b"HTTP/1.0 503 Too many clients\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")
        return False

    def shutdown_request(self, request: Any) -> None:
        """Count a client out, in its own thread."""
        super().shutdown_request(request)
        with self._client_left:
            self._clients.discard(request)
            self._client_left.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep the fault that a request ended with, unless its client went away."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.failure = self.failure or error

    def end_clients(self) -> None:
        """Give the clients a moment to take what they are sent, and then break the connections."""
        with self._client_left:
            self._client_left.wait_for(lambda: not self._clients, _GRACE_S)
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    server_version = "ContextNet"
    sys_version = ""
    timeout = _CLIENT_TIMEOUT_S
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def do_GET(self) -> None:
        pages = {
            "/": self._send_page,
            "/stream": self._send_stream,
            "/frame.jpg": self._send_frame,
            "/stats.json": self._send_stats,
        }
        send = pages.get(urlsplit(self.path).path)
        if send is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            send()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""

    def _send_page(self) -> None:
        self._send("text/html; charset=utf-8", _PAGE.encode())

    def _send_frame(self) -> None:
        number, jpeg = self.server.newest.jpeg()
        self._send("image/jpeg", jpeg if number else None)

    def _send_stats(self) -> None:
        record = self.server.newest.record()
        self._send("application/json", None if record is None else json.dumps(record).encode())

    def _send_stream(self) -> None:
        self._send_head(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        if self.command == "HEAD":
            return
        self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
        seen = 0
        while self.server.newest.wait(seen):
            seen, jpeg = self.server.newest.jpeg()
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            # The boundary comes right behind the picture: browsers show one only when they have seen its end.
            self.wfile.write(head.encode() + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode())

    def _send(self, kind: str, content: bytes | None) -> None:
        """Send a whole answer; None is what there is before the first picture."""
        if content is None:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "No picture yet")
            return
        self._send_head(kind, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_head(self, kind: str, length: int | None = None) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def _open_server(host: str, port: int, newest: _Newest) -> _Server:
    address = _address(host, port)
    try:
        return _Server(host, port, newest)
    except OverflowError:
        raise StreamError.at(address, f"there is no port {port}", "ports run from 0 to 65535") from None
    except (socket.gaierror, UnicodeError):
        raise StreamError.at(address, "the host is not known", "give localhost or 0.0.0.0") from None
    except OSError as error:
        remedy = "give localhost or 0.0.0.0, and a port of 1024 or more"
        found = f"cannot be served: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            found, remedy = f"port {port} is in use", "give another port, or 0 for any free one"
        raise StreamError.at(address, found, remedy) from None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
