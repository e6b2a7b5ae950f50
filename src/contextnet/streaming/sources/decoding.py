"""From an opened container to its pictures, the damaged ones left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from av import VideoFrame
from av.container import InputContainer
from av.error import EOFError as EndOfFileError
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet
from av.video.stream import VideoStream

from contextnet.streaming.sources.source import SourceCounts
from contextnet.streaming.upright import upright

MAX_FAILURES = 100
"""So many reads in a row that fail end the pictures: nothing comes any more."""


def decode_pictures(
    container: InputContainer, stream: VideoStream, counts: SourceCounts, is_closed: Callable[[], bool]
) -> Iterator[VideoFrame]:
    """Decode the pictures of a stream, upright and in the order in which they are to be shown.

    What cannot be decoded is left out and counted as damaged. Ends where the container ends or when ``is_closed``;
    raises ``FFmpegError`` where reading itself fails, as when a connection breaks.
    """
    for packet in _packets(container, stream, counts):
        if is_closed():
            return
        try:
            pictures = stream.decode(packet)
        except EndOfFileError:
            return
        except FFmpegError:
            counts.damaged += 1
            continue
        for picture in pictures:
            if picture.is_corrupt:
                counts.damaged += 1
            else:
                yield upright(picture)


def _packets(container: InputContainer, stream: VideoStream, counts: SourceCounts) -> Iterator[Packet[VideoStream]]:
    """Give the packets; where data between them makes no sense, go on behind it."""
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
