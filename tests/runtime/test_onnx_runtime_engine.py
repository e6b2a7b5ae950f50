from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from deployed_networks import assert_source_scores, batch, small_model, unreadable_model

import contextnet.runtime.engines.onnx_runtime as module
from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.runtime.engines.onnx_runtime import has_cuda, open_engine
from contextnet.runtime.engines.shape_cache import KEPT_SHAPES

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))


def test_the_engine_says_what_it_is() -> None:
    info = open_engine(small_model(), in_flight=2).info
    assert (info.name, info.version, info.device) == ("onnxruntime", onnxruntime.__version__, "cpu")
    assert (info.precision, info.in_flight) == ("fp32", 2)
    assert open_engine(small_model("int8"), precision="fp32").info.precision == "int8+fp32"
    assert open_engine(small_model("fp16")).info.precision == "fp32", "a CPU casts what is fp16, and computes in fp32"


def test_calls_in_flight_run_at_the_same_time() -> None:
    together = threading.Barrier(2)

    def run(names: list[str], inputs: dict[str, Any]) -> list[Any]:
        together.wait(30)
        return [np.full((1, 2, 1, 1), inputs["image"][0, 0, 0, 0], np.float32)]

    class Opener:
        def open(self, shape: tuple[int, ...]) -> Any:
            return SimpleNamespace(run=run)

    info = open_engine(small_model(), in_flight=2).info
    engine = module.OnnxRuntimeEngine(Opener(), None, info, workers=2, stride=8)  # type: ignore[arg-type]
    calls = [engine.submit(np.full((1, 8, 8, 3), value, np.uint8)) for value in range(4)]
    assert [call.scores()[0, 0, 0, 0] for call in calls] == [0, 1, 2, 3]
    engine.close()


def test_sessions_for_the_shapes_of_late_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    open_session = module._SessionOpener.open

    def note(self: Any, shape: tuple[int, ...]) -> Any:
        opened.append(shape[2])
        session = open_session(self, shape)
        assert tuple(session.get_inputs()[0].shape) == shape, "a session is for its shape alone"
        return session

    monkeypatch.setattr(module._SessionOpener, "open", note)
    engine = open_engine(small_model())
    assert KEPT_SHAPES == 4
    for width in (8, 16, 24, 32, 8, 40, 8, 24, 32, 16):
        images = batch(1, (8, width))
        assert_source_scores(engine.submit(images).scores(), images)
    assert opened == [8, 16, 24, 32, 40, 16]


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    open_engine(small_model()).submit(batch(1, (40, 70))).labels()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "precision 'bf16': ONNX Runtime computes in fp32 and in what the file holds"),
        ({"in_flight": 0}, "in_flight 0: expected 1 or more"),
        ({"threads": 0}, "threads 0: expected 1 or more"),
        ({"device": "gpu"}, "device 'gpu': ONNX Runtime takes cpu, cuda, tensorrt, cuda:N or tensorrt:N"),
        ({"device": "cpu:1"}, "device 'cpu:1': ONNX Runtime takes cpu, cuda, tensorrt, cuda:N or tensorrt:N"),
        ({"device": "cuda:"}, "device 'cuda:': ONNX Runtime takes cpu, cuda, tensorrt, cuda:N or tensorrt:N"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextNetError) as caught:
        open_engine(small_model(), **options)
    assert str(caught.value) == message


def test_a_graph_that_it_cannot_read_is_refused() -> None:
    engine = open_engine(unreadable_model())
    with pytest.raises(ModelFileError, match=r"^ONNX Runtime cannot run the network on images of 1×8×16×3: [^\n]*Fold"):
        engine.submit(batch(1, (8, 16)))


def test_without_onnx_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(small_model())
    assert str(caught.value) == "ONNX Runtime is not installed; pip install 'contextnet[onnxruntime]'"


class Runtime:
    """Stands in for ONNX Runtime on a machine with a GPU, or with what a GPU needs missing."""

    __version__ = "9.9.9"

    def __init__(self, available: list[str], starting: list[str]) -> None:
        self._available, self._starting = available, starting
        self.opened: list[tuple[list[Any], dict[str, Any]]] = []
        self.options: list[onnxruntime.SessionOptions] = []
        self.preloaded = 0

    SessionOptions = onnxruntime.SessionOptions

    def disable_telemetry_events(self) -> None:
        pass

    def get_available_providers(self) -> list[str]:
        return self._available

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print("Failed to load libcublas.so")

    def InferenceSession(self, graph: bytes, options: Any, *, providers: list[Any], **rest: Any) -> Any:  # noqa: N802
        self.opened.append((providers, rest))
        self.options.append(options)
        return SimpleNamespace(
            get_providers=lambda: [*self._starting, CPU],
            run=lambda names, inputs: [np.zeros((1, 5, 1, 1), np.float32)],
        )


def pretend(monkeypatch: pytest.MonkeyPatch, *available: str, starting: tuple[str, ...] | None = None) -> Runtime:
    runtime = Runtime([*available, CPU], list(available if starting is None else starting))
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    return runtime


KEPT = {"trt_engine_cache_enable": "True", "trt_engine_cache_path": "the folder"}


@pytest.mark.parametrize(
    ("device", "providers"),
    [
        ("cpu", [(CPU, {})]),
        ("cuda", [(CUDA, {"device_id": "0"})]),
        ("cuda:3", [(CUDA, {"device_id": "3"})]),
        ("tensorrt:1", [(TENSORRT, {"device_id": "1"} | KEPT), (CUDA, {"device_id": "1"})]),
    ],
)
def test_a_device_is_computed_on_by_its_own_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], device: str, providers: list[Any]
) -> None:
    runtime = pretend(monkeypatch, TENSORRT, CUDA, starting=(TENSORRT, CUDA, CPU))
    monkeypatch.setattr(module, "engine_cache", lambda graph, shape: Path("the folder"))
    engine = open_engine(small_model(), device=device)
    engine.submit(batch(1, (8, 8))).scores()
    assert runtime.opened == [(providers, {"enable_fallback": False})]
    assert runtime.preloaded == (device != "cpu")
    assert engine.info.device == device
    assert capsys.readouterr().out == ""


