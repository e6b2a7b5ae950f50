"""Staying with a live source whose pictures come faster than they can be decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from av.packet import Packet
from av.video.stream import VideoStream

from contextnet.streaming.sources.source import SourceCounts

MAX_LAG_S = 1.0
"""Further behind than this, pictures are left out until the present is reached."""

LITTLE_LAG_S = 0.1
BLOCKED_S = 0.03
"""A packet that is waited for so long was not there yet: what is read then is the present, and late in no way."""

MAX_SKIP_S = 1.0
"""What is never caught up with, as a recording that is sent as fast as the line takes it, is shown in pieces."""

MAX_BLIND_S = 10.0
"""Without a key frame for so long, pictures are decoded on: some senders renew them part by part instead."""

JUMP_S = 10.0
"""A clock that differs by so much from one packet to the next was set anew."""


def catching_up(
    packets: Iterable[Packet[VideoStream]], counts: SourceCounts, clock: Callable[[], float] = time.monotonic
) -> Iterator[Packet[VideoStream]]:
    """Give the packets of a live source, and leave some out where they would be read ever later than they were sent.

    How late a packet is read shows in the sender's own times against ``clock``, in seconds: it is late by as much as
    it lies further behind than the one that lay least, since a packet was last waited for. Beyond ``MAX_LAG_S`` packets
    are counted as dropped until the present is reached, and on to the next key frame, without which what follows cannot
    be decoded.
    """
    lag = _Lag()
    behind_since_s: float | None = None
    blind_since_s: float | None = None
    asked_s = clock()
    for packet in packets:
        now_s = clock()
        if now_s - asked_s > BLOCKED_S:
            lag.forget()
        late_s = lag.of(packet, now_s)
        if behind_since_s is None and late_s > MAX_LAG_S:
            behind_since_s = now_s
            blind_since_s = blind_since_s or now_s
        elif behind_since_s is not None and (late_s < LITTLE_LAG_S or now_s - behind_since_s > MAX_SKIP_S):
            behind_since_s = None
            if late_s >= LITTLE_LAG_S:
                lag.forget()
        is_present = behind_since_s is None
        if is_present and blind_since_s is not None and (packet.is_keyframe or now_s - blind_since_s > MAX_BLIND_S):
            blind_since_s = None
        if blind_since_s is not None and packet.size:
            counts.dropped += 1
        else:
            yield packet
        asked_s = clock()


class _Lag:
    """How much later packets are read than the one that was read soonest after its time."""

    def __init__(self) -> None:
        self._least_s: float | None = None
        self._last_s = 0.0

    def of(self, packet: Packet[VideoStream], now_s: float) -> float:
        """Give the seconds by which a packet is late; 0 for one that has no time."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None:
            return 0.0
        behind_s = now_s - float(ticks * packet.time_base)
        if self._least_s is None or behind_s < self._least_s or abs(behind_s - self._last_s) > JUMP_S:
            self._least_s = behind_s
        self._last_s = behind_s
        return behind_s - self._least_s

    def forget(self) -> None:
        """Take the next packet for one that is not late."""
        self._least_s = None
