from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from deployed_networks import assert_source_labels, batch, small_ir, small_model, small_weights
from numpy.typing import NDArray
from safetensors.numpy import save_file

import contextnet.runtime.engines.choice as choice
import contextnet.runtime.engines.opening as opening
import contextnet.weights.catalogue as catalogue
from contextnet.errors import ContextNetError, DataError, MissingDependencyError, ModelFileError, WeightsError
from contextnet.models.engine import PRECISIONS
from contextnet.models.storage import write_weights
from contextnet.runtime.engines.choice import ENGINES
from contextnet.runtime.engines.opening import find_model, installed_engines, open_engine
from contextnet.runtime.onnx_file import write_onnx_file

PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "pytorch": "torch"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands in for the package's own: both.onnx and .safetensors, model.onnx, weights.safetensors."""
    folder = tmp_path_factory.mktemp("networks")
    for name in ("both", "model"):
        write_onnx_file(folder / f"{name}.onnx", small_model())
    for name in ("both", "weights"):
        write_weights(folder / f"{name}.safetensors", small_weights())
    small_ir(folder)
    return folder


@dataclass
class Machine:
    """What is installed, what it was built for, what the driver counts, and what fails when a GPU is to be used.

    ``opened`` and ``closed`` note the engines, which fakes stand in for.
    """

    installed: set[str] = field(default_factory=lambda: set(PACKAGES))
    gpus: int = 0
    built_for_cuda: set[str] = field(default_factory=set)
    fails_to_open: dict[str, Exception] = field(default_factory=dict)
    fails_to_compute: dict[str, Exception] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@dataclass
class Opened:
    """What an engine was opened with, and the shapes that it was given."""

    name: str
    source: Any
    options: dict[str, Any]
    machine: Machine
    given: list[tuple[int, ...]] = field(default_factory=list)

    def submit(self, images: NDArray[np.uint8]) -> SimpleNamespace:
        self.given.append(images.shape)
        return SimpleNamespace(labels=self._labels)

    def close(self) -> None:
        self.machine.closed.append(self.name)
        raise RuntimeError("the GPU is gone")

    def _labels(self) -> None:
        if self.options.get("device") == "cuda" and self.name in self.machine.fails_to_compute:
            raise self.machine.fails_to_compute[self.name]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, networks: Path) -> Machine:
    machine = Machine()

    def find_spec(package: str) -> ModuleSpec | None:
        name = next(name for name, its in PACKAGES.items() if its == package)
        if name not in machine.installed:
            return None
        library = tmp_path / package / "lib" / ("libtorch_cuda.so" if name in machine.built_for_cuda else "libtorch.so")
        library.parent.mkdir(parents=True, exist_ok=True)
        library.touch()
        return ModuleSpec(package, None, origin=str(tmp_path / package / "__init__.py"))

    def fake_module(name: str) -> SimpleNamespace:
        def open_fake(source: Any, **options: Any) -> Opened:
            machine.opened.append(f"{name} {options.get('device')}")
            if options.get("device") == "cuda" and name in machine.fails_to_open:
                raise machine.fails_to_open[name]
            return Opened(name, source, options, machine)

        return SimpleNamespace(open_engine=open_fake, has_cuda=lambda: name in machine.built_for_cuda)

    modules = {ENGINES[name]: fake_module(name) for name in ENGINES}
    monkeypatch.setattr(choice, "find_spec", find_spec)
    monkeypatch.setattr(choice, "count_gpus", lambda: machine.gpus)
    for module in (choice, opening):
        monkeypatch.setattr(module, "import_module", modules.__getitem__)
    monkeypatch.setattr(catalogue, "_FOLDER", networks)
    return machine


GPU = {"gpus": 1, "built_for_cuda": {"onnxruntime", "pytorch"}}
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
    assert opened.labels == small_weights().labels
    if found.name == "pytorch":
        assert found.source == networks / file.replace(".onnx", ".safetensors")


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
            {"device": "cuda"},
            {"installed": {"openvino"}, "gpus": 1},
            MissingDependencyError,
            "FILE: ONNX Runtime, which runs it, is not installed; pip install 'contextnet[onnxruntime]'",
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


def test_labels_that_cannot_be_read_name_the_weights(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"weight": np.ones(3, np.float32)}, path, {"labels": '{"name": "odd"}'})
    with pytest.raises(DataError, match=r"odd\.safetensors: label set: classes: field required"):
        open_engine(path)


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
