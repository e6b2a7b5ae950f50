"""What several test packages share: data that is on this machine or not."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CAMVID_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "camvid"


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """Root of CamVid in the SegNet split; the test is skipped, visibly, where the data is not there."""
    if not CAMVID_ROOT.is_dir():
        pytest.skip(f"CamVid is not at {CAMVID_ROOT}")
    return CAMVID_ROOT


@pytest.fixture
def hang_ups_heeded() -> Iterator[None]:
    """Have SIGHUP do what it does by itself, here and in what is started: nohup, which may run tests, ignores it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
