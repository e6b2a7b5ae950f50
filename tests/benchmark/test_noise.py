from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contextnet.benchmark.noise import find_noise, others_share


def write_stat(proc: Path, busy: tuple[int, int, int], steal: int, idle: int) -> None:
    """Write the first two lines of Linux's file: user, nice, system, idle, iowait, irq, softirq, steal, guests."""
    user, nice, system = busy
    line = f"cpu  {user} {nice} {system} {idle} 7 0 0 {steal} 999 999\n"
    (proc / "stat").write_text(line + "cpu0 1 2 3 4 5 6 7 8 9 10\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("after", "own_s", "expected"),
    [
        pytest.param(((100, 100, 100), 100, 5000), 0.0, 0.0, id="idle"),
        pytest.param(((150, 100, 100), 100, 100), 0.0, 0.5, id="half a core"),
        pytest.param(((150, 150, 150), 150, 100), 0.0, 2.0, id="nice, system and what the hypervisor takes"),
        pytest.param(((150, 100, 100), 100, 100), 0.25, 0.25, id="without this process"),
        pytest.param(((110, 100, 100), 100, 100), 0.75, 0.0, id="never below zero"),
    ],
)
def test_share_of_others_in_a_second(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    after: tuple[tuple[int, int, int], int, int],
    own_s: float,
    expected: float,
) -> None:
    """A second of 100 ticks passes while it rests: the clocks move and the system's counts change."""
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    clock = {"s": 10.0, "own": 1.0}
    monkeypatch.setattr(time, "perf_counter", lambda: clock["s"])
    monkeypatch.setattr(time, "process_time", lambda: clock["own"])

    def rest(seconds: float) -> None:
        clock["s"] += seconds
        clock["own"] += own_s
        write_stat(tmp_path, *after)

    monkeypatch.setattr(time, "sleep", rest)
    write_stat(tmp_path, (100, 100, 100), 100, 0)
    assert others_share(1.0, tmp_path) == pytest.approx(expected)


@pytest.mark.parametrize("content", [None, "", "cpu 1 2 3\n", "cpu a b c d e f g h\n", "intr 5\n"])
def test_share_is_unknown_where_the_system_does_not_tell(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "stat").write_text(content, encoding="utf-8")
    assert others_share(0.0, tmp_path) is None


def test_share_on_this_machine_is_a_share_of_its_cores() -> None:
    share = others_share(0.05)
    assert share is None or 0 <= share < (os.cpu_count() or 1) + 1


@pytest.mark.parametrize(
    ("others", "spreads", "expected"),
    [
        pytest.param(0.0, {"sequential": 0.0}, None, id="quiet"),
        pytest.param(0.15, {"sequential": 0.15, "pipelined": 0.15}, None, id="at the limits"),
        pytest.param(None, {"sequential": 0.1}, None, id="unknown others"),
        pytest.param(0.431, {"sequential": 0.1}, "other processes took 43% of a core (at most 15%)", id="others"),
        pytest.param(
            0.1,
            {"sequential": 0.1, "pipelined": 0.224},
            "the pipelined figure varied by 22% from round to round (at most 15%)",
            id="spread",
        ),
        pytest.param(
            1.5,
            {"sequential": 0.4, "pipelined": 0.3},
            "other processes took 150% of a core (at most 15%) and the sequential figure varied by 40% from round to "
            "round (at most 15%) and the pipelined figure varied by 30% from round to round (at most 15%)",
            id="all",
        ),
    ],
)
def test_noise_in_words(others: float | None, spreads: dict[str, float], expected: str | None) -> None:
    assert find_noise(others, spreads) == expected
