"""The paper's pruning: from twice the feature maps by 1.5 and 1.25 to the network's own, beside direct training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from contextnet.compression.pruning.pruner import PruneOptions, Target, prune_weights
from contextnet.models.storage import Weights, read_weights, write_weights
from contextnet.reproduce.accuracy import Result, result_of
from contextnet.reproduce.begun_run import has_begun
from contextnet.reproduce.paper import PRUNING
from contextnet.reproduce.table import Column, Row, Table, Value
from contextnet.reproduce.trainings import Subject, Trained, Trainings, subject_of, trained_for
from contextnet.training.run_folder import RunFolder
from contextnet.weights.catalogue import summarize_weights

NETWORK = "cn14"
WIDE_SHARE = 0.5
"""The part of the budget that the wide network gets; its steps share the rest, so that both ways take as long."""


def train_chain(trainings: Trainings) -> tuple[Result, ...]:
    """Train the wide network, prune and train it on step by step, and train the final size directly.

    What is trained already is taken as it is; but a step that was pruned from another network than is there now, as
    when the one before it was trained for longer, is set aside and made anew. A network that is too large for its share
    of the budget ends the chain. Raises what ``train`` raises.
    """
    return (*_steps(trainings), result_of(NETWORK, trainings.train(subject_of(NETWORK))))


def _steps(trainings: Trainings) -> Iterator[Result]:
    first, *later = PRUNING.widths
    wide = Subject(f"{NETWORK}-x{first:g}", (f"network.variant={NETWORK}", f"network.width={first:g}"), WIDE_SHARE)
    trained, width = trainings.train(wide), float(first)
    yield result_of(wide.key, trained)
    for target in later:
        name = f"{NETWORK}-pruned-x{target:g}"
        if trained.weights is None:
            yield Result(name, None, None, "not made: the step before it was not trained")
            continue
        pruned = _prune(trained.weights, width, float(target), name)
        place = trainings.folder(wide).with_name(f"{name}.safetensors")
        # The recipe's own variant and width would contradict the description of the whole network.
        description = f"network.architecture={json.dumps(pruned.spec.to_json())}"
        subject = Subject(name, (description,), (1 - WIDE_SHARE) / len(later), place)
        run = trainings.folder(subject)
        if has_begun(RunFolder(run)) and not _is_same_start(place, pruned):
            aside = _set_aside(run)
            trainings.display.console.print(f"{name} was pruned from another training; its run is now {aside}")
        write_weights(place, pruned)
        trained, width = trainings.train(subject), float(target)
        yield result_of(name, trained)


def _prune(source: Path, width: float, target: float, name: str) -> Weights:
    """Prune weights to a width; what is noted of their training is where they come from."""
    weights = read_weights(source)
    pruned = prune_weights(weights, Target("width", target), name, PruneOptions(), width)
    return replace(pruned, training={"pruned_from": weights.spec.name, "width": target})


def _is_same_start(place: Path, pruned: Weights) -> bool:
    """Tell whether the weights that a run started from are those that it would start from now."""
    before = read_weights(place) if place.is_file() else None
    if before is None or before.spec != pruned.spec:
        return False
    return all(pruned.tensors[name].equal(tensor) for name, tensor in before.tensors.items())


def _set_aside(run: Path) -> Path:
    """Give a run's folder another name, so that its place is free."""
    aside = next(path for number in count(1) if not (path := run.with_name(f"{run.name}-before-{number}")).exists())
    return run.rename(aside)


def pruning_table(results: tuple[Result, ...], facts: Mapping[str, Any]) -> Table:
    """Lay out the chain's steps and direct training of the same size for the same minutes, and the paper's gain."""
    columns = (
        Column("width", "width", 2),
        Column("miou", "mIoU, %"),
        Column("parameters", "parameters"),
        Column("epochs", "epochs"),
        Column("minutes", "minutes"),
    )
    *steps, direct = results
    widths = [*PRUNING.widths, 1]
    remarks = [*("wide", "pruned, trained on", "pruned, trained on", "the result of pruning")[: len(steps)], "directly"]
    rows = []
    for result, width, remark in zip((*steps, direct), widths, remarks, strict=True):
        values: dict[str, Value] = {"width": float(width), **result.training}
        if result.scores is not None and result.trained is not None and result.trained.weights is not None:
            values |= {"miou": 100 * result.scores.miou, "parameters": _parameters(result.trained)}
        rows.append(Row(result.network, "here", values, "; ".join(filter(None, (remark, result.remark)))))
    rows.append(
        Row(direct.network, "paper", {"width": 1.0, "miou": PRUNING.before}, "before pruning, Cityscapes' test images")
    )
    rows.append(
        Row(steps[-1].network, "paper", {"width": 1.0, "miou": PRUNING.after}, "after pruning, Cityscapes' test images")
    )
    notes = (
        f"mIoU on {facts['data']}. Recipe: {facts['recipe']}. {_given(direct, len(steps) - 1)} One run each: a "
        "point more or less may be chance. Parameters: with this data's classes.",
        "Filters with the lowest ℓ1 sums go, in every layer alike.",
    )
    title = f"Pruning from twice the feature maps, {facts['data']}"
    return Table("pruning", title, columns, tuple(rows), notes, facts)


def _given(direct: Result, num_steps: int) -> str:
    """Say what the networks were given: the chain as much as the one that was trained directly."""
    given = trained_for([direct.trained] if direct.trained else [])
    budget = direct.trained.budget if direct.trained else None
    of_what = "those epochs" if budget is None or budget.minutes is None else "that time"
    return (
        f"{given} Of {of_what} the wide network had {WIDE_SHARE:.0%}, and its {num_steps} prunings shared the rest: "
        "the chain was given as much as the network that was trained directly."
    )


def _parameters(trained: Trained) -> int:
    assert trained.weights is not None, "only what was trained is counted"
    return summarize_weights(trained.weights).parameters
