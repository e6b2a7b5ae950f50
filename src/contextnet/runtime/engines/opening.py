"""Which engine runs which file, and where: chosen by what the file is, what is installed and what the machine has.

Engines are named by the modules that open them and imported when they are chosen, so that this module needs none of
their packages, and so that the runtime, which stands below the networks, knows PyTorch's engine by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.labels import LabelSet
from contextnet.runtime.engines.engine import Engine
from contextnet.runtime.engines.nvidia_driver import count_gpus
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file
from contextnet.runtime.openvino_ir import IrFile, read_openvino_ir
from contextnet.weights.catalogue import find_model_file, find_weights, read_label_values, weights_names, weights_of

OPENVINO, ONNX_RUNTIME, PYTORCH = "openvino", "onnxruntime", "pytorch"
ENGINES = {
    OPENVINO: "contextnet.runtime.engines.openvino",
    ONNX_RUNTIME: "contextnet.runtime.engines.onnx_runtime",
    PYTORCH: "contextnet.models.engine",
}
"""The module of each engine, which opens it with ``open_engine``."""

AUTO, CPU, CUDA, TENSORRT = "auto", "cpu", "cuda", "tensorrt"
_WEIGHTS_SUFFIX = ".safetensors"
_READERS: dict[str, Callable[[Path], OnnxFile | IrFile]] = {".onnx": read_onnx_file, ".xml": read_openvino_ir}
_ALONE = {
    _WEIGHTS_SUFFIX: (PYTORCH, "it alone runs weights"),
    ".xml": (OPENVINO, "the model file is in its own format"),
}


@dataclass(frozen=True)
class _Ability:
    """What an engine is called, what it needs and what it can do."""

    title: str
    package: str
    install: str
    suffixes: tuple[str, ...]
    devices: tuple[str, ...]


_ABILITIES = {
    OPENVINO: _Ability("OpenVINO", "openvino", "openvino", (".onnx", ".xml"), (CPU,)),
    ONNX_RUNTIME: _Ability(
        "ONNX Runtime", "onnxruntime", "'contextnet[onnxruntime]'", (".onnx",), (CPU, CUDA, TENSORRT)
    ),
    PYTORCH: _Ability("PyTorch", "torch", "'contextnet[train]'", (_WEIGHTS_SUFFIX,), (CPU, CUDA)),
}


@dataclass(frozen=True)
class OpenedEngine:
    """An engine with its network, the network's classes, and in one sentence which engine was chosen and why."""

    engine: Engine
    labels: LabelSet
    reason: str


@dataclass(frozen=True)
class _Choice:
    """Which engine runs which file, on which device, and why."""

    engine: str
    device: str
    source: Path
    why: str

    @property
    def reason(self) -> str:
        where = "" if self.device == AUTO else " on the CPU" if self.device == CPU else f" on {self.device}"
        return f"{_ABILITIES[self.engine].title}{where}: {self.why}"


def find_model(name_or_path: str, engine: str = AUTO) -> Path:
    """Give the file of a shipped network that ``engine`` runs, or the path as it is.

    Raises ``WeightsError`` when it is neither, ``ModelFileError`` when no engine runs such a file.
    """
    wants_weights = engine == PYTORCH and name_or_path in weights_names()
    path = find_weights(name_or_path) if wants_weights else find_model_file(name_or_path)
    _require_known_suffix(path)
    return path


def installed_engines(source: Path) -> tuple[str, ...]:
    """Name the engines that run a file and are installed, in the order in which they are preferred on a CPU."""
    return tuple(name for name, able in _ABILITIES.items() if source.suffix in able.suffixes and _is_installed(name))


def open_engine(
    source: Path,
    *,
    engine: str = AUTO,
    device: str = AUTO,
    precision: str | None = None,
    in_flight: int = 1,
    threads: int | None = None,
) -> OpenedEngine:
    """Open a model file or a weights file in the engine that is best for it on this machine, or in the given one.

    ``device`` is auto, cpu, cuda, cuda:1 and so on, or tensorrt; ``precision`` one that the engine has, None for its
    own choice; ``in_flight`` the number of calls that are computed at a time; ``threads`` those that they share on a
    CPU, None for one on each usable core. In place of a shipped model file PyTorch runs the weights it was made of.

    Raises ``MissingDependencyError`` when the engine is not installed, ``ContextNetError`` when it cannot do what is
    asked for, and what the file's reader raises.
    """
    choice = _choose(source, engine, device)
    if choice.engine == PYTORCH:
        if threads is not None and _kind(choice.device) != CUDA:
            raise ContextNetError(f"threads {threads}: PyTorch has as many as OMP_NUM_THREADS says; set that instead")
        labels = LabelSet.from_json(read_label_values(choice.source), f"{choice.source}: label set")
        module = import_module(ENGINES[PYTORCH])
        opened = module.open_engine(choice.source, device=choice.device, precision=precision, in_flight=in_flight)
        return OpenedEngine(opened, labels, choice.reason)
    model = _READERS[choice.source.suffix](choice.source)
    module = import_module(ENGINES[choice.engine])
    where = {} if choice.engine == OPENVINO else {"device": choice.device}
    opened = module.open_engine(model, precision=precision, in_flight=in_flight, threads=threads, **where)
    return OpenedEngine(opened, model.metadata.labels, choice.reason)


