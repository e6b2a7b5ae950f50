"""Reading a split ahead of its use, in threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from queue import SimpleQueue
from threading import Event, Thread

from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError

READ_TIMEOUT_S = 120.0
DECODING_THREADS = 2
READ_AHEAD = 4 * DECODING_THREADS

Outcome = Future[Sample | DataError]
"""What became of reading one sample, once it is known."""


def read_ahead(
    data: SegmentationData, timeout_s: float = READ_TIMEOUT_S, indices: Sequence[int] | None = None
) -> Iterator[Sample | DataError]:
    """Read ahead in threads, yield in order; errors about data are values, everything else is raised.

    ``indices`` are the samples to read, every one by default; at most ``READ_AHEAD`` of them wait to be used. Raises
    ``DataError`` when one takes longer than ``timeout_s``. A read that hangs cannot be stopped, so the threads are
    daemons, which nobody waits for when the program ends.
    """
    indices = range(len(data)) if indices is None else indices
    jobs: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
    stop = Event()
    for number in range(min(DECODING_THREADS, len(indices))):
        Thread(target=_read_jobs, args=(data, jobs, stop), name=f"decode-{number}", daemon=True).start()
    pending: deque[Outcome] = deque()
    submitted = 0
    try:
        for position, index in enumerate(indices):
            while submitted < min(position + READ_AHEAD, len(indices)):
                pending.append(Future())
                jobs.put((indices[submitted], pending[-1]))
                submitted += 1
            try:
                yield pending.popleft().result(timeout=timeout_s)
            except FutureTimeoutError:
                raise DataError(
                    f"sample {index} of '{data.name}' was not read within {timeout_s:g} s; check the disk"
                ) from None
    finally:
        stop.set()
        for _ in range(DECODING_THREADS):
            jobs.put(None)


def _read_jobs(data: SegmentationData, jobs: SimpleQueue[tuple[int, Outcome] | None], stop: Event) -> None:
    """Read one sample a job until stopped; None wakes a thread that waits for a job when there are no more."""
    while (job := jobs.get()) is not None and not stop.is_set():
        index, outcome = job
        try:
            outcome.set_result(data[index])
        except DataError as error:
            outcome.set_result(error)
        except BaseException as error:
            outcome.set_exception(error)
