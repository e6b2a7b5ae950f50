"""Opening a network's file in the engine that is best for it on this machine, or in the given one.

Engines are named by the modules that open them and imported when they are chosen, so that this module needs none of
their packages, and so that the runtime, which stands below the networks, knows PyTorch's engine by its name alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from contextnet.errors import ContextNetError
from contextnet.labels import LabelSet
from contextnet.network_spec import NetworkSpec, spec_from_json
from contextnet.runtime.engines.choice import (
    AUTO,
    CPU,
    ENGINES,
    OPENVINO,
    PYTORCH,
    WEIGHTS_SUFFIX,
    Choice,
    choices,
    is_installed,
    require_known_suffix,
    runs,
)
from contextnet.runtime.engines.engine import Engine
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file
from contextnet.runtime.openvino_ir import IrFile, read_openvino_ir
from contextnet.weights.catalogue import (
    find_model_file,
    find_weights,
    read_label_values,
    summarize_weights,
    weights_names,
)

_READERS: dict[str, Callable[[Path], OnnxFile | IrFile]] = {".onnx": read_onnx_file, ".xml": read_openvino_ir}
_TRIAL_HW = (8, 8)
_FAILURES = (ContextNetError, RuntimeError, ImportError, OSError)
"""What engines raise when libraries, driver and GPU do not fit together."""
_REASON_LENGTH = 200


@dataclass(frozen=True)
class OpenedEngine:
    """An engine with its network, the network's description and its classes.

    ``reason`` says in one sentence which engine was chosen and why.
    """

    engine: Engine
    spec: NetworkSpec
    labels: LabelSet
    reason: str


@dataclass(frozen=True)
class _Wishes:
    """How an engine is to compute: in which arithmetic, how many calls at a time, on how many threads."""

    precision: str | None
    in_flight: int
    threads: int | None


def find_model(name_or_path: str, engine: str = AUTO) -> Path:
    """Give the file of a shipped network that ``engine`` runs, or the path as it is.

    Raises ``WeightsError`` when it is neither, ``ModelFileError`` when no engine runs such a file.
    """
    wants_weights = engine == PYTORCH and name_or_path in weights_names()
    path = find_weights(name_or_path) if wants_weights else find_model_file(name_or_path)
    require_known_suffix(path)
    return path


def installed_engines(source: Path) -> tuple[str, ...]:
    """Name the engines that run a file and are installed, in the order in which they are preferred on a CPU."""
    return tuple(name for name in ENGINES if runs(name, source) and is_installed(name))


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
    Where the device is left open, a GPU that cannot do what is asked for, or fails on a first small image, is passed
    over, and ``reason`` says so.

    Raises ``MissingDependencyError`` when the engine is not installed, ``ContextNetError`` when it cannot do what is
    asked for, and what the file's reader raises.
    """
    wishes = _Wishes(precision, in_flight, threads)
    *hopeful, last = choices(source, engine, device, precision, threads)
    failed = ""
    for choice in hopeful:
        try:
            return _open(choice, wishes, failed, is_tried=True)
        except _FAILURES as error:
            failed += f"; {choice.place} failed: {' '.join(str(error).split())[:_REASON_LENGTH]}"
    return _open(last, wishes, failed, is_tried=False)


def _open(choice: Choice, wishes: _Wishes, failed: str, *, is_tried: bool) -> OpenedEngine:
    size_hw = _TRIAL_HW
    if choice.source.suffix == WEIGHTS_SUFFIX:
        if wishes.threads is not None and choice.device == CPU:
            raise ContextNetError(
                f"threads {wishes.threads}: PyTorch has as many as OMP_NUM_THREADS says; set that instead"
            )
        labels = LabelSet.from_json(read_label_values(choice.source), f"{choice.source}: label set")
        opened = _opener(choice)(
            choice.source, device=choice.device, precision=wishes.precision, in_flight=wishes.in_flight
        )
        spec = spec_from_json(summarize_weights(choice.source).spec)
    else:
        model = _READERS[choice.source.suffix](choice.source)
        spec, labels, size_hw = model.metadata.spec, model.metadata.labels, model.size_hw or _TRIAL_HW
        where = {} if choice.engine == OPENVINO else {"device": choice.device}
        opened = _opener(choice)(
            model, precision=wishes.precision, in_flight=wishes.in_flight, threads=wishes.threads, **where
        )
    if is_tried:
        _try_out(opened, size_hw)
    return OpenedEngine(opened, spec, labels, choice.reason + failed)


def _opener(choice: Choice) -> Callable[..., Engine]:
    opener: Callable[..., Engine] = import_module(ENGINES[choice.engine]).open_engine
    return opener


def _try_out(engine: Engine, size_hw: tuple[int, int]) -> None:
    """Compute one black image, since what a GPU lacks often shows no sooner; an engine that fails is closed."""
    try:
        engine.submit(np.zeros((1, *size_hw, 3), np.uint8)).labels()
    except Exception:
        with suppress(*_FAILURES):
            engine.close()
        raise
