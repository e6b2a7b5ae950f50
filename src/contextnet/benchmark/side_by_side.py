"""Networks side by side: what each costs, how fast it is on this machine, and how well it labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contextnet.benchmark.engine_calls import SingleCalls
from contextnet.benchmark.footprint import memory_to_run_mb
from contextnet.benchmark.inference_rate import ROUNDS, read_spec
from contextnet.benchmark.noise import find_noise, watched
from contextnet.benchmark.turns import TURN_S, Progress, Timer, Timings, take_turns
from contextnet.compression.pruning.latency import Timing, write_float_model
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.cost import measure_cost
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.runtime.segmenter import EngineChoice, Segmenter

ShowProgress = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Candidate:
    """A network to compare: weights, or a model file.

    ``source`` says what it is in the comparison, ``form`` of which kind it is, empty for a network as it was trained;
    ``epochs`` are those of all trainings that led to it.
    """

    source: str
    path: Path
    epochs: int
    form: str = ""

    @property
    def role(self) -> str:
        """What it is, in words."""
        return f"{self.source}, {self.form}" if self.form else self.source

    @property
    def is_model(self) -> bool:
        """Tell a model file, which runs as it is, from weights."""
        return self.path.suffix != ".safetensors"


@dataclass(frozen=True)
class NetworkRow:
    """One network: ``parameters`` as ``contextnet info`` counts them, ``macs`` for one image of the size.

    ``precision`` is what it computes in. ``latency_ms`` runs from a uint8 image in memory to its scores, the median
    over rounds in which all networks take turns. ``memory_mb`` is the most that a process held which labelled images
    one by one, None where the system does not tell; ``file_mb`` is the model file, both in 10⁶ bytes. ``miou`` is None
    where there is nothing to score it on. ``source``, ``form`` and ``epochs`` are those of its ``Candidate``.
    """

    source: str
    form: str
    network: str
    path: Path
    precision: str
    epochs: int
    parameters: int
    macs: int
    latency_ms: float
    memory_mb: int | None
    file_mb: float
    miou: float | None

    @property
    def role(self) -> str:
        """What it is, in words."""
        return f"{self.source}, {self.form}" if self.form else self.source

    def to_json(self) -> dict[str, Any]:
        """Describe the row as plain JSON values."""
        return {"role": self.role} | asdict(self) | {"path": str(self.path), "latency_ms": round(self.latency_ms, 3)}


@dataclass(frozen=True)
class SideBySide:
    """The networks of a comparison; ``noise`` says why their latencies are no result, and is None if they are one."""

    rows: tuple[NetworkRow, ...]
    noise: str | None


def measure_side_by_side(
    candidates: Sequence[Candidate], timing: Timing, data: SegmentationData | None, show: ShowProgress
) -> SideBySide:
    """Count, time and score networks on this machine.

    Weights are timed as the float32 model file that they export to, and scored by PyTorch in float32; model files are
    scored as they are run. Other processes are spawned to measure memory, so that a script which calls this needs a
    main guard. Raises ``ContextNetError`` when a file or the engine cannot be used.
    """
    scored = [None if data is None else _score(candidate, data, timing, show) for candidate in candidates]
    with TemporaryDirectory(prefix="contextnet-") as folder:
        models = [_model_file(candidate, Path(folder) / f"{n}.onnx") for n, candidate in enumerate(candidates)]
        timings, precisions, others = _latencies(models, timing, show)
        spreads = {f"'{one.role}'": timed.spread for one, timed in zip(candidates, timings, strict=True)}
        rows = []
        for candidate, model, timed, precision, miou in zip(
            candidates, models, timings, precisions, scored, strict=True
        ):
            spec = read_spec(candidate.path)
            cost = measure_cost(spec, timing.size_hw)
            rows.append(
                NetworkRow(
                    source=candidate.source,
                    form=candidate.form,
                    network=spec.name,
                    path=candidate.path,
                    precision=precision,
                    epochs=candidate.epochs,
                    parameters=cost.parameters,
                    macs=cost.macs,
                    latency_ms=timed.median_ms,
                    memory_mb=memory_to_run_mb(model, timing.size_hw, _choice(timing)),
                    file_mb=model.stat().st_size / 1e6,
                    miou=miou,
                )
            )
    return SideBySide(tuple(rows), find_noise(others, spreads))


def _open(candidate: Candidate, timing: Timing) -> Segmenter:
    return Segmenter.load(candidate.path, engine=timing.engine, device="cpu", precision=timing.precision)


def _choice(timing: Timing) -> EngineChoice:
    return EngineChoice(timing.engine, "cpu", timing.precision, timing.threads)


def _model_file(candidate: Candidate, place: Path) -> Path:
    if candidate.is_model:
        return candidate.path
    write_float_model(place, read_weights(candidate.path))
    return place


def _latencies(
    models: Sequence[Path], timing: Timing, show: ShowProgress
) -> tuple[list[Timings], list[str], float | None]:
    """Time all model files in turns; also say what each computes in, and what other processes took of a core."""
    timers: dict[str, Timer] = {}
    precisions = []
    with ExitStack() as stack:
        for model in models:
            engine = stack.enter_context(closing(_choice(timing).open(model, 1).engine))
            timers[str(model)] = SingleCalls(engine, timing.image()[0]).scored_s
            precisions.append(engine.info.precision)
        progress = stack.enter_context(show(f"timing {len(models)} networks"))
        timed, others = watched(lambda: take_turns(timers, ROUNDS, TURN_S, progress))
    timings = [timed[str(model)] for model in models]
    return timings, precisions, others


def _score(candidate: Candidate, data: SegmentationData, timing: Timing, show: ShowProgress) -> float | None:
    with ExitStack() as stack:
        progress = stack.enter_context(show(f"scoring {candidate.role}"))
        if candidate.is_model:
            predictor = stack.enter_context(_open(candidate, timing))
            return evaluate(predictor, data, progress).scores.miou
        network = NetworkPredictor(read_weights(candidate.path).build())
        return evaluate(network, data, progress).scores.miou
