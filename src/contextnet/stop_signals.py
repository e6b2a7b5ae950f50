"""Stopping on request: SIGTERM, SIGINT and SIGHUP are noted, and a long loop ends where nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

HANG_UP = getattr(signal, "SIGHUP", None)
"""What closing the terminal sends; Windows has none."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT) + ((HANG_UP,) if HANG_UP else ())


STANDARD_OUTPUTS = (1, 2)
"""The descriptors of standard output and standard error."""


class Terminals:
    """The terminals that this process speaks to, as they are when this is made."""

    def __init__(self) -> None:
        self._descriptors = [descriptor for descriptor in STANDARD_OUTPUTS if os.isatty(descriptor)]

    def leave_closed(self) -> None:
        """Let what is still said to terminals that were closed go nowhere; it would be an error."""
        for descriptor in self._descriptors:
            if not os.isatty(descriptor):
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), descriptor)


@dataclass
class StopRequest:
    """Which signal asked to stop, if any has."""

    signal_number: int | None = None


class Stopped(Exception):  # noqa: N818 - a request, no error
    """Ends a loop on request, with everything kept that is needed to use or resume what was done."""

    def __init__(self, signal_number: int | None) -> None:
        self.signal_number = signal_number or signal.SIGTERM
        super().__init__(f"stopped by signal {self.signal_number}")


@contextmanager
def heed_signals() -> Iterator[StopRequest]:
    """Note SIGTERM, SIGINT and SIGHUP instead of ending at once; a second SIGINT acts as it would outside.

    A second one of the others says nothing new: launchers send SIGTERM to processes that have been told already. SIGHUP
    comes when the terminal is closed, to which nothing is said from then on; where it is ignored, as under nohup, it
    stays so. Only the main thread may take signals; in any other nothing is changed and no request ever comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    if before.get(HANG_UP) == signal.SIG_IGN:
        del before[HANG_UP]
    interrupts, terminals = 0, Terminals()

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1:
            raise KeyboardInterrupt
        if number == HANG_UP:
            terminals.leave_closed()
        request.signal_number = request.signal_number or number

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Have SIGTERM end the process by ``SystemExit``, so that what was begun is cleaned up; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
