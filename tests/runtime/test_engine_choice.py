"""Which engine opens a file, and on which device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deployed_networks import SPEC, small_weights
from fake_machine import GPU, Machine, Opened

import contextnet.runtime.engines.choice as choice
from contextnet.models.engine import PRECISIONS
from contextnet.runtime.engines.opening import open_engine

ONLY_ORT = {"gpus": 1, "built_for_cuda": {"onnxruntime"}}


@pytest.mark.parametrize(
    ("file", "engine", "device", "machine_has", "expected", "reason"),
    [
        ("model.onnx", "auto", "auto", {}, ("openvino", None), "OpenVINO on the CPU: this machine has no NVIDIA GPU"),
        (
            "model.onnx",
            "auto",
            "auto",
            {"installed": {"onnxruntime"}},
            ("onnxruntime", "cpu"),
            "ONNX Runtime on the CPU: this machine has no NVIDIA GPU, and OpenVINO is not installed",
        ),
        (
            "model.onnx",
            "auto",
            "auto",
            {"gpus": 2},
            ("openvino", None),
            "OpenVINO on the CPU: no installed engine uses its NVIDIA GPU",
        ),
        (
            "model.onnx",
            "auto",
            "auto",
            GPU,
            ("onnxruntime", "cuda"),
            "ONNX Runtime on cuda: this machine has an NVIDIA GPU",
        ),
        ("both.onnx", "auto", "auto", GPU, ("pytorch", "cuda"), "PyTorch on cuda: this machine has an NVIDIA GPU"),
        (
            "both.onnx",
            "auto",
            "auto",
            ONLY_ORT,
            ("onnxruntime", "cuda"),
            "ONNX Runtime on cuda: this machine has an NVIDIA GPU",
        ),
        (
            "both.onnx",
            "auto",
            "auto",
            GPU | {"installed": {"openvino", "onnxruntime"}},
            ("onnxruntime", "cuda"),
            "ONNX Runtime on cuda: this machine has an NVIDIA GPU",
        ),
        (
            "both.onnx",
            "auto",
            "auto",
            GPU | {"installed": {"openvino"}},
            ("openvino", None),
            "OpenVINO on the CPU: no installed engine uses its NVIDIA GPU",
        ),
        ("both.onnx", "auto", "cpu", GPU, ("openvino", None), "OpenVINO on the CPU: it was asked for"),
        ("both.onnx", "auto", "cuda:1", GPU, ("pytorch", "cuda:1"), "PyTorch on cuda:1: CUDA was asked for"),
        ("model.onnx", "auto", "cuda:1", {}, ("onnxruntime", "cuda:1"), "ONNX Runtime on cuda:1: CUDA was asked for"),
        (
            "both.onnx",
            "auto",
            "tensorrt",
            GPU,
            ("onnxruntime", "tensorrt"),
            "ONNX Runtime on tensorrt: it alone has TensorRT",
        ),
        (
            "small.xml",
            "auto",
            "auto",
            GPU,
            ("openvino", None),
            "OpenVINO on the CPU: the model file is in its own format",
        ),
        ("weights.safetensors", "auto", "auto", {}, ("pytorch", "cpu"), "PyTorch on the CPU: it alone runs weights"),
        ("weights.safetensors", "auto", "auto", GPU, ("pytorch", "cuda"), "PyTorch on cuda: it alone runs weights"),
        (
            "both.onnx",
            "auto",
            "auto",
            GPU | {"installed": {"pytorch"}},
            ("pytorch", "cuda"),
            "PyTorch on cuda: this machine has an NVIDIA GPU",
        ),
        ("weights.safetensors", "auto", "cuda", GPU, ("pytorch", "cuda"), "PyTorch on cuda: it alone runs weights"),
        ("both.onnx", "openvino", "auto", GPU, ("openvino", None), "OpenVINO on the CPU: as asked for"),
        ("both.onnx", "openvino", "cpu", {}, ("openvino", None), "OpenVINO on the CPU: as asked for"),
        ("both.onnx", "onnxruntime", "auto", {}, ("onnxruntime", "cpu"), "ONNX Runtime on the CPU: as asked for"),
        ("both.onnx", "onnxruntime", "auto", GPU, ("onnxruntime", "cuda"), "ONNX Runtime on cuda: as asked for"),
        (
            "both.onnx",
            "onnxruntime",
            "auto",
            {"gpus": 1},
            ("onnxruntime", "cpu"),
            "ONNX Runtime on the CPU: as asked for",
        ),
        (
            "both.onnx",
            "onnxruntime",
            "auto",
            GPU | {"gpus": 0},
            ("onnxruntime", "cpu"),
            "ONNX Runtime on the CPU: as asked for",
        ),
        ("both.onnx", "onnxruntime", "cpu", GPU, ("onnxruntime", "cpu"), "ONNX Runtime on the CPU: as asked for"),
        ("both.onnx", "pytorch", "auto", {}, ("pytorch", "cpu"), "PyTorch on the CPU: as asked for"),
        ("both.onnx", "pytorch", "auto", GPU, ("pytorch", "cuda"), "PyTorch on cuda: as asked for"),
        ("weights.safetensors", "pytorch", "cpu", {}, ("pytorch", "cpu"), "PyTorch on the CPU: as asked for"),
    ],
)
def test_the_engine_that_is_chosen(
    machine: Machine,
    networks: Path,
    file: str,
    engine: str,
    device: str,
    machine_has: dict[str, Any],
    expected: tuple[str, str | None],
    reason: str,
) -> None:
    vars(machine).update(machine_has)
    opened = open_engine(networks / file, engine=engine, device=device, in_flight=3)
    found = opened.engine
    assert isinstance(found, Opened)
    assert (found.name, found.options.get("device"), opened.reason) == (*expected, reason)
    assert found.options["in_flight"] == 3
    assert (opened.spec, opened.labels) == (SPEC, small_weights().labels)
    if found.name == "pytorch":
        assert found.source == networks / file.replace(".onnx", ".safetensors")


@pytest.mark.parametrize(
    ("file", "wish", "expected", "reason"),
    [
        ("both.onnx", {"precision": "fp16"}, ("pytorch", "cuda"), "PyTorch on cuda: this machine has an NVIDIA GPU"),
        ("both.onnx", {"precision": "bf16"}, ("pytorch", "cuda"), "PyTorch on cuda: this machine has an NVIDIA GPU"),
        ("both.onnx", {"precision": "fp32"}, ("onnxruntime", "cuda"), "ONNX Runtime on cuda: this machine has an"),
        (
            "model.onnx",
            {"precision": "bf16"},
            ("openvino", None),
            "OpenVINO on the CPU: no installed engine has precision bf16 on its NVIDIA GPU",
        ),
        (
            "both.onnx",
            {"threads": 2},
            ("openvino", None),
            "OpenVINO on the CPU: no installed engine has 2 threads on its NVIDIA GPU",
        ),
        (
            "weights.safetensors",
            {"precision": "fp32"},
            ("pytorch", "cpu"),
            "PyTorch on the CPU: it alone runs weights",
        ),
        ("both.onnx", {"precision": "fp32", "engine": "pytorch"}, ("pytorch", "cpu"), "PyTorch on the CPU: as asked"),
        ("both.onnx", {"threads": 2, "engine": "onnxruntime"}, ("onnxruntime", "cpu"), "ONNX Runtime on the CPU: as"),
        ("both.onnx", {"precision": "fp32", "device": "cuda"}, ("pytorch", "cuda"), "PyTorch on cuda: CUDA was asked"),
        ("both.onnx", {"threads": 2, "device": "cuda"}, ("pytorch", "cuda"), "PyTorch on cuda: CUDA was asked for"),
    ],
)
def test_under_auto_a_gpu_has_to_honour_every_wish(
    machine: Machine,
    networks: Path,
    file: str,
    wish: dict[str, Any],
    expected: tuple[str, str | None],
    reason: str,
) -> None:
    vars(machine).update(GPU)
    opened = open_engine(networks / file, **wish)
    assert isinstance(found := opened.engine, Opened)
    assert (found.name, found.options.get("device")) == expected
    assert opened.reason.startswith(reason)
    assert found.options["precision"] == wish.get("precision")


def test_what_pytorch_computes_in_on_a_gpu_is_known() -> None:
    assert choice._ABILITIES["pytorch"].gpu_precisions == tuple(PRECISIONS["cuda"])


def test_threads_count_on_a_cpu_alone(machine: Machine, networks: Path) -> None:
    vars(machine).update(GPU)
    assert isinstance(opened := open_engine(networks / "both.onnx", device="cuda", threads=2).engine, Opened)
    assert opened.options == {"device": "cuda", "precision": None, "in_flight": 1}
    assert isinstance(opened := open_engine(networks / "both.onnx", device="cpu", threads=2).engine, Opened)
    assert opened.options == {"precision": None, "in_flight": 1, "threads": 2}
