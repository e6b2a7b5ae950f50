"""Which engine suits which file, and where: by what the file is, what is installed and what the machine has."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.runtime.engines.nvidia_driver import count_gpus
from contextnet.weights.catalogue import weights_of

OPENVINO, ONNX_RUNTIME, PYTORCH = "openvino", "onnxruntime", "pytorch"
ENGINES = {
    OPENVINO: "contextnet.runtime.engines.openvino",
    ONNX_RUNTIME: "contextnet.runtime.engines.onnx_runtime",
    PYTORCH: "contextnet.models.engine",
}
"""The module of each engine, which opens it with ``open_engine``."""

AUTO, CPU, CUDA, TENSORRT = "auto", "cpu", "cuda", "tensorrt"
WEIGHTS_SUFFIX = ".safetensors"
_ALONE = {
    WEIGHTS_SUFFIX: (PYTORCH, "it alone runs weights"),
    ".xml": (OPENVINO, "the model file is in its own format"),
}


@dataclass(frozen=True)
class _Ability:
    """What an engine is called, what it needs and what it can do; ``gpu_precisions`` are those it can be told.

    ``gpu_install`` is what brings it built for a GPU, where ``install`` does not.
    """

    title: str
    package: str
    install: str
    suffixes: tuple[str, ...]
    devices: tuple[str, ...] = (CPU,)
    gpu_precisions: tuple[str, ...] = ()
    gpu_install: str = ""


_ABILITIES = {
    OPENVINO: _Ability("OpenVINO", "openvino", "openvino", (".onnx", ".xml")),
    ONNX_RUNTIME: _Ability(
        "ONNX Runtime",
        "onnxruntime",
        "'contextnet[onnxruntime]'",
        (".onnx",),
        (CPU, CUDA, TENSORRT),
        ("fp32",),
        "'onnxruntime-gpu[cuda,cudnn]'",
    ),
    PYTORCH: _Ability("PyTorch", "torch", "'contextnet[train]'", (WEIGHTS_SUFFIX,), (CPU, CUDA), ("fp16", "bf16")),
}
SUFFIXES = frozenset(suffix for able in _ABILITIES.values() for suffix in able.suffixes)


@dataclass(frozen=True)
class Choice:
    """Which engine runs which file, on which device, and why."""

    engine: str
    device: str
    source: Path
    why: str

    @property
    def place(self) -> str:
        """Name the engine and the device."""
        return f"{_ABILITIES[self.engine].title} on {'the CPU' if self.device == CPU else self.device}"

    @property
    def reason(self) -> str:
        """Say in one sentence what was chosen and why."""
        return f"{self.place}: {self.why}"


def choices(source: Path, engine: str, device: str, precision: str | None, threads: int | None) -> list[Choice]:
    """Give the ways to run a file as it is asked for, the best first: one, or a GPU and then the CPU under auto.

    Raises ``ContextNetError`` when there is none, and ``MissingDependencyError`` when its engine is not installed.
    """
    require_known_suffix(source)
    if not re.fullmatch(r"auto|cpu|(cuda|tensorrt)(:\d+)?", device):
        raise ContextNetError(f"device '{device}': expected auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")
    if engine not in {AUTO, *ENGINES}:
        raise ContextNetError(f"engine '{engine}': expected {AUTO}, {', '.join(ENGINES)}")
    if device == AUTO:
        found = _on_this_machine(source, engine, precision, threads)
    else:
        found = [_on_device(source, device) if engine == AUTO else Choice(engine, device, source, "as asked for")]
    found = [_with_its_file(choice) for choice in found]
    for choice in found:
        _require_able(choice)
    return found


def is_installed(engine: str) -> bool:
    """Tell whether an engine's package can be found; it is not imported."""
    return find_spec(_ABILITIES[engine].package) is not None


def runs(engine: str, source: Path) -> bool:
    """Tell whether an engine runs such files."""
    return source.suffix in _ABILITIES[engine].suffixes


def kind_of(device: str) -> str:
    """Give a device without its number."""
    return device.partition(":")[0]


def require_known_suffix(path: Path) -> None:
    """Raise ``ModelFileError`` when no engine runs files that are called so."""
    if path.suffix not in SUFFIXES:
        expected = "expected a model file, .onnx or .xml, or weights, .safetensors"
        raise ModelFileError.at(path, f"is no network by its suffix '{path.suffix}'", expected)


def _on_device(source: Path, device: str) -> Choice:
    """Choose the engine for the device that is asked for."""
    if source.suffix in _ALONE:
        engine, why = _ALONE[source.suffix]
        return Choice(engine, device, source, why)
    if kind_of(device) == TENSORRT:
        return Choice(ONNX_RUNTIME, device, source, "it alone has TensorRT")
    if kind_of(device) == CUDA:
        usable = [engine for engine in _gpu_candidates(source) if _uses_cuda(engine)]
        return Choice(usable[0] if usable else ONNX_RUNTIME, device, source, "CUDA was asked for")
    return _on_cpu(source, "it was asked for")


