"""What every sink of results is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from av import VideoFrame

from contextnet.runtime.segmentation import Segmentation


class Sink(Protocol):
    """Takes results in their order, from one thread."""

    @property
    def name(self) -> str:
        """What to call it in reports."""
        ...

    @property
    def needs_picture(self) -> bool:
        """Whether results have to be drawn for it."""
        ...

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Take one result; ``result.frame`` says of which frame.

        ``picture`` is the result drawn over its frame, YUV 4:2:0 with the frame's time, where it is needed. Raises
        ``StreamError`` when it cannot be taken.
        """
        ...

    def close(self) -> None:
        """Finish what was written, so that it can be used; called once, also after an error."""
        ...


@runtime_checkable
class Interactive(Protocol):
    """A sink at which a user may ask for the end of the stream."""

    @property
    def asks_to_stop(self) -> bool:
        """Whether the user has asked for it."""
        ...
