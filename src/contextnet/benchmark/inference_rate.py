"""How fast this machine labels images: one at a time, several at a time, and as PyTorch does it, in one run.

Everything is timed from one uint8 image in memory, batch 1, to its uint8 labels in memory, or to its scores where the
network alone is meant. Figures are medians over rounds in which all take turns.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contextnet.benchmark.eager_process import EagerJob, EagerProcess, has_pytorch
from contextnet.benchmark.engine_calls import SingleCalls
from contextnet.benchmark.inference_figures import FIGURES, Figures, Subjects, measure_figures
from contextnet.benchmark.machine import Machine, describe_machine, peak_memory_mb
from contextnet.benchmark.street import draw_street, require_drawable
from contextnet.benchmark.turns import TURN_S, WARM_UP_RUNS, Progress
from contextnet.network_spec import NetworkSpec, spec_from_json
from contextnet.runtime.engines.cores import streaming_calls, usable_threads
from contextnet.runtime.engines.engine import EngineInfo
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import read_onnx_file
from contextnet.runtime.openvino_ir import read_openvino_ir
from contextnet.runtime.segmenter import EngineChoice
from contextnet.weights.catalogue import summarize_weights

ROUNDS = 7


@dataclass(frozen=True)
class PeakMemory:
    """The most memory that this process had held by three moments, in 10⁶ bytes; None where the system does not tell.

    ``loaded``: the engine was open. ``sequential``: it had labelled images one by one. ``end``: a second engine had
    labelled several at a time.
    """

    loaded_mb: int | None
    sequential_mb: int | None
    end_mb: int | None


@dataclass(frozen=True)
class InferenceRate:
    """What was measured, on what, and with what.

    ``engine`` is the one for a single call at a time and ``reason`` why it was chosen; the pipelined figure had
    ``in_flight`` images on their way. ``threads`` are those of the engines and of PyTorch alike.
    """

    network: str
    size_hw: tuple[int, int]
    threads: int
    engine: EngineInfo
    reason: str
    in_flight: int
    figures: Figures
    memory: PeakMemory
    machine: Machine

    def to_json(self) -> dict[str, Any]:
        """Describe the figures as plain JSON values: images a second, milliseconds, 10⁶ bytes.

        ``eager_torch_fps``, ``eager_torch_end_to_end_fps`` and ``ratios`` are None where PyTorch is not installed.
        """
        figures, timings = self.figures, self.figures.timings
        others_share = figures.others_share
        fps = {name: timings[name].fps if name in timings else None for name in FIGURES}
        return {
            "network": self.network,
            "size_hw": list(self.size_hw),
            "precision": self.engine.precision,
            **{f"{name}_fps": rate for name, rate in fps.items()},
            "latency_ms": figures.latency_ms(),
            "stages_ms": figures.stages_ms(),
            "ratios": figures.ratios(),
            "peak_memory_mb": self.memory.end_mb,
            "loaded_memory_mb": self.memory.loaded_mb,
            "sequential_memory_mb": self.memory.sequential_mb,
            "is_result": figures.noise is None,
            "noise": figures.noise,
            "spreads": figures.spreads(),
            "others_share": None if others_share is None else round(others_share, 3),
            "rounds": figures.rounds,
            "tries": figures.tries,
            "threads": self.threads,
            "engine": {
                "name": self.engine.name,
                "version": self.engine.version,
                "device": self.engine.device,
                "in_flight": self.in_flight,
                "reason": self.reason,
            },
            "machine": asdict(self.machine),
        }


def measure_inference(
    source: Path,
    size_hw: tuple[int, int],
    choice: EngineChoice,
    *,
    rounds: int = ROUNDS,
    turn_s: float = TURN_S,
    progress: Progress | None = None,
) -> InferenceRate:
    """Time a network on a drawn street, every figure for about ``turn_s`` in each of ``rounds``.

    Other processes are spawned for the street and for PyTorch, so that a script which calls this needs a main guard.
    Raises ``ContextNetError`` when the file, the engine or the size cannot be used, or one of the processes fails.
    """
    require_drawable(size_hw)
    threads = usable_threads(choice.threads)
    with ExitStack() as stack:
        opened = choice.open(source, 1)
        single = stack.enter_context(closing(opened.engine))
        loaded_mb = peak_memory_mb()
        image_HW3 = draw_street(size_hw)
        SingleCalls(single, image_HW3).labelled_s(WARM_UP_RUNS)
        sequential_mb = peak_memory_mb()
        spec = read_spec(source)
        on_gpu = single.info.device != "cpu"
        in_flight = streaming_calls(single.info.device, choice.threads)
        several = stack.enter_context(closing(choice.open(source, in_flight).engine))
        job = EagerJob(spec, image_HW3, threads, "cuda" if on_gpu else "cpu")
        eager = stack.enter_context(EagerProcess(job)) if has_pytorch() else None
        figures = measure_figures(Subjects(single, several, eager, image_HW3), rounds, turn_s, progress)
        return InferenceRate(
            network=spec.name,
            size_hw=size_hw,
            threads=threads,
            engine=single.info,
            reason=opened.reason,
            in_flight=several.info.in_flight,
            figures=figures,
            memory=PeakMemory(loaded_mb, sequential_mb, peak_memory_mb()),
            machine=describe_machine(),
        )


def read_spec(source: Path) -> NetworkSpec:
    """Read what network a file holds. Raises ``ContextNetError`` naming one that is neither a model nor weights."""
    if source.suffix == ".safetensors":
        return spec_from_json(summarize_weights(source).spec)
    return read_metadata(source).spec


def read_metadata(model_file: Path) -> ModelMetadata:
    """Read what a model file says of its network. Raises ``ContextNetError`` naming one that is no model."""
    read = read_openvino_ir if model_file.suffix == ".xml" else read_onnx_file
    return read(model_file).metadata
