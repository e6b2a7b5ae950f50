"""How fast networks run on one machine, all of them in turns in one run, on one engine.

Weights are fresh. Labels on a CPU are those of a street's own scores, at each network's stride, since what they take
depends on the scores. Everything begins with one uint8 image in memory, batch 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from contextnet.benchmark.engine_calls import OverlappingCalls, SingleCalls
from contextnet.benchmark.noise import MAX_SPREAD, find_noise, watched
from contextnet.benchmark.street import draw_street, require_drawable
from contextnet.benchmark.turns import Progress, Timer, Timings, take_turns
from contextnet.errors import ContextNetError
from contextnet.labels import CITYSCAPES
from contextnet.models.cost import measure_cost
from contextnet.models.network import build_network
from contextnet.models.storage import Weights, write_weights
from contextnet.network_spec import named_spec
from contextnet.reproduce.memory_limit import limited_memory
from contextnet.reproduce.street_labels import StreetEngine, street_scores
from contextnet.runtime.engines.choice import PYTORCH
from contextnet.runtime.engines.cores import streaming_calls
from contextnet.runtime.engines.engine import Engine, EngineInfo
from contextnet.runtime.segmenter import EngineChoice
from contextnet.training.allocator import lacks_memory

ROUNDS = 5
TURN_S = 0.5
SLOW_S = 0.5
"""What takes longer has one run in each round, lest a table take hours."""

SHIFTS = 2
"""Pipelined, at least so many times the images that are on their way are timed together."""

ShowProgress = Callable[[str], AbstractContextManager[Progress]]
Way = Literal["everything", "network", "pipelined"]
WAYS: tuple[Way, ...] = ("everything", "network", "pipelined")
"""From an image to its labels, to its scores alone, and to its labels with several images on their way."""


@dataclass(frozen=True)
class Speed:
    """One network's times in each way; ``parameters`` without an auxiliary classifier, ``macs`` for one image.

    ``noise`` says why the times in a way are no result; it has no entry where they are one.
    """

    network: str
    parameters: int
    macs: int
    timings: Mapping[Way, Timings]
    noise: Mapping[Way, str]

    def times_as_fast(self, other: Speed, way: Way) -> float:
        """Give how many times as fast this network is as another one, the median over the rounds of both."""
        return self.timings[way].speedup_over(other.timings[way])


@dataclass(frozen=True)
class SpeedRun:
    """Networks timed in one run: on ``engine``, with ``in_flight`` images on their way where it is pipelined."""

    size_hw: tuple[int, int]
    engine: EngineInfo
    in_flight: int
    speeds: tuple[Speed, ...]
    refused: Mapping[str, str]

    def of(self, network: str) -> Speed | None:
        """Give a network's times, or None where it did not run."""
        return next((speed for speed in self.speeds if speed.network == network), None)


def measure_speeds(
    networks: Sequence[str], size_hw: tuple[int, int], choice: EngineChoice, show: ShowProgress, rounds: int = ROUNDS
) -> SpeedRun:
    """Time networks by name on a drawn street of ``size_hw``, in rounds in which all of them take turns.

    A network that the engine refuses, or that memory does not hold beside the others, stands in ``refused`` with the
    reason. Raises ``ContextNetError`` when none runs,
    and for a size that no street is drawn in. Other processes are spawned, so that a script needs a main guard.
    """
    require_drawable(size_hw)
    image_HW3 = draw_street(size_hw)
    street = street_scores(image_HW3)
    opened: dict[str, _Opened] = {}
    refused: dict[str, str] = {}
    with ExitStack() as stack, TemporaryDirectory(prefix="contextnet-") as folder:
        stack.enter_context(limited_memory(torch.device(choice.device)))
        for network in networks:
            try:
                opened[network] = _open(stack, _write(network, Path(folder), choice.engine), choice, image_HW3, street)
            except ContextNetError as error:
                refused[network] = " ".join(str(error).split())
            except (RuntimeError, MemoryError) as error:
                if not lacks_memory(error):
                    raise
                refused[network] = " ".join(str(error).split()) or "not enough memory"
        if not opened:
            raise ContextNetError(f"none of the networks runs: {next(iter(refused.values()), 'none was named')}")
        timers = {f"{network} {way}": timer for network, one in opened.items() for way, timer in one.timers.items()}
        progress = stack.enter_context(show(f"timing {len(opened)} networks at {size_hw[0]}×{size_hw[1]}"))
        timed, others = watched(lambda: take_turns(timers, rounds, TURN_S, progress, slow_s=SLOW_S))
    speeds = [_speed(network, size_hw, {way: timed[f"{network} {way}"] for way in WAYS}, others) for network in opened]
    last = next(reversed(opened.values()))
    return SpeedRun(size_hw, last.engine, last.in_flight, tuple(speeds), refused)


