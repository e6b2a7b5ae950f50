"""Table 7 on a CUDA GPU: all networks at the paper's sizes, in half precision, one table as JSON for each size.

    python3 -m scripts.gpu.speed [SIZE ...]

Prints ``{"skipped": REASON}`` where there is no CUDA GPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from contextnet.benchmark.turns import Progress
from contextnet.cli.options import parse_size
from contextnet.reproduce.paper import TABLE_7_SIZES
from contextnet.reproduce.speed import measure_speeds
from contextnet.reproduce.speed_tables import COMPARED, table7
from contextnet.runtime.segmenter import EngineChoice


def measure(sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Time all networks at each size, and give the tables as plain JSON values."""
    if not torch.cuda.is_available():
        return {"skipped": "no CUDA GPU"}
    choice = EngineChoice("pytorch", "cuda", "fp16")
    tables = []
    for height, width in sizes:
        run = measure_speeds(COMPARED, (height, width), choice, _silent)
        tables.append(table7(run, f"python3 -m scripts.gpu.speed {height}x{width}").to_json())
    return {"tables": tables}


@contextmanager
def _silent(title: str) -> Iterator[Progress]:
    yield lambda done, total: None


if __name__ == "__main__":
    print(json.dumps(measure([parse_size(text) for text in sys.argv[1:]] or TABLE_7_SIZES)))  # noqa: T201
