"""What several test packages share: data that is on this machine or not."""

from __future__ import annotations

from pathlib import Path

import pytest

CAMVID_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "camvid"


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """Root of CamVid in the SegNet split; the test is skipped, visibly, where the data is not there."""
    if not CAMVID_ROOT.is_dir():
        pytest.skip(f"CamVid is not at {CAMVID_ROOT}")
    return CAMVID_ROOT
