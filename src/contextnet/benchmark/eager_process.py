"""The process in which PyTorch runs for comparison, so that neither its memory nor its threads count as the engine's.

It is asked over a pipe for some runs, in turn with the others, and takes no processor time in between. The process
that asks never imports PyTorch.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import ContextNetError
from contextnet.network_spec import NetworkSpec

EagerWay = Literal["network", "end_to_end"]

ANSWER_LIMIT_S = 300.0
"""How long an answer may take; the first one includes importing PyTorch and warming up."""


@dataclass(frozen=True)
class EagerJob:
    """What the process runs: a network of this spec on an image, uint8 (H, W, 3) RGB, with so many threads.

    ``device`` is cpu or cuda.
    """

    spec: NetworkSpec
    image: NDArray[np.uint8]
    threads: int
    device: str


@dataclass(frozen=True)
class _Failure:
    """What went wrong in the process, in its own words."""

    words: str


def has_pytorch() -> bool:
    """Tell whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


class EagerProcess:
    """A running process with its network warm; a context that ends it.

    Whatever is asked raises ``ContextNetError`` when the process fails, dies, or takes longer than ``limit_s``.
    """

    def __init__(self, job: EagerJob, limit_s: float = ANSWER_LIMIT_S) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._limit_s = limit_s
        self._process = context.Process(target=serve, args=(theirs,), name="eager-pytorch", daemon=True)
        self._process.start()
        # While this end were open here too, the process's death would not be noticed.
        theirs.close()
        try:
            # An image is more than a pipe holds: what does not read it yet would block the one that sends it.
            self._answer()
            self._ask(job)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def times_s(self, way: EagerWay, runs: int) -> list[float]:
        """Run the network alone or end to end, and give the seconds that each run took."""
        return self._ask((way, runs))

    def close(self) -> None:
        """End the process at once; nothing in it needs to be kept."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _ask(self, request: EagerJob | tuple[EagerWay, int]) -> list[float]:
        try:
            self._connection.send(request)
        except ConnectionError:
            raise self._death() from None
        return self._answer()

    def _answer(self) -> list[float]:
        if not self._connection.poll(self._limit_s):
            raise ContextNetError(
                f"PyTorch, which runs for comparison, has not answered for {self._limit_s:g} s; give a smaller --size"
            )
        try:
            answer: list[float] | _Failure = self._connection.recv()
        except (EOFError, ConnectionError):
            raise self._death() from None
        if isinstance(answer, _Failure):
            raise ContextNetError(
                f"PyTorch, which runs for comparison, failed: {answer.words}; mend its installation or remove it"
            )
        return answer

    def _death(self) -> ContextNetError:
        self._process.join()
        return ContextNetError(
            f"the process in which PyTorch runs for comparison died with exit code {self._process.exitcode}; "
            "free memory or give a smaller --size"
        )


def serve(connection: Connection) -> None:
    """Say that it listens, take a job, then answer every request until the pipe is closed; runs in the process."""
    # Ctrl-C reaches both processes; the one that asks ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection.send([])
        job: EagerJob = connection.recv()
        from contextnet.benchmark.eager_network import EagerNetwork

        network = EagerNetwork(job.spec, job.image, job.threads, job.device)
        connection.send([])
        while True:
            way, runs = connection.recv()
            connection.send(network.times_s(way, runs))
    except (EOFError, ConnectionError):
        return
    except Exception as error:  # PyTorch raises nearly anything, and what it says is passed on
        connection.send(_Failure(" ".join(str(error).split()) or type(error).__name__))
