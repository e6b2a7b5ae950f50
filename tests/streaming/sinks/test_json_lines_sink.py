from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks.json_lines import JsonLinesSink

LABELS = np.array([[0, 0, 13], [0, 13, 255]], np.uint8)
CONFIDENCE = np.array([[1.0, 0.5, 0.25], [0.75, 0.75, 0.125]], np.float32)


def result_of(index: int, *, sure: bool = False) -> Segmentation:
    frame = Frame.of_image(np.zeros((2, 3, 3), np.uint8), index, 0.5 * index)
    return Segmentation(LABELS, CITYSCAPES, 12.5, CONFIDENCE if sure else None, frame)


@pytest.mark.parametrize(("sure", "road", "car", "void"), [(False, None, None, None), (True, 0.75, 0.5, 0.125)])
def test_a_line_says_everything(
    sure: bool, road: float | None, car: float | None, void: float | None, tmp_path: Path
) -> None:
    sink = JsonLinesSink(tmp_path / "log.jsonl")
    result = result_of(3, sure=sure)
    sink.write(result, None)
    assert result.frame is not None
    most_ms = 1000 * (time.monotonic() - result.frame.arrived_s)
    sink.close()
    record = json.loads((tmp_path / "log.jsonl").read_text())
    assert 0 <= record.pop("age_ms") <= most_ms
    assert record == {
        "index": 3,
        "time_s": 1.5,
        "size_hw": [2, 3],
        "latency_ms": 12.5,
        "label_set": "cityscapes",
        "classes": {
            "road": {"pixels": 3, "share": 3 / 6, "confidence": road},
            "car": {"pixels": 2, "share": 2 / 6, "confidence": car},
        },
        "void": {"pixels": 1, "share": 1 / 6, "confidence": void},
    }


def test_every_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("an older and much longer file\n" * 100)
    sink = JsonLinesSink(path)
    for index in range(3):
        sink.write(result_of(index), None)
        assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == list(range(index + 1))
    sink.close()


def test_standard_output_stays_open(capsys: pytest.CaptureFixture[str]) -> None:
    sink = JsonLinesSink(None)
    sink.write(result_of(5), None)
    sink.close()
    print("more")
    line, more = capsys.readouterr().out.splitlines()
    assert json.loads(line)["index"] == 5
    assert (sink.name, more) == ("standard output", "more")


def test_a_reader_that_leaves_is_one_clear_error() -> None:
    """In a process of its own, since it is the end of the program that would tell of the line again."""
    program = "\n".join(
        [
            "import sys",
            "sys.path.insert(0, sys.argv[1])",
            "from test_json_lines_sink import JsonLinesSink, StreamError, result_of",
            "sink = JsonLinesSink(None)",
            "sink.write(result_of(0), None)",
            "sys.stdin.read()",
            "try:",
            "    sink.write(result_of(1), None)",
            "except StreamError as error:",
            "    sink.close()",
            "    sys.exit(str(error))",
        ]
    )
    folder = str(Path(__file__).parent)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program, folder], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["index"] == 0
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read().decode()
    assert said.strip() == "standard output: its reader has gone; keep it reading as long as the stream runs"
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_is_one_clear_error() -> None:
    sink = JsonLinesSink(Path("/dev/full"))
    with pytest.raises(StreamError, match=r"/dev/full: cannot be written: No space left on device; check the folder"):
        sink.write(result_of(0), None)
    sink.close()


@pytest.mark.parametrize(("place", "reason"), [("missing/log.jsonl", "No such file"), (".", "Is a directory")])
def test_files_that_cannot_be_opened(place: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=f": cannot be written: {reason}"):
        JsonLinesSink(tmp_path / place)
