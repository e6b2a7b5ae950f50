"""A camera on the network, kept up with for days: JSON lines on standard output, how it goes on standard error.

    python examples/rtsp.py rtsp://user:password@camera/stream > results.jsonl
    python examples/rtsp.py rtsp://user:password@camera/stream --rules examples/rules.yaml > alerts.jsonl

Only the newest picture is ever labelled, and a camera that stalls or goes away is connected to again. Without rules
there is a line for each labelled frame, with them one for each alert that begins or ends (alerts.py). Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from alerts import Alerts, AlertSink, read_rules

from contextnet.errors import ContextNetError
from contextnet.runtime import Segmenter
from contextnet.streaming import LabelStream, SourceWishes, StreamFigures, open_sink, open_source


def status_line(figures: StreamFigures) -> str:
    """Write how a stream goes as one line: rate, age of the newest result in milliseconds, and what was lost."""
    if figures.rate is None or figures.age_ms is None:
        return f"{figures.source}: waiting"
    age, counts = figures.age_ms, figures.counts
    return (
        f"{figures.source}: {figures.rate:.1f} frames/s, age {age['p50']:.0f} ms (p99 {age['p99']:.0f}), "
        f"{counts.dropped} dropped, {counts.damaged} damaged, {counts.reconnections} reconnections"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Label an address for as long as it is wanted."""
    parser = argparse.ArgumentParser(description="Label a network camera for days, with alerts by rules.")
    parser.add_argument("address", help="rtsp://…, http://…, udp://…; a video file is played at its own pace")
    parser.add_argument("--rules", type=Path, help="a YAML or JSON file of rules: alerts instead of all results")
    parser.add_argument("--network", default="cn14-camvid-int8", help="a shipped network or a model file")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="how often it says how it goes (5)")
    options = parser.parse_args(arguments)
    try:
        rules = None if options.rules is None else read_rules(options.rules)
        with (
            Segmenter.load(options.network) as segmenter,
            closing(open_source(options.address, SourceWishes(is_live=True))) as source,
        ):
            sink = open_sink("-") if rules is None else AlertSink(Alerts(rules, segmenter.label_set))
            with LabelStream(segmenter, source, [sink]) as stream, suppress(KeyboardInterrupt):
                while not stream.wait(options.every):
                    print(status_line(stream.figures()), file=sys.stderr, flush=True)
            print(status_line(stream.figures()), file=sys.stderr, flush=True)
    except ContextNetError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
