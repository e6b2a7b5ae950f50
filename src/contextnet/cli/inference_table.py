"""How an inference rate is shown to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from contextnet.benchmark.inference_rate import InferenceRate
    from contextnet.benchmark.machine import Machine


def print_rate(rate: InferenceRate) -> None:
    """Print the figures, the engine and the machine; under a red title where the figures are no result."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(rate_table(rate))
    engine = rate.engine
    console.print(
        f"{engine.name} {engine.version} on {engine.device}, {engine.precision}, {rate.threads} threads; {rate.reason}"
    )
    console.print(machine_line(rate.machine))
    if "eager_torch" not in rate.figures.timings:
        console.print("PyTorch is not installed, so nothing is compared with it")


def rate_table(rate: InferenceRate) -> Table:
    """Lay out the figures with their units, and beside them how many times faster than PyTorch they are."""
    figures, (height, width) = rate.figures, rate.size_hw
    subject = f"{rate.network}, {height}×{width}, {rate.engine.precision}"
    title = Text(f"not a result: {figures.noise}", style="bold red") if figures.noise else Text(subject)
    ratios = {} if figures.noise else figures.ratios() or {}
    table = Table("", subject if figures.noise else "", "× eager PyTorch" if ratios else "", title=title)
    table.columns[0].justify = table.columns[2].justify = "right"
    said = {
        "sequential": "one after the other, from an image to its labels",
        "pipelined": f"pipelined, {rate.in_flight} images on their way",
        "engine": "the network alone, from an image to its scores",
        "eager_torch": "the network alone in eager PyTorch, float32, random weights",
        "eager_torch_end_to_end": "eager PyTorch to the labels: scores enlarged by 8, then the argmax",
    }
    for name, timings in figures.timings.items():
        ratio = f"{ratios[name]:.2f}" if name in ratios else ""
        table.add_row(f"{timings.fps:.2f} images/s", said[name], ratio)
    table.add_section()
    latency, stages = figures.latency_ms(), figures.stages_ms()
    table.add_row(f"{latency['p50']:.1f} ms", "median latency, one after the other")
    table.add_row(f"{latency['p99']:.1f} ms", f"99th percentile; the mean is {latency['mean']:.1f} ms")
    table.add_row(f"{stages['network']:.1f} ms", "network")
    table.add_row(f"{stages['labels']:.1f} ms", "labels from its scores")
    if rate.memory.sequential_mb is not None:
        table.add_section()
        table.add_row(f"{rate.memory.sequential_mb} MB", "peak memory, one after the other")
        table.add_row(f"{rate.memory.end_mb} MB", "with a second engine for the pipelined figure")
    return table


def machine_line(machine: Machine) -> str:
    """Describe the machine in one line, leaving out what is not known."""
    parts = [machine.cpu or "unknown processor", f"{machine.cores} cores"]
    if machine.instructions is not None:
        parts.append(" ".join(name for name, has in machine.instructions.items() if has) or "no matrix instructions")
    if machine.memory_mb is not None:
        parts.append(f"{machine.memory_mb / 1000:.1f} GB")
    parts += [machine.system, f"Python {machine.python}", f"contextnet {machine.contextnet}"]
    return ", ".join(parts)
