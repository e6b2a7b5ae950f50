from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from contextnet.training.logbook import Logbook


def test_events_are_lines_of_json_and_added_to_those_before(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for step in (1, 2):
        with Logbook(path, None) as logbook:
            logbook.write("epoch", step=step, loss=None if step == 1 else 0.5)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["event"], line["step"], line["loss"]) for line in lines] == [("epoch", 1, None), ("epoch", 2, 0.5)]
    assert 0 < lines[0]["time"] <= lines[1]["time"]


def test_event_is_on_disk_before_the_logbook_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Logbook(path, None) as logbook:
        logbook.write("start")
        assert json.loads(path.read_text(encoding="utf-8"))["event"] == "start"


def test_error_inside_closes_the_log_and_passes_through(tmp_path: Path) -> None:
    logbook = Logbook(tmp_path / "log.jsonl", Console(file=io.StringIO(), force_terminal=True))

    def fail() -> None:
        with logbook:
            logbook.start_bar(10, 0)
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        fail()
    with pytest.raises(ValueError, match="closed file"):
        logbook.write("late")


def test_messages_are_printed_as_they_are_on_one_line(tmp_path: Path) -> None:
    screen = io.StringIO()
    message = "skipped: /data/[red]/a[0].png: is damaged; " + "long " * 40
    with Logbook(tmp_path / "log.jsonl", Console(file=screen, width=80)) as logbook:
        logbook.say(message)
    assert screen.getvalue() == message + "\n"


def test_bar_shows_steps_and_status(tmp_path: Path) -> None:
    screen = io.StringIO()
    with Logbook(tmp_path / "log.jsonl", Console(file=screen, width=120, force_terminal=True)) as logbook:
        logbook.start_bar(total_steps=10, done_steps=3)
        logbook.advance(7, "loss 0.250", images=32)
    assert "7/10" in screen.getvalue()
    assert re.search(r"loss 0\.250, \d+\.\d images/s", screen.getvalue())


@pytest.mark.parametrize(("is_terminal", "told"), [(False, "epoch 1/2: loss 0.500\n"), (True, "")])
def test_lines_stand_in_for_a_bar_where_there_is_none(tmp_path: Path, is_terminal: bool, told: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal)
    with Logbook(tmp_path / "log.jsonl", console) as logbook:
        logbook.say_without_bar("epoch 1/2: loss 0.500")
    assert stream.getvalue() == told