def test_tensorrt_keeps_what_it_builds_for_each_network_and_shape(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runtime = pretend(monkeypatch, TENSORRT, CUDA)
    for model, size_hw in ((small_model(), (8, 8)), (small_model(), (8, 16)), (small_model("fp32", (8, 8)), (8, 8))):
        for _ in range(2):
            open_engine(model, device="tensorrt").submit(batch(1, size_hw)).scores()
    options = [providers[0][1] for providers, _ in runtime.opened]
    folders = [Path(each["trt_engine_cache_path"]) for each in options]
    assert folders[::2] == folders[1::2], "what a run has built the next one finds"
    assert len(set(folders)) == 3
    assert all(folder.is_dir() and tmp_path in folder.parents for folder in folders)


def test_where_nothing_can_be_kept_tensorrt_builds_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "contextnet").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runtime = pretend(monkeypatch, TENSORRT, CUDA)
    open_engine(small_model(), device="tensorrt").submit(batch(1, (8, 8))).scores()
    assert runtime.opened[0][0] == [(TENSORRT, {"device_id": "0"}), (CUDA, {"device_id": "0"})]


def test_a_call_that_fails_says_on_what(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pretend(monkeypatch, CUDA)

    def run(names: list[str], inputs: dict[str, Any]) -> list[Any]:
        raise MemoryError("CUDA failure 2:\nout of memory")

    monkeypatch.setattr(
        runtime, "InferenceSession", lambda *_, **__: SimpleNamespace(run=run, get_providers=lambda: [CUDA, CPU])
    )
    call = open_engine(small_model(), device="cuda").submit(batch(2, (8, 16)))
    with pytest.raises(ModelFileError) as caught:
        call.labels()
    assert str(caught.value) == (
        "ONNX Runtime cannot run the network on images of 2×8×16×3: CUDA failure 2: out of memory"
    )


@pytest.mark.parametrize(
    ("available", "device", "lacking"),
    [
        ([], "cuda", f"no {CUDA}"),
        ([], "tensorrt", f"no {TENSORRT} and no {CUDA}"),
        ([CUDA], "tensorrt", f"no {TENSORRT}"),
    ],
)
def test_what_onnx_runtime_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, available: list[str], device: str, lacking: str
) -> None:
    pretend(monkeypatch, *available)
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(small_model(), device=device)
    assert str(caught.value) == (
        f"device '{device}': ONNX Runtime 9.9.9 here has {lacking}; "
        "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )


def test_a_gpu_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, CUDA, starting=())
    engine = open_engine(small_model(), device="cuda")
    with pytest.raises(ContextNetError, match=f"^ONNX Runtime cannot start its {CUDA}; it needs an NVIDIA GPU with"):
        engine.submit(batch(1, (8, 8)))


@pytest.mark.parametrize(("available", "expected"), [([], False), ([CUDA], True)])
def test_whether_it_was_built_for_cuda(monkeypatch: pytest.MonkeyPatch, available: list[str], expected: bool) -> None:
    pretend(monkeypatch, *available)
    assert has_cuda() is expected


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("fp32", "cpu", "fp32"),
        ("fp16", "cpu", "fp32"),
        ("int8", "cpu", "int8+fp32"),
        ("fp32", "cuda", "fp32"),
        ("fp16", "cuda", "fp16"),
        ("fp16", "tensorrt:1", "fp16"),
        ("int8", "cuda", "int8+fp32"),
    ],
)
def test_the_precision_is_that_of_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, expected: str
) -> None:
    pretend(monkeypatch, TENSORRT, CUDA)
    assert open_engine(small_model(precision), device=device).info.precision == expected


@pytest.mark.parametrize(
    ("device", "threads", "in_flight", "expected"),
    [
        # A session's threads, which count the one that calls it; workers that call it; whether threads spin.
        ("cpu", 1, 1, (1, 1, "1")),
        ("cpu", 4, 1, (4, 1, "1")),
        ("cpu", 1, 3, (1, 1, "0")),
        ("cpu", 2, 2, (1, 2, "0")),
        ("cpu", 2, 3, (1, 2, "0")),
        ("cpu", 4, 3, (2, 3, "0")),
        ("cpu", 8, 3, (6, 3, "0")),
        ("cpu", 8, 8, (1, 8, "0")),
        ("cuda", 1, 3, (1, 3, "0")),
    ],
)
def test_calls_in_flight_share_the_threads(
    monkeypatch: pytest.MonkeyPatch, device: str, threads: int, in_flight: int, expected: tuple[int, int, str]
) -> None:
    runtime = pretend(monkeypatch, CUDA)
    workers: list[int] = []

    def executor(count: int, name: str) -> ThreadPoolExecutor:
        workers.append(count)
        return ThreadPoolExecutor(count, name)

    monkeypatch.setattr(module, "ThreadPoolExecutor", executor)
    engine = open_engine(small_model(), device=device, in_flight=in_flight, threads=threads)
    assert engine.info.in_flight == in_flight
    engine.submit(batch(1, (8, 8))).scores()
    engine.close()
    (options,) = runtime.options
    spinning = options.get_session_config_entry("session.intra_op.allow_spinning")
    assert (options.intra_op_num_threads, *workers, spinning) == expected
    if device == "cpu":
        assert options.intra_op_num_threads - 1 + workers[0] == threads
