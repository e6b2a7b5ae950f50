"""What is opened where a GPU fails when it is to be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployed_networks import small_model
from fake_machine import GPU, Machine, Opened

from contextnet.errors import ContextNetError, ModelFileError
from contextnet.runtime.engines.opening import open_engine
from contextnet.runtime.onnx_file import write_onnx_file

LACKS = RuntimeError("CUDA error: no kernel image is\navailable for execution")
NO_CUDA = ContextNetError("device 'cuda': PyTorch finds no CUDA GPU on this machine; use cpu")
TORCH_LACKS = "; PyTorch on cuda failed: CUDA error: no kernel image is available for execution"
NOT_USED = "OpenVINO on the CPU: its NVIDIA GPU could not be used"


@pytest.mark.parametrize(
    ("file", "engine", "fails", "opened", "reason"),
    [
        ("both.onnx", "auto", {}, ["pytorch cuda"], "PyTorch on cuda: this machine has an NVIDIA GPU"),
        (
            "both.onnx",
            "auto",
            {"fails_to_open": {"pytorch": LACKS}},
            ["pytorch cuda", "onnxruntime cuda"],
            f"ONNX Runtime on cuda: this machine has an NVIDIA GPU{TORCH_LACKS}",
        ),
        (
            "both.onnx",
            "auto",
            {"fails_to_compute": {"pytorch": LACKS}},
            ["pytorch cuda", "onnxruntime cuda"],
            f"ONNX Runtime on cuda: this machine has an NVIDIA GPU{TORCH_LACKS}",
        ),
        (
            "both.onnx",
            "auto",
            {"fails_to_open": {"pytorch": NO_CUDA}, "fails_to_compute": {"onnxruntime": ModelFileError("x" * 999)}},
            ["pytorch cuda", "onnxruntime cuda", "openvino None"],
            f"{NOT_USED}; PyTorch on cuda failed: {NO_CUDA}; ONNX Runtime on cuda failed: {'x' * 200}",
        ),
        (
            "model.onnx",
            "auto",
            {"fails_to_open": {"onnxruntime": ImportError("libcudart.so.13: cannot open shared object file")}},
            ["onnxruntime cuda", "openvino None"],
            f"{NOT_USED}; ONNX Runtime on cuda failed: libcudart.so.13: cannot open shared object file",
        ),
        (
            "model.onnx",
            "onnxruntime",
            {"fails_to_open": {"onnxruntime": OSError("no driver")}},
            ["onnxruntime cuda", "onnxruntime cpu"],
            "ONNX Runtime on the CPU: as asked for; ONNX Runtime on cuda failed: no driver",
        ),
        (
            "weights.safetensors",
            "auto",
            {"fails_to_compute": {"pytorch": LACKS}},
            ["pytorch cuda", "pytorch cpu"],
            f"PyTorch on the CPU: it alone runs weights{TORCH_LACKS}",
        ),
    ],
)
def test_a_gpu_that_fails_under_auto_is_passed_over(
    machine: Machine,
    networks: Path,
    file: str,
    engine: str,
    fails: dict[str, dict[str, Exception]],
    opened: list[str],
    reason: str,
) -> None:
    vars(machine).update(GPU | fails)
    found = open_engine(networks / file, engine=engine)
    assert machine.opened == opened
    assert found.reason == reason
    assert machine.closed == list(machine.fails_to_compute), "what was open is closed, however that goes"


@pytest.mark.parametrize("engine", ["auto", "pytorch"])
def test_a_gpu_that_is_asked_for_is_not_passed_over(machine: Machine, networks: Path, engine: str) -> None:
    vars(machine).update(GPU | {"fails_to_open": {"pytorch": LACKS}})
    with pytest.raises(RuntimeError, match="no kernel image"):
        open_engine(networks / "both.onnx", engine=engine, device="cuda")
    assert machine.opened == ["pytorch cuda"]


def test_other_failures_are_not_hidden(machine: Machine, networks: Path) -> None:
    vars(machine).update(GPU | {"fails_to_compute": {"pytorch": KeyError("a mistake of this project")}})
    with pytest.raises(KeyError):
        open_engine(networks / "both.onnx")
    assert machine.closed == ["pytorch"]


def test_a_gpu_is_tried_under_auto_alone_and_with_an_image_that_the_file_takes(
    machine: Machine, networks: Path, tmp_path: Path
) -> None:
    vars(machine).update(GPU)
    write_onnx_file(tmp_path / "fixed.onnx", small_model("fp32", (40, 70)))
    for path, options, given in (
        (networks / "both.onnx", {}, [(1, 8, 8, 3)]),
        (networks / "model.onnx", {}, [(1, 8, 8, 3)]),
        (tmp_path / "fixed.onnx", {}, [(1, 40, 70, 3)]),
        (networks / "both.onnx", {"device": "cuda"}, []),
        (networks / "both.onnx", {"device": "cpu"}, []),
        (networks / "small.xml", {}, []),
    ):
        engine = open_engine(path, **options).engine
        assert isinstance(engine, Opened)
        assert engine.given == given
