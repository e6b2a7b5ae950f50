from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.sinks import choice
from contextnet.streaming.sinks.choice import NullSink, check_target, open_sink
from contextnet.streaming.sinks.json_lines import JsonLinesSink
from contextnet.streaming.sinks.label_files import LabelNpzSink, LabelPngSink
from contextnet.streaming.sinks.mjpeg_server import MjpegServer
from contextnet.streaming.sinks.video import SUFFIXES, VideoSink


@pytest.mark.parametrize(
    ("target", "kind", "needs_picture"),
    [
        *((f"film{suffix}", VideoSink, True) for suffix in SUFFIXES),
        ("FILM.MP4", VideoSink, True),
        ("log.jsonl", JsonLinesSink, False),
        ("film.npz", LabelNpzSink, False),
        ("labels/", LabelPngSink, False),
        ("film.mp4/", LabelPngSink, False),
        ("there", LabelPngSink, False),
        ("none", NullSink, False),
        ("-", JsonLinesSink, False),
        ("http://localhost:0", MjpegServer, True),
        ("http://127.0.0.1:0/", MjpegServer, True),
        ("http://0.0.0.0:0", MjpegServer, True),
    ],
)
def test_targets(target: str, kind: type, needs_picture: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    sink = open_sink(target)
    try:
        assert type(sink) is kind
        assert sink.needs_picture == needs_picture
    finally:
        sink.close()


def test_the_host_that_is_given_is_served() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "localhost"):
        sink = open_sink(f"http://{host}:0")
        sink.close()
        assert re.fullmatch(rf"http://{re.escape(host)}:[1-9]\d*", sink.name)


def test_a_video_is_told_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(choice, "VideoSink", lambda *args: told.append(args))
    monkeypatch.setitem(choice.FILES, ".mp4", choice.VideoSink)
    open_sink(str(tmp_path / "film.mp4"), Fraction(30))
    assert told == [(tmp_path / "film.mp4", Fraction(30))]


def test_the_window_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []
    monkeypatch.setattr(choice, "WindowSink", titles.append)
    open_sink("window")
    assert titles == ["ContextNet"]


def test_none_takes_results() -> None:
    sink = NullSink()
    sink.write(Segmentation(np.zeros((2, 2), np.uint8), CITYSCAPES, 1.0), None)
    sink.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder in which nobody may write")
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "log.jsonl", "film.npz"])
def test_a_folder_that_cannot_be_written_is_told_at_once(name: str) -> None:
    for tell in (check_target, open_sink):
        with pytest.raises(StreamError, match=rf"^/proc/{name}: cannot be written: .*; check its folder"):
            tell(f"/proc/{name}")


def test_checking_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").write_text("old")
    os.mkfifo(tmp_path / "pipe.jsonl")  # opening it would wait for its reader
    for name in ("old.mp4", "new.mp4", "pipe.jsonl", "labels/"):
        check_target(f"{tmp_path}/{name}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.mp4", "pipe.jsonl"]
    assert (tmp_path / "old.mp4").read_text() == "old"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "film.avi",
            r"^sink 'film\.avi': there is no such kind; expected a file ending in .*\.mp4.*\.jsonl.*\.npz, FO",
        ),
        ("", r"^sink '': there is no such kind; .*FOLDER/ for label PNGs, http://HOST:PORT .*window, none, or -"),
        ("results", "^sink 'results': there is no such kind"),
        ("there/folder.mp4", r"^there/folder\.mp4: is a folder; give another file, or end a folder's name with /$"),
        ("missing/film.mp4", r"^missing/film\.mp4: there is no folder missing; make it first$"),
        ("missing/log.jsonl", r"^missing/log\.jsonl: there is no folder missing; make it first$"),
        ("missing/film.npz", r"^missing/film\.npz: there is no folder missing; make it first$"),
        ("missing/labels/", r"^missing/labels: there is no folder missing; make it first$"),
        ("file/labels/", r"^file/labels: there is no folder file; make it first$"),
        ("file/", r"^file: is a file; give a folder$"),
        ("http://localhost", "^sink 'http://localhost': names no place to serve; expected http://HOST:PORT with a por"),
        ("http://:8080", "names no place to serve"),
        ("http://localhost:65536", "names no place to serve"),
        ("http://localhost:http", "names no place to serve"),
        ("http://localhost:8080/live", "names no place to serve"),
        ("http://[::1:8080", "names no place to serve"),
        ("https://localhost:8080", "^sink 'https://localhost:8080': there is no such kind"),
    ],
)
def test_targets_that_cannot_be(target: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there/folder.mp4").mkdir(parents=True)
    Path("file").touch()
    with pytest.raises(StreamError, match=message):
        open_sink(target)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.mp4", "there"]
