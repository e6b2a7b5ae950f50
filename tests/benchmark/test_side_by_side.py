from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contextnet.benchmark import noise, side_by_side
from contextnet.benchmark.footprint import memory_to_run_mb
from contextnet.benchmark.machine import held_memory_mb
from contextnet.benchmark.side_by_side import Candidate, measure_side_by_side
from contextnet.compression.pruning.latency import Timing
from contextnet.errors import ContextNetError
from contextnet.runtime.segmenter import EngineChoice
from contextnet.weights.catalogue import find_model_file, find_weights

TIMING = Timing((64, 128), precision="fp32")
CHOICE = EngineChoice("openvino", "cpu", "fp32")


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def test_weights_and_model_files_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "TURN_S", 0.01)
    weights, model = find_weights("cn14-camvid"), find_model_file("cn14-camvid-int8")
    monkeypatch.setattr(noise, "await_quiet", lambda: 0.0)
    monkeypatch.setattr(noise, "others_share", lambda: 1.0)
    candidates = [Candidate("float", weights, 3), Candidate("INT8", model, 4)]
    measured = measure_side_by_side(candidates, TIMING, None, silent)
    assert (measured.noise or "").startswith("other processes took 100% of a core")
    rows = measured.rows
    assert [(row.role, row.epochs, row.path) for row in rows] == [("float", 3, weights), ("INT8", 4, model)]
    assert [row.precision for row in rows] == ["fp32", "int8+fp32"]
    assert rows[0].parameters == rows[1].parameters == 855_819
    assert rows[0].macs == rows[1].macs
    assert rows[0].file_mb == pytest.approx(find_model_file("cn14-camvid").stat().st_size / 1e6, rel=0.01)
    assert rows[1].file_mb == model.stat().st_size / 1e6
    assert all(row.latency_ms > 0 and row.miou is None for row in rows)


def test_memory_is_that_of_a_process_which_only_runs_the_network() -> None:
    ours = held_memory_mb()
    model = find_model_file("cn14-camvid")
    small, large = (memory_to_run_mb(model, size_hw, CHOICE) for size_hw in ((64, 128), (1024, 2048)))
    if ours is None or small is None or large is None:
        pytest.skip("the system does not tell a process's memory")
    assert 50 < small < ours, "PyTorch, which these tests have loaded, is not in it"
    assert large > small + 20, "the features of 16 times the sides"


def test_what_cannot_be_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    with pytest.raises(ContextNetError, match=r"damaged\.onnx"):
        memory_to_run_mb(tmp_path / "damaged.onnx", (64, 128), CHOICE)
