from __future__ import annotations

import os
import signal
import threading

import pytest

from contextnet.stop_signals import STOP_SIGNALS, ending_on_sigterm, heed_signals

pytestmark = pytest.mark.usefixtures("hang_ups_heeded")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("sent", "noted"),
    [
        ([], None),
        ([signal.SIGTERM], signal.SIGTERM),
        ([signal.SIGINT], signal.SIGINT),
        ([signal.SIGTERM, signal.SIGTERM, signal.SIGTERM], signal.SIGTERM),
        ([signal.SIGINT, signal.SIGTERM], signal.SIGINT),
        ([signal.SIGTERM, signal.SIGINT], signal.SIGTERM),
        ([signal.SIGHUP, signal.SIGHUP], signal.SIGHUP),
        ([signal.SIGHUP, signal.SIGINT], signal.SIGHUP),
    ],
)
def test_first_signal_is_noted_and_repeats_say_nothing_new(sent: list[int], noted: int | None) -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with heed_signals() as request:
        for number in sent:
            send(number)
        assert request.signal_number == noted
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heed_signals() as request:
            send(signal.SIGHUP)
        assert request.signal_number is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("first", [[], [signal.SIGTERM], [signal.SIGHUP]])
def test_second_interrupt_ends_at_once(first: list[int]) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupted_twice() -> None:
        with heed_signals():
            for number in [*first, signal.SIGINT, signal.SIGINT]:
                send(number)

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_before_training_cleans_up_on_its_way() -> None:
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            cleaned.append(True)

    with pytest.raises(SystemExit) as caught, ending_on_sigterm():
        work()
    assert caught.value.code == 143
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_leave_signals_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with heed_signals() as request, ending_on_sigterm():
            seen.extend([request.signal_number, signal.getsignal(signal.SIGTERM)])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None, before]
