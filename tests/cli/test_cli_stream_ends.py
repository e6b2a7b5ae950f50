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

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind"),
    pytest.mark.usefixtures("hang_ups_heeded"),
]

PATIENCE_S = 30.0


def await_file(path: Path) -> None:
    """Wait until another output of the stream, which writes at its own pace, has begun its file."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


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


IMPATIENT = """
from contextnet.cli import app, stream
from contextnet.streaming import pipeline

stream.FINISHING_S = pipeline.FINISHING_S = 0.5
app.main()
"""
"""The program with less patience for what is blocked."""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 2)], ids=["told", "hung up", "fault"]
)
def test_what_is_blocked_is_left_when_nobody_can_interrupt(
    tmp_path: Path, number: signal.Signals | None, code: int
) -> None:
    film, lines = tmp_path / "film.mp4", tmp_path / "out.jsonl"
    os.mkfifo(lines)
    pipe = os.open(lines, os.O_RDWR)
    fill(pipe)
    words = ["stream", "synthetic:64x128", "--output", str(lines), "--output", str(film), "--output", "-"]
    command = [sys.executable, "-c", IMPATIENT, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            await_file(film)
            if number is None:
                process.stdout.close()  # whoever reads the lines has gone, which is a fault
            else:
                process.send_signal(number)
            assert process.stderr is not None
            err = process.stderr.read()
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            os.close(pipe)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert "Fatal" not in err
    assert ("its reader has gone" in err) == (number is None)
    assert frames_in(film) > 0


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


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3])
def test_an_interrupt_while_it_starts_is_silent(after_s: float) -> None:
    # A shell that starts this in the background has interrupts ignored, and what it starts inherits that.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; from contextnet.__main__ import main; print(flush=True); main()"
    command = [sys.executable, "-c", program, "stream", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + after_s)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert b"Traceback" not in err


def test_standard_output_that_is_closed_is_refused() -> None:
    program = "import sys; sys.stdout = None; from contextnet.__main__ import main; main()"
    command = [sys.executable, "-c", program, "stream", "synthetic:64x128", "--output", "-"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert run.returncode == 2
    assert "standard output: is closed; leave it open, or give a file" in run.stderr
