"""How busy the GPU is while something runs, as nvidia-smi samples it each second."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import IO


class GpuLoad:
    """Samples the GPU's load from entering to leaving; a context manager.

    ``busy_share`` is the mean share of time in which a kernel ran, 0…1; None before leaving and without nvidia-smi.
    """

    def __init__(self) -> None:
        self.busy_share: float | None = None
        self._samples: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GpuLoad:
        if shutil.which("nvidia-smi"):
            self._samples = tempfile.TemporaryFile("w+", encoding="utf-8")
            query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop=1", "--id=0"]
            self._process = subprocess.Popen(query, stdout=self._samples, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None or self._samples is None:
            return
        self._process.terminate()
        self._process.wait()
        self._samples.seek(0)
        self.busy_share = busy_share_of(self._samples.read())
        self._samples.close()


def busy_share_of(samples: str) -> float | None:
    """Give the mean of percentages, one a line, as a share; lines that are no number do not count."""
    values = [float(line) for line in samples.splitlines() if line.strip().isdecimal()]
    return sum(values) / len(values) / 100 if values else None
