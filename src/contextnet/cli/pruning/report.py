"""What ``contextnet prune`` tells: its networks side by side, as a table, as JSON, as Markdown with a plot."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from contextnet.benchmark.machine import describe_machine
from contextnet.benchmark.side_by_side import Candidate, NetworkRow, SideBySide, measure_side_by_side
from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.network_table import COLUMNS, TEXT_COLUMNS, network_table
from contextnet.cli.options import emit_json
from contextnet.cli.progress import progress_bar
from contextnet.cli.pruning.chain import PRUNED
from contextnet.compression.pruning.latency import Timing
from contextnet.data.sample import SegmentationData
from contextnet.files import write_bytes, write_json, write_text
from contextnet.models.storage import read_weights, write_weights
from contextnet.reporting.pareto import Panel, Point, pareto_front, pareto_svg

UNBEATEN = "unbeaten in"
SHORT_COLUMNS = ("network", "epochs", "parameters", "latency", "file", "mIoU")
"""What fits on a terminal."""

FILES = ("report.svg", "{name}-int8.onnx")
"""What an earlier report may have left and this one may lack."""


def measure(candidates: Sequence[Candidate], timing: Timing, data: SegmentationData | None) -> SideBySide:
    """Measure networks side by side; raises ``DataError`` where they have other classes than the data."""
    if data is not None:
        first = candidates[0].path
        require_same_classes(read_weights(first).labels, data, str(first))
    return measure_side_by_side(candidates, timing, data, progress_bar)


@dataclass(frozen=True)
class Report:
    """The networks of a chain; ``result`` is the row of the smallest, ``scored_on`` names the split, if any."""

    measured: SideBySide
    result: NetworkRow
    timing: Timing
    scored_on: str | None

    @property
    def rows(self) -> Sequence[NetworkRow]:
        """All networks, in the order in which they were made."""
        return self.measured.rows

    def keep(self, folder: Path) -> None:
        """Leave the smallest network, its best INT8 form, the table and the plot in the chain's folder."""
        for name in FILES:
            (folder / name.format(name=self.result.network)).unlink(missing_ok=True)
        weights = read_weights(self.result.path)
        training = {**weights.training, "epochs_in_all": self.result.epochs}
        write_weights(self._weights_file(folder), replace(weights, training=training))
        if self._best_int8 is not None:
            write_bytes(folder / f"{self.result.network}-int8.onnx", self._best_int8.path.read_bytes())
        if self.scored_on:
            write_text(folder / "report.svg", self._plot(self.scored_on))
        write_json(folder / "report.json", self.to_json(folder))
        write_text(folder / "report.md", self._markdown())

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Describe the smallest network, with the file that it is kept in, and all rows, as plain JSON values."""
        kept = {"path": str(self._weights_file(folder))}
        rows = [row.to_json() for row in self.rows]
        return {**self.result.to_json(), **kept, "noise": self.measured.noise, "rows": rows}

    def tell(self, folder: Path, json_file: str | None) -> None:
        """Write JSON where it is asked for, and print the table, in short, unless standard output has the JSON."""
        if json_file:
            emit_json(self.to_json(folder), json_file)
        if json_file == "-":
            return
        console = Console(soft_wrap=True, highlight=False, markup=False)
        columns = [name for name in SHORT_COLUMNS if name in self._columns]
        console.print(network_table(self.rows, columns, "×".join(map(str, self.timing.size_hw)), PRUNED))
        if self.measured.noise:
            console.print(f"the latencies are no result: {self.measured.noise}")
        console.print(f"{self._weights_file(folder)}; more in {folder / 'report.md'}")

    def _weights_file(self, folder: Path) -> Path:
        return folder / f"{self.result.network}.safetensors"

    @property
    def _best_int8(self) -> NetworkRow | None:
        """The INT8 form of the smallest network with the highest mIoU."""
        forms = [row for row in self.rows if row.form and row.source == self.result.source]
        return max(forms, key=lambda row: row.miou or 0.0, default=None)

    @property
    def _columns(self) -> list[str]:
        return [*COLUMNS, UNBEATEN] if self.scored_on else [name for name in COLUMNS if name != "mIoU"]

    def _cells(self) -> list[list[str]]:
        fronts = {
            "latency": pareto_front([(row.latency_ms, row.miou or 0.0) for row in self.rows]),
            "size": pareto_front([(row.file_mb, row.miou or 0.0) for row in self.rows]),
        }
        unbeaten = [
            ", ".join(name for name, front in fronts.items() if index in front) for index in range(len(self.rows))
        ]
        return [
            [unbeaten[index] if name == UNBEATEN else COLUMNS[name](row) for name in self._columns]
            for index, row in enumerate(self.rows)
        ]

    def _markdown(self) -> str:
        machine, size = describe_machine(), "×".join(map(str, self.timing.size_hw))
        rule = ["---" if name in {*TEXT_COLUMNS, UNBEATEN} else "--:" for name in self._columns]
        lines = [" | ".join(cells) for cells in (self._columns, rule, *self._cells())]
        noise = f" **The latencies are no result**: {self.measured.noise}." if self.measured.noise else ""
        scored = ""
        if self.scored_on:
            scored = (
                f" mIoU on {self.scored_on}: one scale, no flipping. Unbeaten in latency or size: no other network of "
                "the table is better in one of it and mIoU, and no worse in the other.\n"
                "\n![mIoU over latency and file size](report.svg)"
            )
        return (
            f"# {self.result.network}\n\n"
            + "".join(f"| {line} |\n" for line in lines)
            + f"\nLatency and memory: one {size} image after the other, from uint8 pixels to scores, in "
            f"{self.timing.engine} on {machine.cores} cores of {machine.cpu}, medians over rounds in which all "
            "networks take turns. Weights run as the float32 model file that `contextnet export` makes of them, whose "
            f"size this is.{noise}{scored}\n\n    {shlex.join(['contextnet', *sys.argv[1:]])}\n"
        )

    def _plot(self, scored_on: str) -> str:
        def panel(axis: str, cost: Callable[[NetworkRow], float]) -> Panel:
            return Panel(axis, tuple(_point(row, cost(row)) for row in self.rows))

        size = "×".join(map(str, self.timing.size_hw))
        panels = [
            panel(f"latency, ms ({size})", lambda row: row.latency_ms),
            panel("model file, MB", lambda row: row.file_mb),
        ]
        return pareto_svg(panels, f"mIoU, % ({scored_on})")


def _point(row: NetworkRow, cost: float) -> Point:
    return Point(row.source.removeprefix(PRUNED), row.form or "float", cost, 100 * (row.miou or 0.0))
