from __future__ import annotations

import ctypes
from typing import Any

import pytest

from contextnet.runtime.engines.nvidia_driver import count_gpus


class Driver:
    """Stands in for the driver's library: what it answers on starting and on counting, and what it counts."""

    def __init__(self, started: int, counted: int, gpus: int) -> None:
        self._started, self._counted, self._gpus = started, counted, gpus

    def cuInit(self, flags: int) -> int:  # noqa: N802
        assert flags == 0
        return self._started

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._gpus
        return self._counted


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(Driver(0, 0, 2), 2), (Driver(0, 0, 0), 0), (Driver(100, 0, 3), 0), (Driver(0, 3, 3), 0), (None, 0)],
)
def test_the_driver_counts(monkeypatch: pytest.MonkeyPatch, driver: Driver | None, expected: int) -> None:
    def load(name: str) -> Driver:
        assert name in {"libcuda.so.1", "nvcuda.dll"}
        if driver is None:
            raise OSError("no such library")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert count_gpus() == expected
