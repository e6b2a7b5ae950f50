"""A child process with a time limit: told to stop in time, killed only where it does not heed that."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAST_LINES = 12
STOPPED_CODE = 143
"""How a training ends that SIGTERM stopped and that saved its state."""


@dataclass(frozen=True)
class Ending:
    """How a child ended: its exit code (negative for a signal), its seconds, and whether the limit ended it."""

    exit_code: int
    seconds: float
    hit_limit: bool
    last_lines: tuple[str, ...]


def run_child(command: Sequence[str], output: Path, limit_s: float, saving_s: float) -> Ending:
    """Run a command, its output appended to a file; SIGTERM after ``limit_s``, SIGKILL ``saving_s`` after that."""
    began_s = time.monotonic()
    hit_limit = False
    with output.open("ab") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            hit_limit = True
            process.terminate()
            _wait_or_kill(process, saving_s)
        except BaseException:
            process.terminate()
            _wait_or_kill(process, saving_s)
            raise
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return Ending(process.returncode, time.monotonic() - began_s, hit_limit, tuple(lines[-LAST_LINES:]))


def _wait_or_kill(process: subprocess.Popen[bytes], patience_s: float) -> None:
    try:
        process.wait(timeout=patience_s)
    except subprocess.TimeoutExpired:
        process.kill()


def ask_child(command: Sequence[str], limit_s: float) -> Any:
    """Run a command that prints JSON and give its values; ``{"skipped": why}`` where there are none in time."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(limit_s, 0.001))
    except subprocess.TimeoutExpired:
        return {"skipped": f"not done within {limit_s:.0f} s"}
    if answer.returncode != 0:
        said = [line.strip(" │") for line in answer.stderr.splitlines() if line.strip(" ╭─╮╰╯│")]
        return {"skipped": f"exit code {answer.returncode}: {said[-1] if said else 'nothing said'}"}
    try:
        return json.loads(answer.stdout)
    except ValueError:
        return {"skipped": "its output is not JSON"}
