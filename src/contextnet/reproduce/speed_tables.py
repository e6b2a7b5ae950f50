"""Table 7: frames per second at one size, all networks in one run, and the paper's beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contextnet.network_spec import BASELINES
from contextnet.reproduce.machine_words import machine_words, place_words
from contextnet.reproduce.paper import TABLE_7, Runtime
from contextnet.reproduce.speed import Speed, SpeedRun, Way, conditions_note
from contextnet.reproduce.table import Column, Row, Table, Value
from contextnet.runtime.engines.choice import OPENVINO
from contextnet.runtime.engines.engine import EngineInfo

OURS = "cn14"
COMPARED: tuple[str, ...] = (OURS, *BASELINES)
"""Every network of Table 7, Table 6's others, Fast-SCNN and DABNet."""

HEADINGS: dict[Way, str] = {
    "everything": "frames/s, everything",
    "network": "network alone",
    "pipelined": "pipelined",
}

MS_PER_S = 1e3
TIMES_AS_FAST = Column("cn14_times_as_fast", f"{OURS} is × as fast", 2)


def table7(run: SpeedRun, command: str) -> Table:
    """Lay out one run: a row for every network, those that did not run with the reason.

    ``everything`` runs from the uint8 image in memory to its labels there: conversion, transfers, network, labels.
    """
    ours = run.of(OURS)
    rows = [_own_row(speed, ours) for speed in run.speeds]
    rows += [Row(network, "here", {}, f"does not run: {why}") for network, why in run.refused.items()]
    rows.sort(key=lambda row: COMPARED.index(row.network) if row.network in COMPARED else len(COMPARED))
    papers = [_paper_row(runtime, fps) for runtime in TABLE_7 if (fps := runtime.fps.get(run.size_hw)) is not None]
    height, width = run.size_hw
    engine = run.engine
    notes = [
        "Everything: from one uint8 image in memory to its labels in memory, one image after the other. Pipelined: the "
        f"same with {run.in_flight} images on their way. × as fast: the median over the rounds, everything included.",
        f"{engine.name} {engine.version} in {engine.precision} on {place_words(engine.device)}. "
        f"{conditions_note(engine)}",
    ]
    if ours is not None and "everything" in ours.noise:
        notes.append(f"'{TIMES_AS_FAST.heading}' is no result in any row: {OURS}'s own times are none.")
    if papers:
        notes.append(
            "The paper's rows: Nvidia Titan X (Maxwell), TensorFlow, with transfers of memory, which are not known to "
            "include conversion and labels; * from the literature, † kernels alone by the table's caption, parallel "
            "transfers by the text."
        )
    facts: dict[str, Any] = {
        "size_hw": [height, width],
        "engine": {"name": engine.name, "version": engine.version, "device": engine.device},
        "precision": engine.precision,
        "in_flight": run.in_flight,
        "machine": machine_words(),
        "command": command,
    }
    title = ", ".join([f"Table 7: frames per second at {height}×{width}", *what_differs(engine)])
    return Table("table7", title, _columns(run.speeds), (*rows, *papers), tuple(notes), facts)


def _columns(speeds: Sequence[Speed]) -> tuple[Column, ...]:
    """Give rates one decimal, and two where one of them is below one frame a second."""
    slowest_ms = max((timed.median_ms for speed in speeds for timed in speed.timings.values()), default=0.0)
    decimals = 2 if slowest_ms > MS_PER_S else 1
    return (
        *(Column(f"{way}_fps", heading, decimals) for way, heading in HEADINGS.items()),
        TIMES_AS_FAST,
        Column("latency_ms", "ms, everything"),
        Column("parameters", "parameters"),
        Column("gmacs", "multiply-adds, G"),
    )


def what_differs(engine: EngineInfo) -> tuple[str, ...]:
    """Name what computes, in words: nothing for OpenVINO in float32 on the CPU, which is usual."""
    if engine.device == "cpu" and (engine.name, engine.precision) == (OPENVINO, "fp32"):
        return ()
    device = () if engine.device == "cpu" else (engine.device,)
    return (*device, engine.name, engine.precision)


def _own_row(speed: Speed, ours: Speed | None) -> Row:
    everything = speed.timings["everything"]
    values: dict[str, Value] = {f"{way}_fps": MS_PER_S / timed.median_ms for way, timed in speed.timings.items()}
    values["cn14_times_as_fast"] = None if ours is None else ours.times_as_fast(speed, "everything")
    values |= {"latency_ms": everything.median_ms, "parameters": speed.parameters, "gmacs": speed.macs / 1e9}
    return Row(speed.network, "here", values, "; ".join(_noise(speed)))


def _noise(speed: Speed) -> list[str]:
    """Say which of the row's figures are no result, those that share a reason together."""
    ways: dict[str, list[str]] = {}
    for way, why in speed.noise.items():
        ways.setdefault(why, []).append(HEADINGS[way])
    return [f"no result: {', '.join(names)}: {why}" for why, names in ways.items()]


def _paper_row(runtime: Runtime, fps: float) -> Row:
    key = "network_fps" if runtime.mark == "†" else "everything_fps"
    return Row(runtime.network, "paper", {key: fps}, runtime.mark)