def _on_this_machine(source: Path, engine: str, precision: str | None, threads: int | None) -> list[Choice]:
    """Choose the device, and the engine where it is left open: each engine that uses a GPU, and then the CPU."""
    has_gpu = count_gpus() > 0
    candidates = _gpu_candidates(source) if engine == AUTO else [engine]
    usable = [name for name in candidates if _uses_cuda(name)] if has_gpu else []
    willing = [name for name in usable if threads is None and precision in {None, *_ABILITIES[name].gpu_precisions}]
    if engine != AUTO or source.suffix in _ALONE:
        name, why = (engine, "as asked for") if engine != AUTO else _ALONE[source.suffix]
        return [*(Choice(name, CUDA, source, why) for name in willing), Choice(name, CPU, source, why)]
    on_gpu = [Choice(name, CUDA, source, "this machine has an NVIDIA GPU") for name in willing]
    on_cpu = _on_cpu(source, _why_cpu(has_gpu, usable, willing, precision, threads))
    return [*on_gpu, on_cpu] if is_installed(on_cpu.engine) or not on_gpu else on_gpu


def _why_cpu(has_gpu: bool, usable: list[str], willing: list[str], precision: str | None, threads: int | None) -> str:
    """Say why no GPU computes: the machine's, those of the engines that could use it, or of those that also would."""
    if not has_gpu:
        return "this machine has no NVIDIA GPU"
    if not usable:
        return "no installed engine uses its NVIDIA GPU"
    if willing:
        return "its NVIDIA GPU could not be used"
    wish = f"precision {precision}" if threads is None else f"{threads} threads"
    return f"no installed engine has {wish} on its NVIDIA GPU"


def _on_cpu(model: Path, why: str) -> Choice:
    """Choose the engine that runs a model file on the CPU."""
    if is_installed(ONNX_RUNTIME) and not is_installed(OPENVINO):
        return Choice(ONNX_RUNTIME, CPU, model, f"{why}, and OpenVINO is not installed")
    return Choice(OPENVINO, CPU, model, why)


def _gpu_candidates(source: Path) -> list[str]:
    """Name the engines that can run a file, or the weights it was made of, on an NVIDIA GPU, the fastest first."""
    runnable = [source] if weights_of(source) is None else [source, source.with_suffix(WEIGHTS_SUFFIX)]
    return [engine for engine in (PYTORCH, ONNX_RUNTIME) if any(runs(engine, file) for file in runnable)]


def _uses_cuda(engine: str) -> bool:
    """Tell whether an engine is installed, and built for CUDA."""
    if CUDA not in _ABILITIES[engine].devices or not is_installed(engine):
        return False
    return _pytorch_has_cuda() if engine == PYTORCH else _onnx_runtime_has_cuda()


def _with_its_file(choice: Choice) -> Choice:
    """Let PyTorch run the weights that a shipped model file was made of."""
    return replace(choice, source=weights_of(choice.source) or choice.source) if choice.engine == PYTORCH else choice


def _require_able(choice: Choice) -> None:
    """Raise the ``ContextNetError`` that says why an engine cannot run a file, or not there."""
    able, source = _ABILITIES[choice.engine], choice.source
    is_weights = source.suffix == WEIGHTS_SUFFIX
    if source.suffix not in able.suffixes:
        others = " or ".join(name for name in _ABILITIES if runs(name, source))
        remedy = f"take engine {others}" + ", or a model file of it ('contextnet export')" * is_weights
        raise ModelFileError.at(source, f"{able.title} runs {' and '.join(able.suffixes)} files", remedy)
    if kind_of(choice.device) not in able.devices:
        where = " or ".join(able.devices)
        raise ContextNetError(
            f"device '{choice.device}': {able.title} computes on {where}; give that, or another engine"
        )
    if not is_installed(choice.engine):
        found = f"{able.title}, which runs it, is not installed"
        package = able.install if choice.device == CPU else able.gpu_install or able.install
        remedy = f"pip install {package}" + ", or export it ('contextnet export') where PyTorch is" * is_weights
        raise MissingDependencyError.at(source, found, remedy)


def _pytorch_has_cuda() -> bool:
    """Tell by its libraries whether the installed PyTorch was built for CUDA, without importing it."""
    spec = find_spec(_ABILITIES[PYTORCH].package)
    return spec is not None and spec.origin is not None and any((Path(spec.origin).parent / "lib").glob("*torch_cuda*"))


def _onnx_runtime_has_cuda() -> bool:
    has_cuda: bool = import_module(ENGINES[ONNX_RUNTIME]).has_cuda()
    return has_cuda
