"""A camera, labelled as it comes: watch http://localhost:8080 in a browser and read the classes' shares.

    python examples/webcam.py
    python examples/webcam.py 1 --output window

Any source will do: a video, a folder of images, an address (rtsp://…), synthetic. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing, suppress

from av import VideoFrame

from contextnet.errors import ContextNetError
from contextnet.runtime import Segmentation, Segmenter
from contextnet.streaming import LabelStream, open_sink, open_source


class SharePrinter:
    """A sink that prints the share of each class, largest first, every so many seconds."""

    name = "shares"
    needs_picture = False

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = 0.0

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Print the shares of a result if it is time."""
        assert result.frame is not None
        if result.frame.arrived_s >= self._next_s:
            self._next_s = result.frame.arrived_s + self._every_s
            print(f"{result.frame.index:6}  {shares_line(result)}", flush=True)

    def close(self) -> None:
        """Do nothing: every line is printed already."""


def shares_line(result: Segmentation) -> str:
    """Write the classes that take 1 % of the picture or more as one line, the largest first."""
    shares = {name: area.share for name, area in result.areas().classes.items() if area.share >= 0.01}
    return "  ".join(f"{name} {shares[name]:.0%}" for name in sorted(shares, key=lambda name: -shares[name]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Label a camera and show it."""
    parser = argparse.ArgumentParser(description="Label a camera as it comes, and show it.")
    parser.add_argument("source", nargs="?", default="0", help="a camera's number (0), or any other source")
    parser.add_argument("--network", default="cn14-camvid-int8", help="a shipped network or a model file")
    parser.add_argument("--output", default="http://localhost:8080", help="an address to serve, or window")
    parser.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="how often shares are printed (2)")
    options = parser.parse_args(arguments)
    try:
        with Segmenter.load(options.network) as segmenter, closing(open_source(options.source)) as source:
            sinks = [SharePrinter(options.every), open_sink(options.output, source.info.rate)]
            print(f"{source.info.name} with {segmenter}: see {sinks[-1].name}; Ctrl-C ends it", flush=True)
            with LabelStream(segmenter, source, sinks) as stream, suppress(KeyboardInterrupt):
                while not stream.wait(timeout_s=0.5):
                    pass  # Windows hears Ctrl-C between waits only
    except ContextNetError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
