from __future__ import annotations

import gc
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from deployed_networks import (
    assert_source_scores,
    batch,
    small_ir,
    small_model,
    source_scores,
    unreadable_model,
)

import contextnet.runtime.engines.openvino as module
from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import network_graph
from contextnet.runtime.engines.openvino import layer_times_ms, open_engine
from contextnet.runtime.engines.scoring_call import ScoringCall
from contextnet.runtime.engines.shape_cache import KEPT_SHAPES
from contextnet.runtime.openvino_package import load_openvino, openvino_core
from lively_baselines import lively_baseline, lively_baseline_weights
from lively_networks import CLASSES

openvino = load_openvino()
HAS_BF16 = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.skipif(not HAS_BF16, reason="this CPU does not compute in bfloat16")
def test_bfloat16_is_used_and_told() -> None:
    engine = open_engine(small_model(), precision="bf16")
    images = batch(1, (64, 128))
    scores, expected = engine.submit(images).scores(), source_scores(images)
    assert engine.info.precision == "bf16"
    # Eight bits of mantissa: far from float32, and near enough.
    assert 1e-3 < np.abs(scores - expected).max() / np.ptp(expected) < 0.1
    assert np.mean(scores.argmax(axis=1) == expected.argmax(axis=1)) > 0.9
    engine.close()


def test_the_engine_says_what_it_is(tmp_path: Path) -> None:
    engine = open_engine(small_model(), precision="fp32")
    info = engine.info
    assert (info.name, info.device, info.precision, info.in_flight) == ("openvino", "cpu", "fp32", 1)
    assert openvino.__version__.startswith(f"{info.version}-")
    assert open_engine(small_model("int8"), precision="fp32").info.precision == "int8+fp32"
    chosen = open_engine(small_ir(tmp_path, small_model("int8", (40, 70))), in_flight=3).info
    assert (chosen.precision, chosen.in_flight) == ("int8+bf16" if HAS_BF16 else "int8+fp32", 3)


def test_an_engine_that_is_let_go_finishes_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that nobody waits for still write to memory that is theirs alone."""
    finished: list[ScoringCall] = []
    finish = ScoringCall.finish

    def note(call: ScoringCall) -> None:
        finished.append(call)
        finish(call)

    monkeypatch.setattr(ScoringCall, "finish", note)
    engine = open_engine(small_model(), precision="fp32", in_flight=2)
    images = batch(1, (256, 512))
    calls = [engine.submit(images), engine.submit(images)]
    del engine
    gc.collect()
    assert finished == calls
    assert_source_scores(calls[1].scores(), images)


def compiled_shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A list that every compiled shape goes into."""
    shapes: list[tuple[int, ...]] = []
    compile_network = module._Compiler.compile

    def compile_and_note(self: Any, shape: tuple[int, ...]) -> Any:
        shapes.append(shape)
        return compile_network(self, shape)

    monkeypatch.setattr(module._Compiler, "compile", compile_and_note)
    return shapes


def test_the_shapes_of_late_stay_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compiled_shapes(monkeypatch)
    engine = open_engine(small_model(), precision="fp32")
    assert KEPT_SHAPES == 4
    for width in (8, 16, 24, 32, 8, 40, 8, 24, 32, 16):
        images = batch(1, (8, width))
        assert_source_scores(engine.submit(images).scores(), images)
    # When 40 came, 16 had not been asked for the longest.
    assert [shape[2] for shape in compiled] == [8, 16, 24, 32, 40, 16]


def test_what_computes_is_known_without_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compiled_shapes(monkeypatch)
    engine = open_engine(small_model(), in_flight=2)
    before = engine.info
    assert compiled == []
    engine.submit(batch(2, (40, 70))).scores()
    engine.close()
    assert engine.info is before, "and after closing it is still known"
    assert compiled == [(2, 40, 70, 3)]


