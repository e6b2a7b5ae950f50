from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from contextnet.benchmark.eager_network import EagerNetwork
from contextnet.benchmark.eager_process import EagerJob, EagerProcess, has_pytorch
from contextnet.errors import ContextNetError
from contextnet.spec import variant

SPEC = variant("cn14-160", 5, width=0.25)
IMAGE = np.random.default_rng(4).integers(0, 256, (40, 70, 3), np.uint8)
JOB = EagerJob(SPEC, IMAGE, 1, "cpu")


def test_network_scores_and_labels_the_image() -> None:
    network = EagerNetwork(SPEC, IMAGE, 1, "cpu")
    # 40×70 is padded to 64×96, and there is one score for 8×8 pixels.
    assert network.scores().shape == (1, 5, 8, 12)
    labels = network.labels()
    assert (labels.shape, labels.dtype) == ((1, 40, 70), np.uint8)
    assert labels.max() < 5
    for way in ("network", "end_to_end"):
        times_s = network.times_s(way, 4)
        assert len(times_s) == 4
        assert min(times_s) > 0


def test_process_times_both_ways_and_ends() -> None:
    with EagerProcess(JOB) as process:
        assert [len(process.times_s(way, runs)) for way, runs in (("network", 3), ("end_to_end", 1))] == [3, 1]
        assert min(process.times_s("network", 2)) > 0
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_between_requests_is_one_error() -> None:
    with EagerProcess(JOB) as process:
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        with pytest.raises(
            ContextNetError, match=r"^the process in which PyTorch runs .* died with exit code -9; free"
        ):
            process.times_s("network", 1)


@dataclass(frozen=True)
class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (7,)


@pytest.mark.parametrize(
    ("job", "limit_s", "message"),
    [
        pytest.param(Deadly(), 60.0, "died with exit code 7; free memory or give a smaller --size", id="dies"),
        pytest.param(EagerJob(SPEC, IMAGE, 1, "nowhere"), 60.0, "PyTorch, .*, failed: Expected one of cpu", id="fails"),
        pytest.param(JOB, 0.001, "has not answered for 0.001 s; give a smaller --size", id="takes too long"),
    ],
)
def test_a_process_that_does_not_start_is_one_error(job: Any, limit_s: float, message: str) -> None:
    with pytest.raises(ContextNetError, match=message):
        EagerProcess(job, limit_s)
    assert multiprocessing.active_children() == []


def test_pytorch_is_looked_for_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_pytorch()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert not has_pytorch()