@dataclass(frozen=True)
class _Opened:
    """A network that is ready: what computes it, images on their way where it is pipelined, and its timers."""

    engine: EngineInfo
    in_flight: int
    timers: Mapping[Way, Timer]


def _open(
    stack: ExitStack,
    place: Path,
    choice: EngineChoice,
    image_HW3: NDArray[np.uint8],
    street: Mapping[int, NDArray[np.float32]],
) -> _Opened:
    """Open a network for one image at a time and for several, and run each once; ``stack`` closes what runs."""
    with ExitStack() as own:
        opened = choice.open(place, 1)
        single, stride = own.enter_context(closing(opened.engine)), opened.spec.output_stride
        calls = streaming_calls(single.info.device, choice.threads)
        several = own.enter_context(closing(choice.open(place, calls).engine))
        one = SingleCalls(_labelling(single, street, stride), image_HW3)
        overlapping = OverlappingCalls(_labelling(several, street, stride), image_HW3)
        one.labelled_s(1)
        overlapping.drained_s(1)
        stack.enter_context(own.pop_all())
    in_flight = several.info.in_flight
    pipelined = _in_whole_shifts(overlapping, in_flight)
    return _Opened(
        single.info, in_flight, {"everything": one.labelled_s, "network": one.scored_s, "pipelined": pipelined}
    )


def _labelling(engine: Engine, street: Mapping[int, NDArray[np.float32]], stride: int) -> Engine:
    """Have an engine on the CPU label the street; on a GPU labels take the same whatever they are."""
    return StreetEngine(engine, street, stride) if engine.info.device == "cpu" else engine


def _in_whole_shifts(calls: OverlappingCalls, in_flight: int) -> Timer:
    """Time so many images that filling and emptying what is on its way weighs little, on every network alike."""
    return lambda runs: calls.drained_s(max(runs, SHIFTS * in_flight))


def _speed(network: str, size_hw: tuple[int, int], timings: Mapping[Way, Timings], others: float | None) -> Speed:
    cost = measure_cost(named_spec(network, CITYSCAPES.num_classes), size_hw)
    noise = {way: why for way, timed in timings.items() if (why := find_noise(others, {f"'{way}'": timed.spread}))}
    return Speed(network, cost.parameters, cost.macs, timings, noise)


def _write(network: str, folder: Path, engine: str) -> Path:
    """Write a network with fresh weights as what the engine reads: weights for PyTorch, a model file for the others."""
    torch.manual_seed(0)
    built = build_network(named_spec(network, CITYSCAPES.num_classes)).eval()
    weights = Weights(built.spec, CITYSCAPES, built.state_dict())
    if engine == PYTORCH:
        place = folder / f"{network}.safetensors"
        write_weights(place, weights)
    else:
        # PyTorch on a GPU may come without what writes model files.
        from contextnet.export.deployment import model_of
        from contextnet.export.network_graph import network_graph
        from contextnet.runtime.onnx_file import write_onnx_file

        place = folder / f"{network}.onnx"
        write_onnx_file(place, model_of(weights, network_graph(built), "fp32"))
    return place


def conditions_note(engine: EngineInfo) -> str:
    """Say what is computed and labelled, and when times are no result."""
    labels = "those of a trained network's scores, at each one's stride" if engine.device == "cpu" else "their own"
    return (
        f"Weights are fresh, not trained; labels are {labels}. Where rounds differ by more than {MAX_SPREAD:.0%}, or "
        "other processes disturbed them, the row says so."
    )
