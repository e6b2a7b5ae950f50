"""From the words of a command line to a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from contextnet.data.synthetic.dataset import drives_for
from contextnet.errors import StreamError
from contextnet.streaming.sources.camera import CameraSource
from contextnet.streaming.sources.drive import DriveSource
from contextnet.streaming.sources.folder import FolderSource
from contextnet.streaming.sources.network import NetworkSource, without_secrets
from contextnet.streaming.sources.newest import Newest
from contextnet.streaming.sources.paced import Paced
from contextnet.streaming.sources.source import Source
from contextnet.streaming.sources.standard_input import StandardInput
from contextnet.streaming.sources.video import DEFAULT_RATE, VideoSource

RECORDED = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
"""Endings of an HTTP address at which a recording lies, to be read once and whole."""

DRIVE_HW = (1024, 2048)
DRIVE_FRAMES = 150


@dataclass(frozen=True)
class SourceWishes:
    """What a source is asked for beside its name.

    ``is_live`` plays a recording at its own pace, as a camera would, frames that come too fast dropped. ``size_hw`` is
    that of raw pixels, or what a camera is asked for; ``rate`` frames a second likewise, and those of a folder.
    """

    is_live: bool = False
    size_hw: tuple[int, int] | None = None
    rate: Fraction | None = None


def open_source(target: str | int | Path, wishes: SourceWishes | None = None) -> Source:
    """Open what ``target`` names, and keep up with it if it is live: then only its newest frame is ever given.

    A video file or a folder of images; a camera by its number or device; an address (rtsp://, http://, udp://, …);
    ``-`` for standard input; ``synthetic`` or ``synthetic:HEIGHTxWIDTH`` for a drawn drive. Raises ``StreamError`` when
    there is no such thing, or it cannot be opened.
    """
    name, wishes = str(target), wishes or SourceWishes()
    if name.isdecimal() or name.startswith("/dev/"):
        return Newest(CameraSource(int(name) if name.isdecimal() else name, wishes.size_hw, wishes.rate))
    if "://" in name and not _is_recording(name):
        return Newest(NetworkSource(name))
    if name == "-":
        piped = StandardInput(wishes.size_hw, wishes.rate or DEFAULT_RATE)
        return Newest(piped) if wishes.is_live else piped
    recorded = _open_recorded(name, wishes)
    return Newest(Paced(recorded)) if wishes.is_live else recorded


def _open_recorded(name: str, wishes: SourceWishes) -> Source:
    if "://" in name:
        return VideoSource(without_secrets(name), opened=name)
    if name == "synthetic" or name.startswith("synthetic:"):
        rate = float(wishes.rate or 17)
        return DriveSource(drives_for("demo", 1, _drive_hw(name), DRIVE_FRAMES, rate)[0])
    if Path(name).is_dir():
        return FolderSource(Path(name), wishes.rate or DEFAULT_RATE)
    return VideoSource(Path(name))


def _is_recording(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in {"http", "https"} and PurePosixPath(parts.path).suffix.lower() in RECORDED


def _drive_hw(name: str) -> tuple[int, int]:
    _, _, size = name.partition(":")
    if not size:
        return DRIVE_HW
    match = re.fullmatch(r"(\d+)[x×](\d+)", size)
    if match is None:
        raise StreamError.at(f"source '{name}'", f"'{size}' is no size", "give synthetic:HEIGHTxWIDTH")
    return int(match[1]), int(match[2])
