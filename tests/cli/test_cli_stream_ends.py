"""How a stream ends that is asked to: each in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")

PATIENCE_S = 30.0


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_with_files_that_can_be_used(tmp_path: Path, number: signal.Signals, code: int) -> None:
    output, lines = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    words = ["stream", "synthetic:64x128", "--live", "--rate", "20", "--output", str(output), "--output", str(lines)]
    command = [sys.executable, "-m", "contextnet", *words, "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (lines.exists() and len(lines.read_text().splitlines()) >= 5):
                assert process.poll() is None, process.communicate()
                os.sched_yield()
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == code, err
    figures = json.loads(out)
    assert figures["frames"] >= 5
    assert "frames/s" in err
    assert "Traceback" not in err
    assert len(lines.read_text().splitlines()) == figures["frames"]
    assert frames_in(output) == figures["frames"]


@pytest.mark.parametrize("is_blocked", ["out.jsonl", "-"])
def test_a_second_interrupt_leaves_whatever_is_blocked(tmp_path: Path, is_blocked: str) -> None:
    film, lines = tmp_path / "film.mp4", tmp_path / "out.jsonl"
    os.mkfifo(lines)
    # Whoever holds the pipe reads nothing.
    pipe = os.open(lines, os.O_RDWR)
    fill(pipe)
    target = "-" if is_blocked == "-" else str(lines)
    words = ["stream", "synthetic:64x128", "--output", target, "--output", str(film)]
    command = [sys.executable, "-m", "contextnet", *words]
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.PIPE, text=True) as process:
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not film.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until_s
                os.sched_yield()
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=5)
        finally:
            process.kill()
            os.close(pipe)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Fatal" not in err
    assert frames_in(film) > 0, "what is not blocked is finished"


def fill(pipe: int) -> None:
    """Write into a pipe until no byte more goes in."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"\n")
    os.set_blocking(pipe, True)


def test_closing_the_terminal_ends_it_with_files_that_can_be_used(tmp_path: Path) -> None:
    film, figures = tmp_path / "film.mp4", tmp_path / "figures.json"
    lines = tmp_path / "out.jsonl"
    words = ["stream", "synthetic:64x128", "--live", "--rate", "20", "--output", str(film), "--output", str(lines)]
    with terminal([sys.executable, "-m", "contextnet", *words, "--json", str(figures)]) as (process, master):
        until_s = time.monotonic() + PATIENCE_S
        while not (lines.exists() and len(lines.read_text().splitlines()) >= 5):
            assert time.monotonic() < until_s
            if select.select([master], [], [], 0.01)[0]:
                os.read(master, 4096)
        os.close(master)
        _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert json.loads(figures.read_text())["frames"] == frames_in(film) == len(lines.read_text().splitlines())


@contextmanager
def terminal(command: list[str]) -> Iterator[tuple[int, int]]:
    """Run a program at a terminal of its own, and give its process and the terminal's other side."""
    process, master = pty.fork()
    if process == 0:
        os.execv(command[0], command)
    try:
        yield process, master
    except BaseException:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        raise
