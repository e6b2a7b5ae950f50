"""The memory that a process takes to run a network: no more is imported here than a user's own program would."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from contextnet.benchmark.engine_calls import SingleCalls
from contextnet.benchmark.machine import peak_memory_mb
from contextnet.benchmark.own_process import call_apart
from contextnet.runtime.segmenter import EngineChoice

RUNS = 3


def memory_to_run_mb(model: Path, size_hw: tuple[int, int], choice: EngineChoice) -> int | None:
    """Label images of a size one by one in a new process, and give the most memory that it held, in 10⁶ bytes.

    That is all of its memory, Python's and the engine's included; None where the system does not tell. Raises what
    ``call_apart`` and opening the model raise.
    """
    return call_apart(size_hw, "runs the network", _run, model, size_hw, choice)


def _run(model: Path, size_hw: tuple[int, int], choice: EngineChoice) -> int | None:
    with closing(choice.open(model, 1).engine) as engine:
        SingleCalls(engine, np.zeros((*size_hw, 3), np.uint8)).labelled_s(RUNS)
    return peak_memory_mb()
