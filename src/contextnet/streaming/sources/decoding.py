"""From an opened container to its pictures, the damaged ones left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from av import VideoFrame
from av.container import InputContainer
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet
from av.video.stream import VideoStream

from contextnet.streaming.sources.source import SourceCounts
from contextnet.streaming.upright import quarter_turns, upright

LIVE_THREADS = "SLICE"
"""How the threads share the decoding of a live source: were each to take a frame, as many frames would be held back."""

MAX_FAILURES = 100
"""So many reads in a row that fail end the pictures: nothing comes any more."""


def read_packets(container: InputContainer, stream: VideoStream, counts: SourceCounts) -> Iterator[Packet[VideoStream]]:
    """Read the packets of a stream; where data between them makes no sense, count it as damaged and go on behind it.

    Raises ``FFmpegError`` where reading itself fails, as when a connection breaks.
    """
    failures = 0
    while True:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except InvalidDataError:
            failures += 1
            counts.damaged += 1
            if failures == MAX_FAILURES:
                raise
        except IndexError:  # PyAV stumbles at the end over streams that appeared on the way, as in damaged MPEG-TS
            return


class Picture(NamedTuple):
    """A decoded picture, upright, and how wide a pixel of it is to be shown for its height."""

    video: VideoFrame
    pixel_aspect: Fraction


def decode_pictures(
    packets: Iterable[Packet[VideoStream]], counts: SourceCounts, is_closed: Callable[[], bool]
) -> Iterator[Picture]:
    """Decode the pictures of a stream, upright and in the order in which they are to be shown.

    What cannot be decoded is left out and counted as damaged. Ends where the packets end or when ``is_closed``.
    """
    for packet in packets:
        if is_closed():
            return
        try:
            pictures = packet.stream.decode(packet)
        except EndOfFileError:
            return
        except FFmpegError:
            counts.damaged += 1
            continue
        for picture in pictures:
            if picture.is_corrupt:
                counts.damaged += 1
            else:
                aspect = packet.stream.sample_aspect_ratio or Fraction(1)
                lies_on_its_side = quarter_turns(picture) % 2 == 1
                yield Picture(upright(picture), 1 / aspect if lies_on_its_side else aspect)
