"""Work that takes some ranks long while others wait, longer than any single message may take."""

from __future__ import annotations

import time
from collections.abc import Callable

from contextnet.training.messages import any_rank
from contextnet.training.ranks import Ranks

INTERVAL_S = 60.0
"""How often a rank that works says so; far below the time limit of a message."""


class LongWork:
    """Keeps waiting ranks from giving up: those that work say so at intervals, until every one has finished.

    Every rank, whether it works or only waits, must call ``finish`` once; ``reported`` is for those that work.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._said_s = time.monotonic()

    def reported(self, progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
        """Give a progress function that also tells the other ranks, at intervals, that this one is at work."""

        def report(done: int, total: int) -> None:
            progress(done, total)
            if self._ranks.world_size > 1 and time.monotonic() - self._said_s > INTERVAL_S:
                any_rank(True, self._ranks)
                self._said_s = time.monotonic()

        return report

    def finish(self) -> None:
        """Return when the work of every rank is done."""
        while any_rank(False, self._ranks):
            pass
