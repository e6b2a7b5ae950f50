from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from deployed_networks import assert_source_labels, batch, small_weights
from fake_machine import PACKAGES, Machine

from contextnet.errors import ContextNetError, ModelFileError, WeightsError
from contextnet.runtime.engines.opening import find_model, installed_engines, open_engine


@pytest.mark.parametrize(
    ("name", "engine", "expected"),
    [
        ("both", "auto", "both.onnx"),
        ("both", "openvino", "both.onnx"),
        ("both", "pytorch", "both.safetensors"),
        ("model", "auto", "model.onnx"),
        ("model", "pytorch", "model.onnx"),
        ("weights", "auto", "weights.safetensors"),
        ("weights", "openvino", "weights.safetensors"),
    ],
)
def test_a_name_finds_the_file_that_the_engine_runs(
    machine: Machine, networks: Path, name: str, engine: str, expected: str
) -> None:
    assert find_model(name, engine) == networks / expected


def test_a_path_stays_as_it_is(machine: Machine, networks: Path) -> None:
    for file in ("both.onnx", "small.xml", "both.safetensors"):
        assert find_model(str(networks / file), "pytorch") == networks / file


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("none", WeightsError, "'none' is neither a file nor a shipped network (both, model, weights)"),
        ("FOLDER/small.bin", ModelFileError, "FOLDER/small.bin: is no network by its suffix '.bin'; expected a model"),
    ],
)
def test_a_name_that_leads_to_no_network_is_refused(
    machine: Machine, networks: Path, name: str, error: type[ContextNetError], message: str
) -> None:
    with pytest.raises(error) as caught:
        find_model(name.replace("FOLDER", str(networks)))
    assert str(caught.value).startswith(message.replace("FOLDER", str(networks)))


@pytest.mark.parametrize(
    ("file", "installed", "expected"),
    [
        ("a.onnx", set(PACKAGES), ("openvino", "onnxruntime")),
        ("a.onnx", {"onnxruntime", "pytorch"}, ("onnxruntime",)),
        ("a.xml", set(PACKAGES), ("openvino",)),
        ("a.safetensors", set(PACKAGES), ("pytorch",)),
        ("a.safetensors", {"openvino"}, ()),
        ("a.png", set(PACKAGES), ()),
    ],
)
def test_installed_engines_are_named(
    machine: Machine, file: str, installed: set[str], expected: tuple[str, ...]
) -> None:
    machine.installed = installed
    assert installed_engines(Path(file)) == expected


@pytest.mark.parametrize(
    ("file", "engine"),
    [
        ("model.onnx", "auto"),
        ("model.onnx", "onnxruntime"),
        ("small.xml", "auto"),
        ("weights.safetensors", "auto"),
    ],
)
def test_the_real_engines_agree(networks: Path, file: str, engine: str) -> None:
    images = batch(1, (65, 131), 7)
    opened = open_engine(networks / file, engine=engine, device="cpu", precision="fp32")
    assert opened.labels == small_weights().labels
    assert_source_labels(opened.engine.submit(images).labels(), images)
    assert opened.engine.info.precision == "fp32"
    opened.engine.close()


def test_importing_it_imports_no_engine() -> None:
    program = (
        "import sys, contextnet.runtime.engines.opening; "
        "sys.exit(str({'torch', 'openvino', 'onnx', 'onnxruntime'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
