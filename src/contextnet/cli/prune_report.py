"""What ``contextnet prune`` tells: its networks side by side, as a table, as JSON, as Markdown with a plot."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from contextnet.benchmark.machine import describe_machine
from contextnet.benchmark.side_by_side import Candidate, NetworkRow, measure_side_by_side
from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.progress import progress_bar
from contextnet.compression.pruning.latency import Timing
from contextnet.data.sample import SegmentationData
from contextnet.files import write_json, write_text
from contextnet.models.storage import read_weights
from contextnet.reporting.pareto import Panel, Point, pareto_front, pareto_svg

COLUMNS: dict[str, Callable[[NetworkRow], str]] = {
    "network": lambda row: row.role,
    "computes in": lambda row: row.precision,
    "epochs": lambda row: str(row.epochs),
    "parameters": lambda row: f"{row.parameters:,}",
    "multiply-adds": lambda row: f"{row.macs / 1e9:.2f} G",
    "latency": lambda row: f"{row.latency_ms:.1f} ms",
    "memory": lambda row: "–" if row.memory_mb is None else f"{row.memory_mb} MB",
    "file": lambda row: f"{row.file_mb:.2f} MB",
    "mIoU": lambda row: "–" if row.miou is None else f"{100 * row.miou:.1f} %",
    "best for its": lambda row: "",
}
TEXT_COLUMNS, SCORE_COLUMNS = 2, 2
"""The first columns are words and stand to the left; the last are there where networks were scored."""


def measure(candidates: Sequence[Candidate], timing: Timing, data: SegmentationData | None) -> list[NetworkRow]:
    """Measure networks side by side; raises ``DataError`` where they have other classes than the data."""
    if data is not None:
        first = candidates[0].path
        require_same_classes(read_weights(first).labels, data, str(first))
    return measure_side_by_side(candidates, timing, data, progress_bar)


@dataclass(frozen=True)
class Report:
    """The networks of a chain; ``result`` is the weights file of the smallest, ``scored_on`` the split."""

    rows: Sequence[NetworkRow]
    result: Path
    timing: Timing
    scored_on: str | None

    def keep(self, folder: Path) -> None:
        """Leave the smallest network, its best INT8 form, the table and the plot in the chain's folder."""
        name = self._result_row.network
        shutil.copy2(self.result, folder / f"{name}.safetensors")
        if self._best_int8 is not None:
            shutil.copy2(self._best_int8.path, folder / f"{name}-int8.onnx")
        write_json(folder / "report.json", self.to_json())
        if self._is_scored:
            write_text(folder / "report.svg", self._plot())
        write_text(folder / "report.md", self._markdown())

    def to_json(self) -> dict[str, Any]:
        """Describe the smallest network, and all rows, as plain JSON values."""
        return {**self._result_row.to_json(), "rows": [row.to_json() for row in self.rows]}

    def print(self) -> None:
        """Print the table, and where the smallest network lies."""
        console = Console(soft_wrap=True, highlight=False, markup=False)
        table = Table(*self._columns, title=self._size)
        for column in table.columns[TEXT_COLUMNS:]:
            column.justify = "right"
        for cells in self._cells():
            table.add_row(*cells)
        console.print(table)
        console.print(str(self.result))

    @property
    def _size(self) -> str:
        return "×".join(map(str, self.timing.size_hw))

    @property
    def _is_scored(self) -> bool:
        return all(row.miou is not None for row in self.rows)

    @property
    def _result_row(self) -> NetworkRow:
        return next(row for row in self.rows if row.path == self.result)

    @property
    def _best_int8(self) -> NetworkRow | None:
        """The INT8 form of the smallest network with the highest mIoU."""
        forms = [row for row in self.rows if row.path.suffix == ".onnx" and row.role.startswith(self._result_row.role)]
        return max(forms, key=lambda row: row.miou or 0.0, default=None)

    @property
    def _columns(self) -> list[str]:
        return list(COLUMNS) if self._is_scored else list(COLUMNS)[:-SCORE_COLUMNS]

    def _cells(self) -> list[list[str]]:
        fronts = {
            "latency": pareto_front([(row.latency_ms, row.miou or 0.0) for row in self.rows]),
            "size": pareto_front([(row.file_mb, row.miou or 0.0) for row in self.rows]),
        }
        table = []
        for index, row in enumerate(self.rows):
            cells = [COLUMNS[name](row) for name in self._columns]
            if self._is_scored:
                cells[-1] = ", ".join(name for name, front in fronts.items() if index in front)
            table.append(cells)
        return table

    def _markdown(self) -> str:
        machine = describe_machine()
        rule = ["---"] * TEXT_COLUMNS + ["--:"] * (len(self._columns) - TEXT_COLUMNS)
        lines = [" | ".join(cells) for cells in (self._columns, rule, *self._cells())]
        plot = "\n![mIoU over latency and file size](report.svg)\n" if self._is_scored else ""
        scored = f" mIoU on {self.scored_on}: one scale, no flipping." if self._is_scored else ""
        command = shlex.join(["contextnet", *sys.argv[1:]])
        return (
            f"# {self._result_row.network}\n\n"
            + "".join(f"| {line} |\n" for line in lines)
            + plot
            + f"\nLatency and memory: one {self._size} image at a time, from uint8 pixels to scores, "
            f"{self.timing.engine}, {machine.cores} cores of {machine.cpu}; medians over rounds in which all take "
            f"turns.{scored} Best for its latency or size: none here is as cheap and as good, and better in one.\n"
            f"\n    {command}\n"
        )

    def _plot(self) -> str:
        def panel(axis: str, cost: Callable[[NetworkRow], float]) -> Panel:
            return Panel(axis, tuple(_point(row, cost(row)) for row in self.rows))

        panels = [
            panel(f"latency, ms ({self._size})", lambda row: row.latency_ms),
            panel("model file, MB", lambda row: row.file_mb),
        ]
        return pareto_svg(panels, f"mIoU, % ({self.scored_on})")


def _point(row: NetworkRow, cost: float) -> Point:
    network, _, form = row.role.partition(", ")
    return Point(network.removeprefix("pruned to "), form or "float", cost, 100 * (row.miou or 0.0))
