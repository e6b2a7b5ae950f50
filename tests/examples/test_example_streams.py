from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rtsp
import webcam
from example_images import image_folder

from contextnet.labels import CAMVID
from contextnet.runtime import Segmentation
from contextnet.streaming.figures import StreamFigures
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.choice import SourceWishes, open_source
from contextnet.streaming.sources.source import Source, SourceCounts

SKY, CAR = CAMVID.names.index("sky"), CAMVID.names.index("car")


def result_at(index: int, arrived_s: float) -> Segmentation:
    """Three quarters car, 24.5 % sky, and too little road to be told."""
    labels = np.full((10, 20), CAR, np.uint8)
    labels.ravel()[:49] = SKY
    labels.ravel()[49] = CAMVID.names.index("road")
    frame = Frame(Frame.of_image(np.zeros((10, 20, 3), np.uint8), index, 0).video, index, arrived_s)
    return Segmentation(labels, CAMVID, 1.0, frame=frame)


def test_the_largest_shares_stand_first() -> None:
    assert webcam.shares_line(result_at(0, 0.0)) == "car 75%  sky 24%"


def test_shares_are_printed_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    printer = webcam.SharePrinter(every_s=2.0)
    for index, arrived_s in enumerate([100.0, 101.0, 101.9, 102.0, 103.0, 110.0, 111.0]):
        printer.write(result_at(index, arrived_s), None)
    printer.close()
    assert [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()] == [0, 3, 5]


def test_a_webcam_is_shown_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    webcam.main([str(image_folder(tmp_path / "images")), "--output", "http://localhost:0", "--every", "0"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert "images with" in head
    assert "see http://localhost:" in head
    assert [int(line.split()[0]) for line in lines] == [0, 1, 2, 3]


FIGURES = StreamFigures(
    source="rtsp://camera/stream",
    is_live=True,
    frames=50,
    seconds=2.5,
    rate=19.96,
    latency_ms={"p50": 30.0, "p99": 55.5},
    age_ms={"p50": 40.4, "p99": 61.6, "max": 90.0},
    counts=SourceCounts(dropped=7, damaged=1, reconnections=2),
    stages=(),
    processor_share=0.5,
)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (
            FIGURES,
            "rtsp://camera/stream: 20.0 frames/s, age 40 ms (p99 62), 7 dropped, 1 damaged, 2 reconnections",
        ),
        (replace(FIGURES, rate=None, age_ms=None, frames=0), "rtsp://camera/stream: waiting"),
    ],
)
def test_the_status_is_one_line(figures: StreamFigures, expected: str) -> None:
    assert rtsp.status_line(figures) == expected


def test_a_live_source_gives_its_results_as_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rtsp.main([str(image_folder(tmp_path / "images"))])
    printed = capsys.readouterr()
    records = [json.loads(line) for line in printed.out.splitlines()]
    indices = [record["index"] for record in records]
    assert indices == sorted(set(indices))
    assert indices[-1] == 3, "the newest picture is never dropped"
    assert records[0]["size_hw"] == [64, 96]
    dropped = 4 - len(indices)
    assert f"{dropped} dropped" in printed.err.splitlines()[-1] or printed.err.endswith("waiting\n")


def test_recordings_are_played_at_their_own_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Source] = []

    def open_noting(target: str, wishes: SourceWishes) -> Source:
        opened.append(open_source(target, wishes))
        return opened[-1]

    monkeypatch.setattr(rtsp, "open_source", open_noting)
    rtsp.main([str(image_folder(tmp_path / "images", 1))])
    assert [source.info.is_live for source in opened] == [True]


def test_a_live_source_gives_alerts_by_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"name": "anything", "classes": list(CAMVID.names), "frames": 1, "least_share": 0.5}
    (tmp_path / "rules.yaml").write_text(json.dumps({"rules": [rule]}))
    rtsp.main([str(image_folder(tmp_path / "images")), "--rules", str(tmp_path / "rules.yaml")])
    (alert,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (alert["event"], alert["rule"], alert["share"]) == ("begin", "anything", 1.0)


@pytest.mark.parametrize("main", [webcam.main, rtsp.main])
def test_a_source_that_is_not_there_is_one_line_and_code_2(
    main: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["missing.mp4"])
    assert ended.value.code == 2
    assert "missing.mp4: does not exist" in capsys.readouterr().err.splitlines()[-1]
