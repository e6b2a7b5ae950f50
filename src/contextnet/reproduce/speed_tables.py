"""Table 7: frames per second at one size, all networks in one run, and the paper's beside them."""

from __future__ import annotations

from typing import Any

from contextnet.network_spec import BASELINES
from contextnet.reproduce.machine_words import machine_words, place_words
from contextnet.reproduce.paper import TABLE_7, Runtime
from contextnet.reproduce.speed import Speed, SpeedRun, spread_note
from contextnet.reproduce.table import Column, Row, Table, Value

OURS = "cn14"
LABELLED = {True: "labels are those of a trained network's scores, at each one's stride", False: "labels are their own"}
"""What is labelled, on a CPU and on a GPU."""
COMPARED: tuple[str, ...] = (OURS, *BASELINES)
"""Every network of Table 7, Table 6's others, Fast-SCNN and DABNet."""

COLUMNS = (
    Column("everything_fps", "frames/s, everything"),
    Column("network_fps", "network alone"),
    Column("pipelined_fps", "pipelined"),
    Column("cn14_times_as_fast", "cn14 is × as fast", 2),
    Column("latency_ms", "ms, everything"),
    Column("parameters", "parameters"),
    Column("gmacs", "multiply-adds, G", 1),
)


def table7(run: SpeedRun, command: str) -> Table:
    """Lay out one run: a row for every network, those that did not run with the reason.

    ``everything`` runs from the uint8 image in memory to its labels there: conversion, transfers, network, labels.
    """
    rows = [_own_row(speed, run.of(OURS)) for speed in run.speeds]
    rows += [Row(network, "here", {}, f"does not run: {why}") for network, why in run.refused.items()]
    rows.sort(key=lambda row: COMPARED.index(row.network) if row.network in COMPARED else len(COMPARED))
    papers = [_paper_row(runtime, fps) for runtime in TABLE_7 if (fps := runtime.fps.get(run.size_hw)) is not None]
    height, width = run.size_hw
    engine = run.engine
    notes = [
        "Everything: from one uint8 image in memory to its labels in memory, one image after the other. Pipelined: the "
        f"same with {run.in_flight} images on their way. × as fast: the median over the rounds, everything included.",
        f"{engine.name} {engine.version} in {engine.precision} on {place_words(engine.device)}. Fresh weights, which "
        f"take as long as trained ones; {LABELLED[engine.device == 'cpu']}. {spread_note()}",
    ]
    if papers:
        notes.append(
            "The paper's rows: Nvidia Titan X (Maxwell), TensorFlow; * from the literature, † kernel execution alone."
        )
    facts: dict[str, Any] = {
        "size_hw": [height, width],
        "engine": {"name": engine.name, "version": engine.version, "device": engine.device},
        "precision": engine.precision,
        "in_flight": run.in_flight,
        "machine": machine_words(),
        "command": command,
    }
    title = f"Table 7: frames per second at {height}×{width}"
    return Table("table7", title, COLUMNS, (*rows, *papers), tuple(notes), facts)


def _own_row(speed: Speed, ours: Speed | None) -> Row:
    everything = speed.timings["everything"]
    values: dict[str, Value] = {f"{way}_fps": 1e3 / timed.median_ms for way, timed in speed.timings.items()}
    values["cn14_times_as_fast"] = None if ours is None else ours.times_as_fast(speed, "everything")
    values |= {"latency_ms": everything.median_ms, "parameters": speed.parameters, "gmacs": speed.macs / 1e9}
    return Row(speed.network, "here", values, "" if speed.noise is None else f"no result: {speed.noise}")


def _paper_row(runtime: Runtime, fps: float) -> Row:
    key = "network_fps" if runtime.mark == "†" else "everything_fps"
    return Row(runtime.network, "paper", {key: fps}, runtime.mark)
