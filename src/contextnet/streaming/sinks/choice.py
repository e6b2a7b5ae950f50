"""From the words of a command line to a sink."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from av import VideoFrame

from contextnet.errors import StreamError
from contextnet.files import is_no_place_for_files, try_to_write
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.sinks.json_lines import JsonLinesSink
from contextnet.streaming.sinks.label_files import LabelNpzSink, LabelPngSink
from contextnet.streaming.sinks.mjpeg_server import MjpegServer
from contextnet.streaming.sinks.sink import Sink
from contextnet.streaming.sinks.video import SUFFIXES, VideoSink
from contextnet.streaming.sinks.window import WindowSink


class NullSink:
    """Takes results and keeps none, to measure the rest of a stream."""

    name = "none"
    needs_picture = False

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


WORDS: dict[str, Callable[[], Sink]] = {
    "window": lambda: WindowSink("ContextNet"),
    "none": NullSink,
    "-": lambda: JsonLinesSink(None),
}
"""The sinks that are called by a word of their own."""

FILES: dict[str, Callable[[Path], Sink]] = {
    **dict.fromkeys(SUFFIXES, VideoSink),
    ".jsonl": JsonLinesSink,
    ".npz": LabelNpzSink,
}
"""The sinks that write one file, by its suffix."""

_EXPECTED = (
    f"expected a file ending in {', '.join(FILES)}, FOLDER/ for label PNGs, http://HOST:PORT to look with a browser, "
    "window, none, or - for JSON lines on standard output"
)


def open_sink(target: str, rate: Fraction | None = None) -> Sink:
    """Open the sink that ``target`` names: a file by its suffix, ``FOLDER/``, ``http://HOST:PORT``, or a word.

    Files that are there are overwritten, without a question. ``rate`` is the frames a second that a video file
    announces. Raises ``StreamError`` as ``check_target`` does, and when an address or the display cannot be used.
    """
    check_target(target)
    if target in WORDS:
        return WORDS[target]()
    if target.startswith("http://"):
        host, port = _place_to_serve(target)
        return MjpegServer(port, host)
    path = Path(target)
    if _is_folder(target):
        return LabelPngSink(path)
    open_file = FILES[path.suffix.lower()]
    return VideoSink(path, rate) if open_file is VideoSink else open_file(path)


def check_target(target: str) -> None:
    """Raise ``StreamError`` where a target is unknown, its folder missing, or its file not to be written.

    Nothing is left or changed, so that targets can be checked before any work is done.
    """
    if target in WORDS:
        return
    if target.startswith("http://"):
        _place_to_serve(target)
        return
    path = Path(target)
    is_folder = _is_folder(target)
    if not is_folder and path.suffix.lower() not in FILES:
        raise StreamError.at(f"sink '{target}'", "there is no such kind", _EXPECTED)
    _require_folder(path)
    if is_folder:
        return
    if path.is_dir():
        raise StreamError.at(target, "is a folder", "give another file, or end a folder's name with /")
    if path.suffix.lower() == ".npz" and path.exists() and is_no_place_for_files(path):
        raise StreamError.at(target, "is no file, and an archive has to be one", "give a file, or x.jsonl for a pipe")
    try:
        try_to_write(path)
    except OSError as error:
        raise StreamError.at(
            target, f"cannot be written: {error.strerror}", "check its folder, or give another file"
        ) from None


def _is_folder(target: str) -> bool:
    """Tell whether a target is a folder for label PNGs; one that bears a file's suffix ends with a slash."""
    path = Path(target)
    return target.endswith(("/", os.sep)) or (bool(target) and path.suffix.lower() not in FILES and path.is_dir())


def _require_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise StreamError.at(path, f"there is no folder {path.parent}", "make it first")


def _place_to_serve(target: str) -> tuple[str, int]:
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or target.rstrip("/") != f"http://{parts.netloc}":
        expected = "expected http://HOST:PORT with a port of 0 to 65535, as in http://localhost:8080"
        raise StreamError.at(f"sink '{target}'", "names no place to serve", expected)
    return host, port
