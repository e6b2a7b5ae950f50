"""What a command on the GPU measured and did, as tables in Markdown and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextnet.reproduce.table import Table
from scripts.gpu.child import STOPPED_CODE, Ending
from scripts.gpu.plan import Need, Standing

HEADINGS = ("training", "epochs", "best mIoU %", "images/s", "seconds", "GPU busy %", "outcome")
INFERENCE_HEADINGS = ("size", "precision", "what", "p50 ms", "p99 ms", "images/s")


@dataclass(frozen=True)
class Outcome:
    """A training of the queue after a command: what became of it, and its ending where it was run.

    ``busy_share`` is the GPU's, 0…1, or None where it is unknown. ``text`` is for the reader alone.
    """

    name: str
    standing: Standing
    total_epochs: int
    text: str
    ending: Ending | None = None
    busy_share: float | None = None
    is_finished: bool = False
    has_failed: bool = False


def outcome_of(
    name: str, standing: Standing, total_epochs: int, need: Need, ending: Ending, busy_share: float | None
) -> Outcome:
    """Say how a training ended; ``need`` is what it needs now."""
    is_finished = has_failed = False
    if need is Need.NOTHING and (ending.exit_code == 0 or ending.hit_limit):
        text, is_finished = "finished", True
    elif ending.hit_limit and need is Need.RESUME:
        text = "stopped, goes on" if ending.exit_code == STOPPED_CODE else f"cut off ({ending.exit_code}), goes on"
    elif ending.hit_limit and need is Need.START:
        text = "stopped before its first state"
    else:
        text, has_failed = f"failed with exit code {ending.exit_code}", True
    return Outcome(name, standing, total_epochs, text, ending, busy_share, is_finished, has_failed)


def render_report(outcomes: Sequence[Outcome], left_out: Sequence[str]) -> str:
    """Write the table, the last lines of each training that failed, and what did not fit into what goes back."""
    lines = _table(HEADINGS, ("---", *["--:"] * 5, "---"), [_row(outcome) for outcome in outcomes])
    for outcome in outcomes:
        if outcome.has_failed and outcome.ending:
            lines += ["", f"{outcome.name}, its last lines:", ""]
            lines += [f"    {line}" for line in outcome.ending.last_lines]
    lines += ["", *(f"left out for want of space: {name}" for name in left_out)] if left_out else []
    return "\n".join(lines) + "\n"


def render_inference(figures: Mapping[str, Any]) -> str:
    """Write the figures of ``scripts.gpu.inference`` as a table, the floor above the timings of its case."""
    rows = []
    for case in figures["cases"]:
        height, width = case["size_hw"]
        place = (f"{height}×{width}", case["precision"])
        rows.append((*place, f"floor, {case['moved_mb']:.0f} MB", f"{case['floor_ms']:.3f}", "–", "–"))
        for name, timing in case["timings"].items():
            numbers = (f"{timing['p50_ms']:.3f}", f"{timing['p99_ms']:.3f}", f"{timing['images_per_s']:.0f}")
            rows.append((*place, name, *numbers))
    lines = _table(INFERENCE_HEADINGS, ("---", "---", "---", "--:", "--:", "--:"), rows)
    weights, bandwidth, in_flight = (figures[key] for key in ("weights", "bandwidth_gb_s", "in_flight"))
    lines += ["", f"{weights}; memory copied at {bandwidth:.0f} GB/s; {in_flight} calls in flight when pipelined.", ""]
    return "\n".join(lines) + "\n"


def render_speed(figures: Mapping[str, Any]) -> str:
    """Write Table 7, as ``contextnet reproduce`` gives it, without the place of its picture, which stays behind."""
    values = {key: value for key, value in figures.items() if key != "picture"}
    return f"{Table.from_json(values, 'speed').to_markdown()}\n"


def _table(headings: Sequence[str], rule: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (headings, rule, *rows)]


def _row(outcome: Outcome) -> tuple[str, ...]:
    standing, ending = outcome.standing, outcome.ending
    return (
        outcome.name,
        f"{standing.epochs}/{outcome.total_epochs}",
        "–" if standing.best_miou is None else f"{100 * standing.best_miou:.2f}",
        "–" if ending is None or standing.images_per_s is None else f"{standing.images_per_s:.0f}",
        "–" if ending is None else f"{ending.seconds:.0f}",
        "–" if outcome.busy_share is None else f"{100 * outcome.busy_share:.0f}",
        outcome.text,
    )
