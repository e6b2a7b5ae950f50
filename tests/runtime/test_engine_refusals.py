"""What cannot be opened, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_machine import GPU, Machine
from safetensors.numpy import save_file

from contextnet.errors import ContextNetError, DataError, MissingDependencyError, ModelFileError, WeightsError
from contextnet.runtime.engines.opening import open_engine

WEIGHTS_ARE_FOR_PYTORCH = "take engine pytorch, or a model file of it ('contextnet export')"


@pytest.mark.parametrize(
    ("file", "options", "machine_has", "error", "message"),
    [
        (
            "weights.safetensors",
            {"engine": "openvino"},
            {},
            ModelFileError,
            f"FILE: OpenVINO runs .onnx and .xml files; {WEIGHTS_ARE_FOR_PYTORCH}",
        ),
        (
            "weights.safetensors",
            {"engine": "onnxruntime"},
            {},
            ModelFileError,
            f"FILE: ONNX Runtime runs .onnx files; {WEIGHTS_ARE_FOR_PYTORCH}",
        ),
        (
            "model.onnx",
            {"engine": "pytorch"},
            {},
            ModelFileError,
            "FILE: PyTorch runs .safetensors files; take engine openvino or onnxruntime",
        ),
        (
            "small.xml",
            {"engine": "onnxruntime"},
            {},
            ModelFileError,
            "FILE: ONNX Runtime runs .onnx files; take engine openvino",
        ),
        (
            "model.onnx",
            {"engine": "openvino", "device": "cuda"},
            GPU,
            ContextNetError,
            "device 'cuda': OpenVINO computes on cpu; give that, or another engine",
        ),
        (
            "small.xml",
            {"device": "cuda:0"},
            GPU,
            ContextNetError,
            "device 'cuda:0': OpenVINO computes on cpu; give that, or another engine",
        ),
        (
            "weights.safetensors",
            {"device": "tensorrt"},
            GPU,
            ContextNetError,
            "device 'tensorrt': PyTorch computes on cpu or cuda; give that, or another engine",
        ),
        (
            "weights.safetensors",
            {},
            {"installed": {"openvino"}},
            MissingDependencyError,
            "FILE: PyTorch, which runs it, is not installed; pip install 'contextnet[train]', or export it "
            "('contextnet export') where PyTorch is",
        ),
        (
            "model.onnx",
            {},
            {"installed": set()},
            MissingDependencyError,
            "FILE: OpenVINO, which runs it, is not installed; pip install openvino",
        ),
        (
            "model.onnx",
            {"engine": "onnxruntime", "device": "cpu"},
            {"installed": {"openvino"}, "gpus": 1},
            MissingDependencyError,
            "FILE: ONNX Runtime, which runs it, is not installed; pip install 'contextnet[onnxruntime]'",
        ),
        *(
            (
                "model.onnx",
                {"device": device},
                {"installed": {"openvino"}, "gpus": 1},
                MissingDependencyError,
                "FILE: ONNX Runtime, which runs it, is not installed; pip install 'onnxruntime-gpu[cuda,cudnn]'",
            )
            for device in ("cuda", "cuda:1", "tensorrt")
        ),
        (
            "model.onnx",
            {"engine": "tflite"},
            {},
            ContextNetError,
            "engine 'tflite': expected auto, openvino, onnxruntime, pytorch",
        ),
        (
            "model.onnx",
            {"device": "gpu"},
            {},
            ContextNetError,
            "device 'gpu': expected auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N",
        ),
        (
            "weights.safetensors",
            {"threads": 2},
            {},
            ContextNetError,
            "threads 2: PyTorch has as many as OMP_NUM_THREADS says; set that instead",
        ),
        (
            "image.png",
            {},
            {},
            ModelFileError,
            "FILE: is no network by its suffix '.png'; expected a model file, .onnx or .xml, or weights, .safetensors",
        ),
        ("missing.onnx", {}, {}, ModelFileError, "FILE: cannot be read: No such file or directory; check the path"),
        ("missing.xml", {}, {}, ModelFileError, "FILE: cannot be read: No such file or directory; a model is two"),
        ("missing.safetensors", {}, {}, WeightsError, "FILE: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    machine: Machine,
    networks: Path,
    file: str,
    options: dict[str, Any],
    machine_has: dict[str, Any],
    error: type[ContextNetError],
    message: str,
) -> None:
    vars(machine).update(machine_has)
    with pytest.raises(error) as caught:
        open_engine(networks / file, **options)
    assert str(caught.value).startswith(message.replace("FILE", str(networks / file)))


def test_labels_that_cannot_be_read_name_the_weights(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"weight": np.ones(3, np.float32)}, path, {"labels": '{"name": "odd"}'})
    with pytest.raises(DataError, match=r"odd\.safetensors: label set: classes: field required"):
        open_engine(path)
