from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contextnet.benchmark import noise
from contextnet.benchmark.noise import await_quiet, find_noise, others_share

# Of each core: user, nice, system, idle, iowait, irq, softirq, steal, and guests, which are in user and nice already.
BEFORE = """\
cpu  900000 900000 900000 900000 0 0 0 0 0 0
cpu0 100 100 100 500 600 100 100 100 100 100
cpu1 100 100 100 500 600 100 100 100 100 100
cpu2 100 100 100 500 600 100 100 100 100 100
intr 5 5 5
"""
COUNTED = "cpu0 150 110 120 500 600 101 102 117 100 100"  # 100 ticks more
IDLE = "cpu0 100 100 100 580 620 100 100 100 100 100"
CORE_0 = BEFORE.splitlines()[1]


@pytest.mark.parametrize(
    ("after", "own_s", "expected"),
    [
        pytest.param(BEFORE, 0.0, 0.0, id="nothing happens"),
        pytest.param(BEFORE.replace(CORE_0, IDLE), 0.0, 0.0, id="idle and waiting"),
        pytest.param(BEFORE.replace(CORE_0, COUNTED), 0.0, 1.0, id="a core"),
        pytest.param(BEFORE.replace("cpu2 100", "cpu2 150").replace(CORE_0, COUNTED), 0.0, 1.5, id="two cores"),
        pytest.param(BEFORE.replace("cpu1 100", "cpu1 900"), 0.0, 0.0, id="a core that is not for this process"),
        pytest.param(BEFORE.replace(CORE_0, COUNTED), 0.75, 0.25, id="without this process"),
        pytest.param(BEFORE, 0.75, 0.0, id="never below zero"),
    ],
)
def test_share_of_others_in_a_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: str, own_s: float, expected: float
) -> None:
    """A second of 100 ticks passes while it rests: the clocks move and the system's counts change."""
    clock = {"s": 10.0, "own": 1.0}
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    monkeypatch.setattr(time, "perf_counter", lambda: clock["s"])
    monkeypatch.setattr(time, "process_time", lambda: clock["own"])

    def rest(seconds: float) -> None:
        clock["s"] += seconds
        clock["own"] += own_s
        (tmp_path / "stat").write_text(after, encoding="utf-8")

    monkeypatch.setattr(time, "sleep", rest)
    (tmp_path / "stat").write_text(BEFORE, encoding="utf-8")
    assert others_share(1.0, tmp_path) == pytest.approx(expected)


@pytest.mark.parametrize(
    "content", [None, "", "\n\n", "cpu0 1 2 3\n", "cpu0 a b c d e f g h\n", "intr 5\n", f"{CORE_0}\n"]
)
def test_share_is_unknown_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    if content is not None:
        (tmp_path / "stat").write_text(content, encoding="utf-8")
    assert others_share(0.0, tmp_path) is None


def test_share_on_this_machine_is_a_share_of_its_cores() -> None:
    share = others_share(0.05)
    assert share is None or 0 <= share < (os.cpu_count() or 1) + 1


@pytest.mark.parametrize(
    ("shares", "expected", "left"),
    [
        pytest.param([0.1, 9.0], 0.1, 1, id="quiet at once"),
        pytest.param([0.9, 0.4, 0.15, 9.0], 0.15, 1, id="quiet at last"),
        pytest.param([0.9, 0.4, 0.3, 0.2, 0.1], 0.3, 2, id="never"),
        pytest.param([None, 0.1], None, 1, id="unknown"),
    ],
)
def test_it_waits_until_others_are_quiet_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, shares: list[float | None], expected: float | None, left: int
) -> None:
    monkeypatch.setattr(noise, "others_share", lambda: shares.pop(0))
    assert await_quiet(watches=3) == expected
    assert len(shares) == left


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
