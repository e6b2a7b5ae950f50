"""How networks side by side are shown to people: a column for each of their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from contextnet.benchmark.side_by_side import NetworkRow

COLUMNS: dict[str, Callable[[NetworkRow], str]] = {
    "network": lambda row: row.role,
    "computes in": lambda row: row.precision,
    "epochs": lambda row: str(row.epochs),
    "parameters": lambda row: f"{row.parameters:,}",
    "multiply-adds": lambda row: f"{row.macs / 1e9:.3g} G",
    "latency": lambda row: f"{row.latency_ms:.{1 if row.latency_ms >= 10 else 2}f} ms",
    "memory": lambda row: "–" if row.memory_mb is None else f"{row.memory_mb} MB",
    "file": lambda row: f"{row.file_mb:.2f} MB",
    "mIoU": lambda row: "–" if row.miou is None else f"{100 * row.miou:.1f} %",
}
"""Every figure of a network as a text, by its heading."""

TEXT_COLUMNS = {"network", "computes in"}


def network_table(rows: Sequence[NetworkRow], columns: Sequence[str], title: str, prefix: str = "") -> Table:
    """Lay out some of ``COLUMNS``; ``prefix`` is left out of the names."""
    table = Table(title=title, box=None)
    for name in columns:
        table.add_column(name, justify="left" if name in TEXT_COLUMNS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(COLUMNS[name](row).removeprefix(prefix) for name in columns))
    return table
