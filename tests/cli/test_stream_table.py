from __future__ import annotations

import pytest

from contextnet.cli.stream_table import live_line, stream_table
from contextnet.streaming.figures import StageFigure, StreamFigures
from contextnet.streaming.sources.source import SourceCounts

LATENCY = {"p50": 20.0, "p99": 30.0}


def figures(
    frames: int, *, prepared: float = 0.0, rate: float | None = None, counts: SourceCounts | None = None
) -> StreamFigures:
    return StreamFigures(
        source="film.mp4",
        is_live=False,
        frames=frames,
        seconds=1.0,
        rate=rate,
        latency_ms=LATENCY if frames else None,
        age_ms=None,
        counts=counts or SourceCounts(),
        stages=(StageFigure("source", 1.0, 0.5), StageFigure("prepare", 1.0, prepared)),
        processor_share=0.1,
    )


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (figures(0), "film.mp4: waiting for the source"),
        (figures(0, prepared=0.1), "film.mp4: the first frame is on its way"),
        (figures(1, prepared=0.1), "film.mp4: 1 frame so far"),
        (figures(2, prepared=0.1), "film.mp4: 2 frames so far"),
        (
            figures(9, rate=30.0, counts=SourceCounts(2, 1, 1)),
            "film.mp4: frame 9, 30.0 frames/s, latency 20 ms, bounded by source, 2 dropped, 1 damaged, 1 reconnection",
        ),
        (
            figures(9, rate=30.0, counts=SourceCounts(reconnections=2)),
            "film.mp4: frame 9, 30.0 frames/s, latency 20 ms, bounded by source, 2 reconnections",
        ),
    ],
)
def test_a_line_says_how_it_goes(shown: StreamFigures, line: str) -> None:
    assert live_line(shown).plain == line


@pytest.mark.parametrize(("frames", "title"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_a_table_counts_frames(frames: int, title: str) -> None:
    assert stream_table(figures(frames)).title == title
