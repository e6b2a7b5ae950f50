"""A camera or a stream on the network as a source: RTSP, HTTP, TCP, UDP and what else FFmpeg reads."""

from __future__ import annotations

import re

import av
from av.container import InputContainer
from av.error import (
    ExitError,
    FFmpegError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
    ProtocolNotFoundError,
)

from contextnet.streaming.sources.reconnection import DEFAULT_PATIENCE, Fault, Patience, ReconnectingSource
from contextnet.streaming.sources.source import SourceInfo

LOW_LATENCY = {
    "rtsp_transport": "tcp",  # over UDP, lost packets tear pictures
    "allowed_media_types": "video",  # with sound still coming, a stalled picture would not be noticed
    "analyzeduration": "1000000",  # µs
    "fpsprobesize": "0",  # no frames are awaited to measure the rate
}
"""FFmpeg's options for pictures soon after connecting; protocols leave aside what is not theirs.

``fflags nobuffer`` is not among them: it throws away what was read to find the format, the first key frame with it, and
the picture then starts one key frame later. ``noparse`` would save one frame of delay and tears large pictures.
"""

_NO_PICTURES = Fault("sends no picture that can be decoded", "check that it is the address of a video")
_CREDENTIALS = "put the user and the password into the address, PROTOCOL://USER:PASSWORD@HOST/PATH"
_FAULTS: dict[type[Exception], Fault] = {
    HTTPUnauthorizedError: Fault("asks for a user and a password", _CREDENTIALS, is_final=True),
    HTTPForbiddenError: Fault("does not let this user in", _CREDENTIALS, is_final=True),
    HTTPNotFoundError: Fault("is not there: the server says 404", "check the path of the address", is_final=True),
    ProtocolNotFoundError: Fault(
        "has a protocol that cannot be read", "give an address such as rtsp://HOST/PATH", is_final=True
    ),
    ConnectionRefusedError: Fault("refuses the connection", "check the host and the port, and that the camera is on"),
    InvalidDataError: _NO_PICTURES,
}


class NetworkSource(ReconnectingSource):
    """Frames from an address, decoded as they come; opened again whenever it stalls, breaks or ends.

    Passwords are left out of its name and of all messages. ``patience`` says how long it is waited for.
    """

    def __init__(self, address: str, patience: Patience = DEFAULT_PATIENCE) -> None:
        super().__init__(SourceInfo(without_secrets(address), is_live=True), patience)
        self._address = address

    def _open(self) -> InputContainer:
        timeout = (self._patience.stall_s, self._patience.stall_s)
        # Cameras write their titles in any encoding.
        return av.open(self._address, "r", options=LOW_LATENCY, metadata_errors="replace", timeout=timeout)

    def _find_fault(self, error: FFmpegError | None) -> Fault:
        if error is None:
            return _NO_PICTURES
        if isinstance(error, ExitError | TimeoutError):
            found = f"sent nothing for {self._patience.stall_s:g} s"
            return Fault(found, "check the host and the network, and that the camera is on")
        other = Fault(f"cannot be read: {error.strerror}", "check the address")
        return next((fault for kind, fault in _FAULTS.items() if isinstance(error, kind)), other)


def without_secrets(address: str) -> str:
    """Leave out of an address what may hold a password: the user's part, and all behind the first ? or =.

    A password may hold any character, unescaped too, so all before the last @ is taken for the user's part.
    """
    protocol, _, rest = address.partition("://")
    user, _, place = rest.rpartition("@")
    if "?" in user or "=" in user:  # the @ may be one of the query's
        return f"{protocol}://…"
    return f"{protocol}://{re.split('[?=]', place)[0]}"