def _choose(source: Path, engine: str, device: str) -> _Choice:
    """Choose what is left to choose; raises ``ContextNetError`` when it cannot be as it is asked for."""
    _require_known_suffix(source)
    if not re.fullmatch(r"auto|cpu|(cuda|tensorrt)(:\d+)?", device):
        raise ContextNetError(f"device '{device}': expected auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    if engine not in {AUTO, *ENGINES}:
        raise ContextNetError(f"engine '{engine}': expected {AUTO}, {', '.join(ENGINES)}")
    choice = _best(source, device) if engine == AUTO else _Choice(engine, device, source, "as asked for")
    if choice.engine == PYTORCH:
        choice = replace(choice, source=weights_of(source) or source)
    _require_able(choice)
    if choice.device == AUTO and choice.engine != PYTORCH:
        uses_gpu = choice.engine == ONNX_RUNTIME and count_gpus() > 0 and _onnx_runtime_has_cuda()
        choice = replace(choice, device=CUDA if uses_gpu else CPU)
    return choice


def _best(source: Path, device: str) -> _Choice:
    """Choose the engine for a file by the device that is asked for, or by what the machine has."""
    if source.suffix in _ALONE:
        engine, why = _ALONE[source.suffix]
        return _Choice(engine, device, source, why)
    if _kind(device) == TENSORRT:
        return _Choice(ONNX_RUNTIME, device, source, "it alone has TensorRT")
    if _kind(device) == CUDA:
        return _Choice(_gpu_engine(source) or ONNX_RUNTIME, device, source, "CUDA was asked for")
    why = "it was asked for"
    if device == AUTO:
        has_gpu = count_gpus() > 0
        if has_gpu and (gpu_engine := _gpu_engine(source)):
            return _Choice(gpu_engine, CUDA, source, "this machine has an NVIDIA GPU")
        why = "no installed engine uses its NVIDIA GPU" if has_gpu else "this machine has no NVIDIA GPU"
    if _is_installed(ONNX_RUNTIME) and not _is_installed(OPENVINO):
        return _Choice(ONNX_RUNTIME, CPU, source, f"{why}, and OpenVINO is not installed")
    return _Choice(OPENVINO, CPU, source, why)


def _gpu_engine(model: Path) -> str | None:
    """Name the engine that runs a model file, or the weights it was made of, on an NVIDIA GPU; None without one."""
    if weights_of(model) and _is_installed(PYTORCH) and _pytorch_has_cuda():
        return PYTORCH
    return ONNX_RUNTIME if _is_installed(ONNX_RUNTIME) and _onnx_runtime_has_cuda() else None


def _require_able(choice: _Choice) -> None:
    """Raise the ``ContextNetError`` that says why an engine cannot run a file, or not there."""
    able, source = _ABILITIES[choice.engine], choice.source
    is_weights = source.suffix == _WEIGHTS_SUFFIX
    if source.suffix not in able.suffixes:
        others = " or ".join(name for name, other in _ABILITIES.items() if source.suffix in other.suffixes)
        remedy = f"take engine {others}" + ", or a model file of it ('contextnet export')" * is_weights
        raise ModelFileError.at(source, f"{able.title} runs {' and '.join(able.suffixes)} files", remedy)
    if choice.device != AUTO and _kind(choice.device) not in able.devices:
        where = " or ".join(able.devices)
        raise ContextNetError(
            f"device '{choice.device}': {able.title} computes on {where}; give that, or another engine"
        )
    if not _is_installed(choice.engine):
        found = f"{able.title}, which runs it, is not installed"
        remedy = f"pip install {able.install}" + ", or export it ('contextnet export') where PyTorch is" * is_weights
        raise MissingDependencyError.at(source, found, remedy)


def _require_known_suffix(path: Path) -> None:
    if path.suffix not in {*_READERS, _WEIGHTS_SUFFIX}:
        expected = "expected a model file, .onnx or .xml, or weights, .safetensors"
        raise ModelFileError.at(path, f"is no network by its suffix '{path.suffix}'", expected)


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _is_installed(engine: str) -> bool:
    return find_spec(_ABILITIES[engine].package) is not None


def _pytorch_has_cuda() -> bool:
    """Tell by its libraries whether the installed PyTorch was built for CUDA, without importing it."""
    spec = find_spec(_ABILITIES[PYTORCH].package)
    return spec is not None and spec.origin is not None and any((Path(spec.origin).parent / "lib").glob("*torch_cuda*"))


def _onnx_runtime_has_cuda() -> bool:
    has_cuda: bool = import_module(ENGINES[ONNX_RUNTIME]).has_cuda()
    return has_cuda
