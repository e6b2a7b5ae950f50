"""Trainings that run as processes of their own, watched from a test."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

from contextnet.training.checkpoint import Checkpoints


def newest_step(run: Path) -> int:
    """The step of the newest state in a run folder, 0 before the first."""
    files = Checkpoints(run, 1).files()
    return int(files[0].stem.rpartition("-")[2]) if files else 0


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    """Wait until the run has saved a state of ``step`` or later; it must not end before."""
    while newest_step(run) < step:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            raise AssertionError(f"the run ended before step {step}: {process.communicate()[1]}")
