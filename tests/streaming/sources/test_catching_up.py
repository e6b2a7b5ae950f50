from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import cast

import pytest
from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

from contextnet.streaming.sources import decoding
from contextnet.streaming.sources.catching_up import MAX_BLIND_S, MAX_LAG_S, MAX_SKIP_S, catching_up
from contextnet.streaming.sources.network import NetworkSource
from contextnet.streaming.sources.source import SourceCounts
from rtsp_server import RATE, RtspServer, number_in

GROUP = 10
"""Pictures from key frame to key frame."""


@dataclass
class Sent:
    """A packet as its sender made it."""

    number: int
    dts: int | None
    size: int = 1000
    pts: int | None = None
    time_base: Fraction = Fraction(1, 1000)

    @property
    def is_keyframe(self) -> bool:
        return self.number % GROUP == 0


class Line:
    """Packets that are sent one after the other, read and worked on under a clock that the test moves."""

    def __init__(self, interval_s: float, work_s: float) -> None:
        self.now_s = 100.0
        self.interval_s = interval_s
        self.work_s = work_s
        self.counts = SourceCounts()

    def packets(self, number: int) -> Iterator[Sent]:
        first_s = self.now_s
        for index in range(number):
            sent_s = first_s + index * self.interval_s
            self.now_s = max(self.now_s + 1e-4, sent_s)
            yield Sent(index, round(1000 * index * self.interval_s))

    def read(self, packets: Iterator[Sent]) -> list[tuple[int, float]]:
        """Give each packet's number and when it was read."""
        read = []
        typed = cast("Iterator[Packet[VideoStream]]", packets)
        for packet in catching_up(typed, self.counts, lambda: self.now_s):
            read.append((cast(Sent, packet).number, self.now_s))
            self.now_s += self.work_s
        return read


def test_who_keeps_up_gets_every_packet() -> None:
    line = Line(interval_s=0.04, work_s=0.039)
    assert [number for number, _ in line.read(line.packets(500))] == list(range(500))
    assert line.counts.dropped == 0


@pytest.mark.parametrize("slowness", [1.1, 2, 10])
def test_who_is_too_slow_stays_near_the_present(slowness: float) -> None:
    line = Line(interval_s=0.04, work_s=0.04 * slowness)
    read = line.read(line.packets(1500))
    lags = [read_s - 100.0 - 0.04 * number for number, read_s in read]
    assert max(lags) <= MAX_LAG_S + line.work_s
    assert line.counts.dropped == 1500 - len(read)
    for (before, _), (number, _) in pairwise(read):
        assert number == before + 1 or number % GROUP == 0, "behind a gap only a key frame can be decoded"
    # Most of what there is time for is used: at most a group of pictures is lost on the way to the next key frame.
    assert len(read) >= 0.6 * 1500 / slowness


def test_what_never_waits_is_shown_in_pieces() -> None:
    line = Line(interval_s=0.04, work_s=0.02)

    def all_at_once() -> Iterator[Sent]:
        for number in range(3000):
            line.now_s += 0.001
            yield Sent(number, 40 * (number // 10))  # time goes by more slowly than the packets come

    read = line.read(all_at_once())
    gaps_s = [after - before for (_, before), (_, after) in pairwise(read)]
    assert line.counts.dropped > 0
    assert max(gaps_s) <= MAX_SKIP_S + 0.1


def test_a_clock_that_is_set_anew_is_no_lag() -> None:
    line = Line(interval_s=0.04, work_s=0.01)

    def jumping() -> Iterator[Sent]:
        for packet in line.packets(300):
            assert packet.dts is not None
            packet.dts += {0: 0, 1: -3_600_000, 2: 86_400_000}[packet.number // 100]
            yield packet

    assert len(line.read(jumping())) == 300
    assert line.counts.dropped == 0


def test_packets_without_times_and_the_end_of_the_stream_are_passed_on() -> None:
    line = Line(interval_s=0.04, work_s=0.5)

    def timeless() -> Iterator[Sent]:
        for packet in line.packets(50):
            packet.dts = None
            yield packet

    assert len(line.read(timeless())) == 50

    def ending() -> Iterator[Sent]:
        yield from line.packets(8)
        yield Sent(9, None, size=0)

    assert line.read(ending())[-1][0] == 9
    assert line.counts.dropped > 0


def late_from(line: Line, delays_s: Callable[[int], float], number: int = 1000) -> Iterator[Sent]:
    """Packets of which each comes so many seconds after it was sent."""
    for packet in line.packets(number):
        line.now_s = max(line.now_s, 100.0 + line.interval_s * packet.number + delays_s(packet.number))
        yield packet


@pytest.mark.parametrize(
    "delay_s",
    [
        pytest.param(lambda number: 2 * MAX_LAG_S * (number >= 50), id="a line that is slower from now on"),
        pytest.param(lambda number: max(0.0, 3.0 - 0.04 * (number - 50)) * (number >= 50), id="a pause"),
        pytest.param(lambda number: 4.0 - 0.04 * (number % 100), id="segments of four seconds"),
    ],
)
def test_what_has_to_be_waited_for_is_the_present(delay_s: Callable[[int], float]) -> None:
    line = Line(interval_s=0.04, work_s=0.01)
    assert [number for number, _ in line.read(late_from(line, delay_s))] == list(range(1000))
    assert line.counts.dropped == 0


@pytest.mark.parametrize("ticks", [lambda number: -5_000 * (number >= 500), lambda number: -number // 50])
def test_a_clock_that_goes_slower_or_back_a_little_is_no_lag(ticks: Callable[[int], int]) -> None:
    line = Line(interval_s=0.04, work_s=0.005)

    def wandering() -> Iterator[Sent]:
        for packet in line.packets(2000):
            assert packet.dts is not None
            packet.dts += ticks(packet.number)
            yield packet

    assert len(line.read(wandering())) == 2000


def test_without_key_frames_pictures_are_decoded_on() -> None:
    """Some cameras renew the picture part by part and send a key frame at the beginning only."""
    line = Line(interval_s=0.04, work_s=0.08)

    def keyless() -> Iterator[Sent]:
        for packet in line.packets(2000):
            packet.number = max(1, packet.number % GROUP) if packet.number else 0
            yield packet

    read = line.read(keyless())
    gaps_s = [after - before for (_, before), (_, after) in pairwise(read)]
    assert line.counts.dropped > 0
    assert MAX_SKIP_S < max(gaps_s) <= MAX_BLIND_S + MAX_SKIP_S


@pytest.mark.timeout(60)
def test_a_camera_that_is_too_fast_to_be_decoded_is_seen_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(picture: VideoFrame) -> VideoFrame:
        time.sleep(2 / RATE)
        return picture

    monkeypatch.setattr(decoding, "upright", slow)
    behind = []
    with RtspServer() as server:
        source = NetworkSource(server.address)
        for frame in source:
            behind.append(server.sent - number_in(frame.image))
            if server.sent > 6 * RATE:
                break
    assert source.counts.dropped > 0
    assert max(behind) <= (MAX_LAG_S + 0.8) * RATE
