from __future__ import annotations

import os
from pathlib import Path

import pytest

from contextnet.errors import ContextNetError
from contextnet.runtime.engines import cores
from contextnet.runtime.engines.cores import at_least_one, usable_threads


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of control groups, for a process that may run on eight cores of sixty-four."""
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": "anything else"}, 8),
        ({"cpu.max": "0 0\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "300000\n"}, 8),
    ],
)
def test_as_many_threads_as_cores_may_be_used(machine: Path, files: dict[str, str], expected: int) -> None:
    write(machine, files)
    assert usable_threads(None) == expected


def test_where_processes_are_not_bound_to_cores_all_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_threads(None) == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_threads(None) == 1


def test_what_is_asked_for_is_given(machine: Path) -> None:
    write(machine, {"cpu.max": "100000 100000"})
    assert usable_threads(12) == 12


@pytest.mark.parametrize("number", [0, -1])
def test_less_than_one_is_refused(number: int) -> None:
    with pytest.raises(ContextNetError, match=rf"^threads {number}: expected 1 or more$"):
        usable_threads(number)
    with pytest.raises(ContextNetError, match=rf"^in_flight {number}: expected 1 or more$"):
        at_least_one("in_flight", number)