@pytest.mark.parametrize("kind", ["fp32", "int8"])
@pytest.mark.parametrize(
    "precision", [None, "fp32", pytest.param("bf16", marks=pytest.mark.skipif(not HAS_BF16, reason="no bfloat16"))]
)
@pytest.mark.parametrize("in_flight", [1, 3])
def test_the_precision_is_the_one_that_a_compiled_network_tells(
    monkeypatch: pytest.MonkeyPatch, kind: str, precision: str | None, in_flight: int
) -> None:
    told: list[str] = []
    compile_model = openvino.Core.compile_model

    def note(*arguments: Any) -> Any:
        compiled = compile_model(*arguments)
        told.append(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        return compiled

    monkeypatch.setattr(openvino.Core, "compile_model", note)
    engine = open_engine(small_model(kind), precision=precision, in_flight=in_flight)
    engine.submit(batch(1, (32, 32))).scores()
    name = {"f32": "fp32", "bf16": "bf16"}[told[0]]
    assert engine.info.precision == (f"int8+{name}" if kind == "int8" else name)


def test_images_and_scores_are_used_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    class Tensor(openvino.Tensor):
        def __init__(self, array: Any, *rest: Any, **options: Any) -> None:
            given.append(array.ctypes.data)
            super().__init__(array, *rest, **options)

    monkeypatch.setattr(openvino, "Tensor", Tensor)
    engine = open_engine(small_model(), precision="fp32")
    images = batch(1, (40, 64))
    images.flags.writeable = False
    assert_source_scores(engine.submit(images).scores(), images)
    assert given[0] == images.ctypes.data
    scores = engine.submit(images).scores()
    assert given[3] == scores.ctypes.data, "and the scores where OpenVINO has written them"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision 'fp16': OpenVINO computes in fp32 or bf16 here"),
        ({"precision": "float32"}, "precision 'float32': OpenVINO computes in fp32 or bf16 here"),
        ({"in_flight": 0}, "in_flight 0: expected 1 or more"),
        ({"threads": 0}, "threads 0: expected 1 or more"),
        ({"threads": -2}, "threads -2: expected 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextNetError) as caught:
        open_engine(small_model(), **options)
    assert str(caught.value) == message


def test_a_cpu_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda device, name: {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"]}[name])
    monkeypatch.setattr(module, "openvino_core", lambda: core)
    with pytest.raises(ContextNetError, match=r"^precision 'bf16': this CPU does not compute in bfloat16; use fp32$"):
        open_engine(small_model(), precision="bf16")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threads": 2}, {"INFERENCE_NUM_THREADS": 2, "PERFORMANCE_HINT": "LATENCY"}),
        (
            {"threads": 2, "in_flight": 3},
            {"INFERENCE_NUM_THREADS": 2, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 2},
        ),
        (
            {"threads": 8, "in_flight": 3, "precision": "fp32"},
            {
                "INFERENCE_NUM_THREADS": 8,
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": 3,
                "INFERENCE_PRECISION_HINT": "f32",
            },
        ),
    ],
)
def test_threads_are_divided_among_the_calls_in_flight(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    configs: list[dict[str, Any]] = []
    compile_model = openvino.Core.compile_model

    def note(self: Any, graph: Any, device: str, config: dict[str, Any]) -> Any:
        configs.append(config)
        return compile_model(self, graph, device, config)

    monkeypatch.setattr(openvino.Core, "compile_model", note)
    open_engine(small_model(), **options).submit(batch(1, (8, 8))).scores()
    assert configs == [expected]


# Scores of every pixel, which stay as OpenVINO computes them, and of every cell.
@pytest.mark.parametrize(("name", "shape"), [("erfnet", (1, 32, 64, CLASSES)), ("fast-scnn", (1, CLASSES, 4, 8))])
def test_layers_are_timed_in_the_graph_that_the_engine_runs(
    monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...]
) -> None:
    model = model_of(lively_baseline_weights(name), network_graph(lively_baseline(name)), "fp32")
    images = batch(1, (32, 64))
    compiled: list[tuple[int, ...]] = []
    compile_model = openvino.Core.compile_model

    def note(self: Any, graph: Any, device: str, config: dict[str, Any]) -> Any:
        compiled.append(tuple(graph.output(0).shape))
        return compile_model(self, graph, device, config)

    monkeypatch.setattr(openvino.Core, "compile_model", note)
    open_engine(model).submit(images).scores()
    times_ms = layer_times_ms(model, images, 1)
    assert compiled == [shape, shape]
    assert sum(times_ms.values()) > 0


def test_a_graph_that_openvino_cannot_read_is_refused() -> None:
    with pytest.raises(ModelFileError, match=r"^OpenVINO cannot read the network: [^\n]*Fold[^\n]*$"):
        open_engine(unreadable_model())


def test_a_shape_that_openvino_cannot_compile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(small_model())

    def fail(*_: Any) -> None:
        raise RuntimeError("no\nroom")

    monkeypatch.setattr(openvino.Core, "compile_model", fail)
    with pytest.raises(ModelFileError, match=r"^OpenVINO cannot run the network on images of 2×8×16×3: no room$"):
        engine.submit(batch(2, (8, 16)))


def test_without_openvino_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"^OpenVINO is not installed; pip install openvino$"):
        open_engine(small_model())
