from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from timed_engines import Clock, TimedEngine

from contextnet.benchmark import inference_rate, noise
from contextnet.benchmark.inference_rate import measure_inference, read_spec
from contextnet.errors import ContextNetError
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import network_graph
from contextnet.models.storage import Weights, write_weights
from contextnet.runtime.engines.opening import OpenedEngine
from contextnet.runtime.onnx_file import read_onnx_file, write_onnx_file
from contextnet.runtime.openvino_ir import write_openvino_ir
from contextnet.runtime.segmenter import EngineChoice
from contextnet.spec import variant
from lively_networks import lively_weights

QUICK_S = 0.01


@pytest.fixture(scope="module")
def weights() -> Weights:
    return lively_weights(variant("cn14-160", 5, width=0.25))


@pytest.fixture(scope="module")
def model(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    write_onnx_file(path, model_of(weights, network_graph(weights.build()), "fp32"))
    return path


def test_a_model_file_is_measured_beside_pytorch(
    weights: Weights, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "await_quiet", lambda: 0.0)
    done: list[tuple[int, int]] = []
    rate = measure_inference(
        model,
        (64, 128),
        EngineChoice(engine="openvino", precision="fp32", threads=1),
        rounds=3,
        turn_s=QUICK_S,
        progress=lambda number, rounds: done.append((number, rounds)),
    )
    figures: dict[str, Any] = json.loads(json.dumps(rate.to_json(), allow_nan=False))
    assert figures["network"] == weights.spec.name
    assert (figures["size_hw"], figures["precision"], figures["threads"]) == ([64, 128], "fp32", 1)
    for name in ("sequential", "pipelined", "engine", "eager_torch", "eager_torch_end_to_end"):
        assert figures[f"{name}_fps"] > 0
    latency, stages = figures["latency_ms"], figures["stages_ms"]
    assert figures["sequential_fps"] == pytest.approx(1000 / latency["p50"], rel=0.01)
    assert figures["engine_fps"] == pytest.approx(1000 / stages["network"], rel=0.01)
    assert 0 < latency["p50"] <= latency["p99"]
    assert stages["end_to_end"] == latency["p50"]
    assert stages["labels"] > 0
    expected = {"sequential", "pipelined", "engine", "sequential_end_to_end", "pipelined_end_to_end"}
    assert set(figures["ratios"]) == expected
    assert min(figures["ratios"].values()) > 0
    assert figures["is_result"] is (figures["noise"] is None)
    assert figures["rounds"] == 3
    assert done == [(1, 3), (2, 3), (3, 3)] * figures["tries"]
    assert (figures["engine"]["name"], figures["engine"]["in_flight"]) == ("openvino", 2)
    assert figures["engine"]["reason"] == rate.reason
    assert figures["machine"]["cores"] >= 1
    assert multiprocessing.active_children() == []


WITHOUT_PYTORCH = """
import json, sys
from pathlib import Path
for name in ("torch", "onnxruntime"):
    sys.modules[name] = None
from contextnet.benchmark import noise
from contextnet.benchmark.inference_rate import measure_inference
noise.await_quiet = lambda: 0.0
from contextnet.runtime.segmenter import EngineChoice
print(json.dumps(measure_inference(Path(sys.argv[1]), (32, 64), EngineChoice(), rounds=3, turn_s=0.01).to_json()))
"""


def figures_of(program: str, model: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", program, str(model)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def test_a_model_file_is_measured_without_pytorch_and_onnx_runtime(model: Path) -> None:
    figures = figures_of(WITHOUT_PYTORCH, model)
    assert figures["sequential_fps"] > 0
    assert (figures["engine"]["name"], figures["engine"]["device"]) == ("openvino", "cpu")
    assert [figures[f"eager_torch{way}_fps"] for way in ("", "_end_to_end")] == [None, None]
    assert figures["ratios"] is None
    assert set(figures["spreads"]) == {"sequential", "pipelined", "engine"}
    if figures["peak_memory_mb"] is not None:
        assert 0 < figures["loaded_memory_mb"] <= figures["sequential_memory_mb"] <= figures["peak_memory_mb"]


def test_pytorch_is_measured_without_being_imported(model: Path) -> None:
    program = WITHOUT_PYTORCH.replace("sys.modules[name] = None", "pass") + "assert 'torch' not in sys.modules\n"
    assert figures_of(program, model)["eager_torch_fps"] > 0


def test_a_size_without_a_street_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match=r"^size 8x64: the street that is labelled is 16 to 8192 pixels"):
        measure_inference(tmp_path / "none.onnx", (8, 64), EngineChoice())


def test_engines_are_closed_when_pytorch_dies(weights: Weights, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[TimedEngine] = []

    def opened(choice: EngineChoice, source: Path, in_flight: int) -> OpenedEngine:
        engines.append(TimedEngine(Clock(), in_flight))
        return OpenedEngine(engines[-1], weights.spec, weights.labels, "it is the only one")

    def dies(*_: object) -> None:
        raise ContextNetError("the process died")

    monkeypatch.setattr(EngineChoice, "open", opened)
    monkeypatch.setattr(inference_rate, "EagerProcess", dies)
    with pytest.raises(ContextNetError, match=r"^the process died$"):
        measure_inference(model, (32, 64), EngineChoice(threads=4))
    assert [(engine.in_flight, engine.closed) for engine in engines] == [(1, 1), (5, 1)]


def test_every_kind_of_file_tells_its_network(weights: Weights, model: Path, tmp_path: Path) -> None:
    graph, tensors = tmp_path / "small.xml", tmp_path / "small.safetensors"
    write_openvino_ir(graph, read_onnx_file(model))
    write_weights(tensors, weights)
    assert [read_spec(path) for path in (model, graph, tensors)] == [weights.spec] * 3
