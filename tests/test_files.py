from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from threading import Thread

import pytest

from contextnet.errors import ContextNetError
from contextnet.files import is_no_place_for_files, try_to_write, write_json, write_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of another kind")


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "a.txt", tmp_path / "a.txt"
    real.parent.mkdir()
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert list(real.parent.iterdir()) == [real]


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join(10)
    assert read == ['{\n  "a": 1\n}\n']
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays(tmp_path: Path) -> None:
    write_text(Path(os.devnull), "nothing")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    with pytest.raises(ContextNetError, match="/dev/full: cannot be written: No space left"):
        write_text(Path("/dev/full"), "much")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_descriptor_keeps_its_file(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("w+") as file:
        write_text(Path(f"/dev/fd/{file.fileno()}"), "words")
        assert file.read() == "words"


@pytest.mark.parametrize(
    ("path", "is_none"),
    [("/dev/stdout", True), ("/dev/fd/1", True), ("/proc/self/fd/1", True), ("/dev/shm/a.json", False)],
)
def test_memory_is_a_place_for_files_and_a_descriptor_is_none(path: str, is_none: bool) -> None:
    assert is_no_place_for_files(Path(path)) is is_none


def test_trying_to_write_leaves_nothing(tmp_path: Path) -> None:
    try_to_write(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "b.txt").write_text("old")
    try_to_write(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_text() == "old"
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls it
        try_to_write(tmp_path / "b.txt" / "c.txt")
    with pytest.raises(OSError):  # noqa: PT011
        try_to_write(Path("/proc/c.txt"))
