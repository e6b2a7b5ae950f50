"""Trainings of ``contextnet reproduce`` that take a second: a network of a quarter of the widths on a few images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console

from contextnet.files import file_checksum
from contextnet.reproduce.trainings import Subject, Trainings
from contextnet.training.session import Display

TINY = ("batch_size=2", "execution.precision=float32", "validate_every=1")
SMALL = Subject("small", ("network.variant=cn14-160", "network.width=0.25"))
MINUTE_S = 60.0


@contextmanager
def no_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def quiet_display() -> Display:
    return Display(Console(quiet=True), no_bar)


def trainings(folder: Path, minutes: float | None, *overrides: str, source: str | None = None) -> Trainings:
    """Trainings on the pairs in ``folder/data``, their runs in ``folder/runs``."""
    data = source or f"folder:{folder / 'data'}"
    return Trainings(data, folder / "runs", minutes, torch.device("cpu"), quiet_display(), (*TINY, *overrides))


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file below a folder, with its checksum and the time when it was written."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (file_checksum(path), path.stat().st_mtime_ns) for path in files}
