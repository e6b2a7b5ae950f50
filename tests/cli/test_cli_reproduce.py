from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cli.conftest import Shell
from contextnet.images import write_png
from contextnet.reproduce.table import Table
from tiny_trainings import TINY, contents
from training_data import write_pairs

STREETS = "synthetic:64x128,drives=1,frames=2"
CHANGES = [word for change in TINY for word in ("--set", change)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: threads that wait for each other take minutes where other processes use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and runs lie in the working folder where nothing else is asked for."""
    monkeypatch.chdir(tmp_path)


def sentence(err: str) -> str:
    return " ".join(err.split())


def test_a_table_as_json_and_nothing_else_on_standard_output(shell: Shell, tmp_path: Path) -> None:
    code, out, err = shell("reproduce", "table1", "--json", "-")
    assert code == 0, err
    printed = json.loads(out)
    kept = json.loads((tmp_path / "results" / "table1.json").read_text(encoding="utf-8"))
    picture = printed.pop("picture")
    assert printed == kept
    assert Table.from_json(kept).facts["command"] == "contextnet reproduce table1", "JSON changes nothing"
    assert picture == "results/table1.svg"
    assert (tmp_path / picture).read_text(encoding="utf-8").startswith("<")
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Results\n")
    assert "\n    contextnet reproduce table1\n" in page
    assert "(results/table1.svg)" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "results.md"]


def test_tables_gather_on_one_page(shell: Shell, tmp_path: Path) -> None:
    assert shell("reproduce", "table1", "--output", "a/b/mine.v1")[0] == 0
    code, out, err = shell("reproduce", "table3", "--output", "a/b/mine.v1", "--json", "table.json")
    assert code == 0, err
    assert "Table 3" in out
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["name"] == "table3"
    page = (tmp_path / "a" / "b" / "mine.v1.md").read_text(encoding="utf-8")
    assert page.index("(#table1)") < page.index("(#table3)")
    code, out, err = shell("reproduce", "table2", "--size", "512x1024", "--output", "a/b/mine.v1")
    assert (code, err) == (0, "")
    assert out.endswith("a/b/mine.v1.md: all tables that a/b/mine.v1 holds\n")


@pytest.mark.parametrize("words", [["--json=made.json"], ["--json", "made.json"]])
def test_where_json_goes_is_no_part_of_the_command(shell: Shell, tmp_path: Path, words: list[str]) -> None:
    assert shell("reproduce", "table1", *words, "--output", "x")[0] == 0
    made = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert made["facts"]["command"] == "contextnet reproduce table1 --output x"


def test_results_in_the_working_folder(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shell("reproduce", "table1", "--output", ".")[0] == 0
    assert (tmp_path / "here" / "table1.json").is_file()
    assert "(here/table1.svg)" in (tmp_path / "here.md").read_text(encoding="utf-8")


def test_a_picture_of_before_goes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell("reproduce", "table1")[0] == 0
    monkeypatch.setattr("contextnet.reproduce.pictures.picture_of", lambda table: None)
    code, out, _ = shell("reproduce", "table1", "--json", "-")
    assert (code, json.loads(out)["picture"]) == (0, None)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["table1.json"]
    assert ".svg" not in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_frames_per_second(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.targets.COMPARED", ("cn14", "cn14-160"))
    monkeypatch.setattr("contextnet.reproduce.speed.ROUNDS", 1)
    monkeypatch.setattr("contextnet.reproduce.speed.TURN_S", 0.01)
    monkeypatch.setattr("contextnet.reproduce.speed.draw_street", lambda size_hw: np.zeros((*size_hw, 3), np.uint8))
    for watch in ("await_quiet", "others_share"):
        monkeypatch.setattr(f"contextnet.benchmark.noise.{watch}", lambda: 0.0)
    words = ["table7", "--size", "64x128", "--size", "64x96", "--threads", "1"]
    code, out, err = shell("reproduce", *words, "--json", "-")
    assert code == 0, err
    first, second = json.loads(out)["tables"]
    assert (first["facts"]["size_hw"], second["facts"]["size_hw"]) == ([64, 128], [64, 96])
    assert first["facts"]["engine"]["name"] == "openvino"
    assert (first["facts"]["precision"], first["facts"]["in_flight"]) == ("fp32", 2)
    assert [row["network"] for row in first["rows"]] == ["cn14", "cn14-160"]
    assert all(row["everything_fps"] > 0 and row["latency_ms"] > 0 for row in first["rows"])
    names = ["table7-64x128.json", "table7-64x128.svg", "table7-64x96.json", "table7-64x96.svg"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == names


def test_figure2_of_files(shell: Shell, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, random.integers(0, 256, (64, 96, 3), np.uint8))
    code, out, err = shell("reproduce", "figure2", "--image", "a.png", "--image", "b.png", "--json", "-")
    assert code == 0, err
    made = json.loads(out)
    assert made["picture"] == "results/figure2.png"
    assert made["facts"]["figure"]["network"] == "cn14", "the shipped one for CamVid"
    assert [one["image"] for one in made["facts"]["figure"]["images"]] == ["a.png", "b.png"]
    assert made["rows"] == []
    assert "(results/figure2.png)" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_figure2_of_data(shell: Shell, tmp_path: Path) -> None:
    code, out, err = shell("reproduce", "figure2", "--data", STREETS, "--image", "1")
    assert code == 0, err
    assert "both branches" in out
    stem = "figure2-synthetic-64x128-drives-1-frames-2"
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [f"{stem}.json", f"{stem}.png"]
    assert not (tmp_path / "runs").exists()


def test_a_stopped_training_goes_on_with_the_same_command(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextnet.training import trainer

    def stop(*values: Any) -> float | None:
        os.kill(os.getpid(), signal.SIGTERM)
        return take_step(*values)

    take_step = trainer.take_step
    write_pairs(tmp_path / "data", train=2)
    words = ["ensemble", "--data", "folder:data", *CHANGES, "--set", "epochs=1", "--json", "-"]
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "take_step", stop)
        code, out, err = shell("reproduce", *words)
    assert (code, out) == (128 + signal.SIGTERM, "")
    assert "stopped at step 1 of 1" in err
    assert err.endswith("the same command goes on\n")
    code, out, err = shell("reproduce", *words)
    assert code == 0, err
    made = json.loads(out)
    own = [row for row in made["rows"] if row["source"] == "here"]
    assert [(row["network"], row["epochs"]) for row in own] == [
        ("cn14-context", 1),
        ("cn14-detail", 1),
        ("ensemble", None),
        ("cn14", 1),
    ]
    assert all(0 <= row["miou"] <= 100 for row in own)
    assert made["facts"]["changes"] == [*TINY, "epochs=1"]
    assert made["picture"] == "results/ensemble-folder-data.svg"
    runs = tmp_path / "runs" / "reproduce" / "folder-data"
    before = {name: found for name, found in contents(runs).items() if "budget" not in name}
    code, again, err = shell("reproduce", *words)
    assert code == 0, err
    assert json.loads(again) == made
    assert {name: found for name, found in contents(runs).items() if "budget" not in name} == before
    code, _, err = shell("reproduce", *words, "--budget", "5")
    assert code == 2
    assert "cn14-context: was begun without --budget; leave it out, or give another --runs" in sentence(err)


def test_what_is_too_large_stands_in_the_table(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.trainings.measure_step_s", lambda *_: 3600.0)
    write_pairs(tmp_path / "data", train=2)
    code, out, err = shell("reproduce", "table6", "--data", "folder:data", "--budget", "2", *CHANGES)
    assert code == 0, err
    assert "not trained: one epoch takes 60.0 minutes here, and there were 2" in out
    assert not (tmp_path / "runs").exists()
    kept = json.loads((tmp_path / "results" / "table6-folder-data.json").read_text(encoding="utf-8"))
    assert {row["class_miou"] for row in kept["rows"] if row["source"] == "here"} == {None}


def test_sigterm_outside_of_a_training_ends_it_cleanly(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(size_hw: tuple[int, int]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it goes on")

    monkeypatch.setattr("contextnet.reproduce.targets.layer_tables", stop)
    code, out, _ = shell("reproduce", "table1")
    assert (code, out) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["table8"], "table8"),
        (["table4"], "networks are trained for this; give --data KIND:ROOT"),
        (["all"], "networks are trained for this; give --data KIND:ROOT"),
        (["figure2"], "figure2 shows images; give --data KIND:ROOT, or --image FILE"),
        (["figure2", "--image", "nowhere.png"], "nowhere.png"),
        (["figure2", "--data", STREETS, "--weights", "nowhere"], "neither a file nor a shipped network"),
        (["table5", "--data", "camvit:x"], "unknown kind 'camvit'; did you mean 'camvid'?"),
        (["table5", "--data", "folder:nowhere"], "nowhere"),
        (["table5", "--data", STREETS, "--budget", "0"], "--budget"),
        (["table5", "--data", STREETS, "--budget", "nan"], "--budget"),
        (["table5", "--data", STREETS, "--budget", "inf"], "budget inf: expected a number of minutes"),
        (["table5", "--data", STREETS, "--set", "batch_sice=2"], "batch_sice"),
        (["table5", "--data", STREETS, "--set", "network.width=2"], "the table has its own networks; leave it out"),
        (["table5", "--data", "folder:a/x", "--set", "data.source=b"], "--data gives it; leave it out"),
        (["table7", "--size", "64"], "size '64': expected HEIGHTxWIDTH"),
        (["table7", "--size", "2x2"], "give a size in this range"),
        (["table7", "--size", "64x128", "--engine", "abacus"], "engine 'abacus'"),
        (["table7", "--device", "tpu"], "device 'tpu': expected cpu, cuda or cuda:N"),
        (["table1", "--output", "page.md/results"], "page.md"),
        (["table1", "--output", "page.md"], "page.md: cannot be written: File exists; give another --output"),
        (["table1", "--output", "page"], "page.md: is no page of tables and would be replaced; give another --output"),
        (["table1", "--output", "/proc/results"], "/proc/results: cannot be written"),
        (["table1", "--json", "nowhere/table.json"], "its folder does not exist"),
    ],
)
def test_what_cannot_be_made_is_told_in_a_sentence(
    shell: Shell, tmp_path: Path, words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contextnet.reproduce.speed.draw_street", lambda size_hw: np.zeros((*size_hw, 3), np.uint8))
    monkeypatch.setattr("contextnet.reproduce.targets.COMPARED", ("cn14-160",))
    (tmp_path / "page.md").write_text("# My notes\n", encoding="utf-8")
    code, out, err = shell("reproduce", *words)
    assert (code, out) == (2, ""), err
    assert complaint in sentence(err)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "# My notes\n"
    assert not (tmp_path / "runs").exists()


def test_two_data_sets_of_one_name_are_refused(shell: Shell, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pairs(tmp_path / name / "data", train=1)
    code, _, err = shell("reproduce", "table5", "--data", "folder:a/data", "--data", "folder:b/data")
    assert code == 2
    assert "'folder:a/data' and 'folder:b/data' would both be 'folder-data'; give each its own" in sentence(err)


def test_a_gpu_that_is_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = shell("reproduce", "table7", "--device", "cuda")
    assert code == 2
    assert "PyTorch finds no CUDA GPU on this machine" in sentence(err)
