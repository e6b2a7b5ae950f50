"""One command on the GPU: measure, work through the queue until the budget ends, and leave what goes back.

Started by ``scripts.gpu.run`` once the packages are there. Leaves ``figures.json``, ``report.md`` and the runs, see
``scripts.gpu.bundle``; a training that ends is taken along at once, so that little is lost when the command is cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contextnet.errors import ContextNetError
from contextnet.files import write_json, write_text
from scripts.gpu.bundle import write_bundle
from scripts.gpu.child import ask_child, run_child
from scripts.gpu.load import GpuLoad
from scripts.gpu.machine import say
from scripts.gpu.plan import (
    Budget,
    Need,
    Training,
    need_of,
    next_training,
    read_queue,
    read_standing,
    resolve_recipe,
    train_arguments,
)
from scripts.gpu.report import Outcome, outcome_of, render_inference, render_report, render_speed

CONTEXTNET = (sys.executable, "-m", "contextnet")
SPEED_SIZE = "512x1024"
"""All three sizes of Table 7 would leave the trainings too little time."""


def measure(budget: Budget, clock: Callable[[], float]) -> dict[str, Any]:
    """Time inference, training, then all networks; a figure that cannot be had says why and is said aloud."""
    figures = {}
    with TemporaryDirectory(prefix="contextnet-") as tables:
        all_networks = ("reproduce", "table7", "--size", SPEED_SIZE, "--device", "cuda", "--precision", "fp16")
        commands = {
            "inference": (sys.executable, "-m", "scripts.gpu.inference"),
            "training": (*CONTEXTNET, "benchmark", "training", "--json", "-", "--device", "cuda"),
            "speed": (*CONTEXTNET, *all_networks, "--output", f"{tables}/results", "--json", "-"),
        }
        for name, command in commands.items():
            began_s = clock()
            figures[name] = ask_child(command, budget.for_figures(began_s))
            lacks = isinstance(figures[name], dict) and figures[name].get("skipped")
            say(f"{name} figures: {'skipped, ' + lacks if lacks else 'measured'} ({clock() - began_s:.0f} s)")
    return figures


def train_one(
    training: Training, epochs: int, need: Need, folder: Path, limit_s: float, saving_s: float, program: Sequence[str]
) -> Outcome:
    """Start a training, or go on with it, as a child process of at most ``limit_s``; tell what became of it."""
    folder.mkdir(parents=True, exist_ok=True)
    say(f"{training.name}: {need.value}, at most {limit_s:.0f} s")
    command = [*program, *train_arguments(training, folder, resume=need is Need.RESUME)]
    with GpuLoad() as load:
        ending = run_child(command, folder / "output.txt", limit_s, saving_s)
    standing = read_standing(folder)
    outcome = outcome_of(training.name, standing, epochs, need_of(standing, epochs), ending, load.busy_share)
    say(f"{training.name}: {outcome.text} after {ending.seconds:.0f} s, {standing.epochs} of {epochs} epochs")
    return outcome


def work_through(
    epochs: Mapping[Training, int],
    runs: Path,
    out: Path,
    budget: Budget,
    clock: Callable[[], float],
    program: Sequence[str] = CONTEXTNET,
) -> tuple[list[Outcome], tuple[str, ...]]:
    """Train what can be trained until the budget ends; ``epochs`` is the queue, with what each training asks for.

    Gives an outcome for each training of the queue, in its order, and the files that did not fit into what goes back.
    """
    done: dict[str, Outcome] = {}
    left_out: tuple[str, ...] = ()
    while limit_s := budget.for_training(clock()):
        needs = {t.name: need_of(read_standing(runs / t.name), count) for t, count in epochs.items()}
        training = next_training(tuple(epochs), needs, done)
        if training is None:
            break
        folder, need = runs / training.name, needs[training.name]
        done[training.name] = train_one(training, epochs[training], need, folder, limit_s, budget.saving_s, program)
        finished = {runs / name: outcome.is_finished for name, outcome in done.items()}
        left_out = write_bundle(finished, out).left_out
    return [done.get(t.name) or _untouched(t.name, runs, count) for t, count in epochs.items()], left_out


def _untouched(name: str, runs: Path, epochs: int) -> Outcome:
    standing = read_standing(runs / name)
    need = need_of(standing, epochs)
    texts = {Need.NOTHING: "finished before", Need.START: "not reached", Need.RESUME: "not reached"}
    return Outcome(name, standing, epochs, texts.get(need, need.value), is_finished=need is Need.NOTHING)


def main() -> int:
    """Read the command line and do the work; give the exit code, 1 when a training failed."""
    origin_s = time.monotonic()
    parser = argparse.ArgumentParser(description="Measure and train; see scripts.gpu.run.")
    for option in ("--out", "--queue", "--runs"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--budget-s", type=float, required=True)
    parser.add_argument("--machine", type=json.loads, required=True)
    parser.add_argument("--no-figures", action="store_true")
    given = parser.parse_args()

    def clock() -> float:
        return time.monotonic() - origin_s

    try:
        epochs = {training: resolve_recipe(training).epochs for training in read_queue(given.queue)}
        given.out.mkdir(parents=True, exist_ok=True)
        budget = Budget(given.budget_s)
        figures = {"machine": given.machine} | ({} if given.no_figures else measure(budget, clock))
        write_json(given.out / "figures.json", figures)
        outcomes, left_out = work_through(epochs, given.runs, given.out, budget, clock)
        report = render_report(outcomes, left_out)
        if "rows" in figures.get("speed", {}):
            report = render_speed(figures["speed"]) + report
        if "cases" in figures.get("inference", {}):
            report = render_inference(figures["inference"]) + report
        write_json(given.out / "figures.json", figures | {"trainings": [asdict(outcome) for outcome in outcomes]})
        write_text(given.out / "report.md", report)
    except ContextNetError as error:
        say(str(error))
        return 2
    say(report)
    say(f"{clock():.0f} s of {given.budget_s:.0f} s")
    return 1 if any(outcome.has_failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
