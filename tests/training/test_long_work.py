from __future__ import annotations

import time

import pytest

from contextnet.training import long_work
from contextnet.training.long_work import LongWork
from contextnet.training.ranks import ALONE, Ranks


def test_rank_says_at_intervals_that_it_works_and_waits_until_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said, shown = {"s": 0.0}, [], []
    # Another rank still works at the third and the fourth message.
    others = iter([False, False, True, True, False])

    def any_rank(flag: bool, ranks: Ranks) -> bool:
        said.append(flag)
        return flag or next(others)

    monkeypatch.setattr(time, "monotonic", lambda: clock["s"])
    monkeypatch.setattr(long_work, "any_rank", any_rank)
    work = LongWork(Ranks(0, 2, 0, 1))
    report = work.reported(lambda done, total: shown.append((done, total)))
    for done in range(1, 6):
        clock["s"] += 30.5
        report(done, 5)
    assert said == [True, True]
    next(others), next(others)
    work.finish()
    assert said == [True, True, False, False, False]
    assert shown == [(done, 5) for done in range(1, 6)]


def test_one_process_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_work, "INTERVAL_S", -1.0)
    work = LongWork(ALONE)
    shown: list[int] = []
    work.reported(lambda done, total: shown.append(done))(3, 4)
    work.finish()
    assert shown == [3]
