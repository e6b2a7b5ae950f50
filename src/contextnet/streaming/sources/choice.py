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
from contextnet.streaming.sources.standard_input import NAME, StandardInput
from contextnet.streaming.sources.video import DEFAULT_RATE, VideoSource

RECORDED = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
"""Endings of an HTTP address at which a recording lies, to be read once and whole."""

DRIVE_HW = (1024, 2048)
DRIVE_FRAMES = 150


@dataclass(frozen=True)
class SourceWishes:
    """What a source is asked for beside its name.

    ``is_live`` plays a recording at its own pace, as a camera would, frames that come too fast dropped. ``size_hw`` is
    that of raw pixels, or what a camera is asked for; ``rate`` frames a second likewise, and those of a folder or a
    drawn drive.
    """

    is_live: bool = False
    size_hw: tuple[int, int] | None = None
    rate: Fraction | None = None


def open_source(target: str | int | Path, wishes: SourceWishes | None = None) -> Source:
    """Open what ``target`` names, and keep up with it if it is live: then only its newest frame is ever given.

    A video file or a folder of images; a camera by its number or device; an address (rtsp://, http://, udp://, …);
    ``-`` for standard input; ``synthetic`` or ``synthetic:HEIGHTxWIDTH`` for a drawn drive. Raises ``StreamError`` when
    there is no such thing, it cannot be opened, or it does not heed what it is asked for.
    """
    name, wishes = str(target), wishes or SourceWishes()
    if not name:
        raise StreamError.at("source", "has no name", "give a video file, a folder of images, a camera or an address")
    _require_heeded(name, wishes)
    if _is_camera(name):
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
    if _is_drawn(name):
        rate = float(wishes.rate or 17)
        return DriveSource(drives_for("demo", 1, _drive_hw(name), DRIVE_FRAMES, rate)[0])
    if Path(name).is_dir():
        return FolderSource(Path(name), wishes.rate or DEFAULT_RATE)
    return VideoSource(Path(name))


def _require_heeded(name: str, wishes: SourceWishes) -> None:
    """Refuse a size or a rate that would be of no effect."""
    is_camera, is_piped, is_address = _is_camera(name), name == "-", "://" in name
    shown = without_secrets(name) if is_address else NAME if is_piped else name
    if wishes.size_hw is not None and not (is_camera or is_piped):
        remedy = "give synthetic:HEIGHTxWIDTH" if _is_drawn(name) else "a size is for cameras and raw standard input"
        raise StreamError.at(shown, "takes no --size: its pictures have their own", remedy)
    is_raw = is_piped and wishes.size_hw is not None
    heeds_rate = is_camera or is_raw or _is_drawn(name) or (not is_address and Path(name).is_dir())
    if wishes.rate is not None and not heeds_rate:
        remedy = "give --size too if it is raw RGB" if is_piped else "a rate is for cameras, folders and raw pixels"
        raise StreamError.at(shown, "takes no --rate: its frames have their own times", remedy)


def _is_camera(name: str) -> bool:
    return name.isdecimal() or name.startswith("/dev/")


def _is_drawn(name: str) -> bool:
    return name == "synthetic" or name.startswith("synthetic:")


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
