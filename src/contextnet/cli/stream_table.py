"""How the figures of a stream are shown to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from contextnet.cli.inference_table import machine_line

if TYPE_CHECKING:
    from contextnet.benchmark.live_stream import LiveRecord
    from contextnet.benchmark.steadiness import Steadiness
    from contextnet.benchmark.stream_rate import StreamRate
    from contextnet.streaming.figures import StreamFigures


def live_line(figures: StreamFigures) -> Text:
    """Say in one line how a stream is going."""
    if not figures.frames:
        has_come = any(stage.busy_share for stage in figures.stages if stage.name != "source")
        return Text(f"{figures.source}: {'the first frame is on its way' if has_come else 'waiting for the source'}")
    if figures.rate is None or figures.latency_ms is None:
        return Text(f"{figures.source}: {_count(figures.frames, 'frame')} so far")
    parts = [
        f"{figures.source}: frame {figures.frames}",
        f"{figures.rate:.1f} frames/s",
        f"latency {figures.latency_ms['p50']:.0f} ms",
        f"bounded by {figures.bounded_by}",
    ]
    if figures.age_ms is not None:
        parts.insert(3, f"results up to {figures.age_ms['p99']:.0f} ms old")
    return Text(", ".join([*parts, *_losses(figures)]))


def stream_table(figures: StreamFigures) -> Table:
    """Lay out the figures of a stream that has ended."""
    table = Table("", escape(figures.source), title=", ".join([_count(figures.frames, "frame"), *_losses(figures)]))
    table.columns[0].justify = "right"
    if figures.rate is not None:
        said = f"from the first result, after {figures.first_result_s or 0:.1f} s"
        table.add_row(f"{figures.rate:.1f} frames/s", f"{said}; bounded by {escape(figures.bounded_by)}")
    for name, found, said in (
        ("latency", figures.latency_ms, "from a frame's arrival to its results"),
        ("age", figures.age_ms, "of the newest result when the next one came"),
    ):
        if found is not None:
            spread = ", ".join(f"{key} {value:.0f}" for key, value in found.items() if key != "p50")
            table.add_row(f"{found['p50']:.0f} ms", f"{name}, {said}: the median; {spread} ms")
    table.add_section()
    for stage in figures.stages:
        table.add_row(
            f"{stage.ms_per_frame:.1f} ms", f"{escape(stage.name)}, at work {stage.busy_share:.0%} of the time"
        )
    table.add_row("", f"the process took {figures.processor_share:.0%} of the processor")
    return table


def print_stream_rate(console: Console, rate: StreamRate) -> None:
    """Print a stream's rate beside its bound, and the stages that set it; under a red title if it is no result."""
    height, width = rate.size_hw
    subject = f"{_count(rate.frames, 'frame')} of {height}×{width}, {rate.engine}"
    title = Text(f"not a result: {rate.noise}", style="bold red") if rate.noise else Text(subject)
    table = Table("", "", "processor", title=title)
    table.columns[0].justify = table.columns[2].justify = "right"
    table.add_row(f"{rate.rate:.1f} frames/s", "the stream: video in, labelled video out", "")
    table.add_row(f"{rate.bound:.1f} frames/s", f"the bound that the stages set on {rate.cores} cores", "")
    table.add_row(f"{rate.share_of_bound:.0%}", "of its bound, both in one round", "")
    table.add_section()
    for name, cost in rate.stages.items():
        table.add_row(f"{cost.wall_ms:.1f} ms", f"{name}, alone", f"{cost.processor_ms:.1f} ms")
    console.print(table)
    console.print(machine_line(rate.machine))


def print_live_record(console: Console, record: LiveRecord) -> None:
    """Print how a live source was kept up with."""
    figures = record.figures
    assert figures.age_ms is not None
    assert figures.latency_ms is not None
    table = Table("", "", title=f"{record.source_rate:.0f} frames/s on a machine for {record.machine_rate:.0f}")
    table.columns[0].justify = "right"
    table.add_row(f"{figures.rate or 0:.1f} frames/s", f"labelled over {figures.seconds:.0f} s")
    dropped = figures.counts.dropped
    table.add_row(f"{dropped}", f"frame{'s' * (dropped != 1)} dropped, {figures.frames} labelled")
    age, latency = figures.age_ms, figures.latency_ms
    table.add_row(f"{age['p50']:.0f} ms", f"age of the newest result, the median; p99 {age['p99']:.0f} ms")
    for latency_ms, ages, which in (
        (latency["p50"], record.age_in_latencies, "in this stream"),
        (record.idle_latency_ms, record.age_in_idle_latencies, "that has the machine to itself"),
    ):
        table.add_row(f"{latency_ms:.0f} ms", f"latency of one frame {which}, the median")
        table.add_row(f"× {ages['p50']:.1f}", f"is the age, the median; p99 × {ages['p99']:.1f}")
    verdict = "yes" if record.keeps_up else "no"
    table.add_row(verdict, "keeps up: p99 of the age below 3 of the former, median below 3 of the latter, memory flat")
    if record.memory_growth is not None:
        held = f"{record.memory_mb} MB after the warm-up, at most {record.highest_memory_mb} MB"
        table.add_row(f"{record.memory_growth:+.1%}", f"memory: {held}")
    console.print(table)
    console.print(machine_line(record.machine))


def steadiness_table(rows: Sequence[Steadiness]) -> Table:
    """Lay out what each way of smoothing buys and costs."""
    followed = f"{rows[0].followed_share:.0%} of the pixels followed"
    table = Table("smoothing", "flicker", "mIoU", "adds", title=f"labels that change along the true motion, {followed}")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(row.name, f"{row.flicker:.2%}", f"{100 * row.miou:.2f} %", f"{row.added_ms:.1f} ms")
    return table


def _losses(figures: StreamFigures) -> list[str]:
    counts = figures.counts
    said = [f"{number} {name}" for name, number in (("dropped", counts.dropped), ("damaged", counts.damaged)) if number]
    return [*said, _count(counts.reconnections, "reconnection")] if counts.reconnections else said


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
