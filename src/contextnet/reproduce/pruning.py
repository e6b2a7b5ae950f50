"""The paper's pruning: from twice the feature maps by 1.5 and 1.25 to the network's own, beside direct training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from contextnet.compression.pruning.pruner import PruneOptions, Target, prune_weights
from contextnet.models.storage import read_weights, write_weights
from contextnet.reproduce.accuracy import Result, result_of
from contextnet.reproduce.paper import PRUNING
from contextnet.reproduce.table import Column, Row, Table, Value
from contextnet.reproduce.trainings import Subject, Trained, Trainings, subject_of, trained_for
from contextnet.weights.catalogue import summarize_weights

NETWORK = "cn14"
WIDE_SHARE = 0.5
"""The part of the budget that the wide network gets; its steps share the rest, so that both ways take as long."""


def train_chain(trainings: Trainings) -> tuple[Result, ...]:
    """Train the wide network, prune and train it on step by step, and train the final size directly.

    What is trained already is taken as it is. A network that is too large for its share of the budget ends the chain.
    """
    return (*_steps(trainings), result_of(NETWORK, trainings.train(subject_of(NETWORK))))


def _steps(trainings: Trainings) -> Iterator[Result]:
    first, *later = PRUNING.widths
    wide = Subject(f"{NETWORK}-x{first:g}", (f"network.variant={NETWORK}", f"network.width={first:g}"), WIDE_SHARE)
    trained, width = trainings.train(wide), float(first)
    yield result_of(f"{NETWORK}-x{first:g}", trained)
    for target in later:
        name = f"{NETWORK}-pruned-x{target:g}"
        if trained.weights is None:
            yield Result(name, None, None, "not made: the step before it was not trained")
            continue
        folder = trainings.folder(wide).parent
        spec_text, path = _prune(trained.weights, width, float(target), name, folder / f"{name}.safetensors")
        # The recipe's own variant and width would contradict the description of the whole network.
        subject = Subject(name, (f"network.architecture={spec_text}",), (1 - WIDE_SHARE) / len(later), path)
        trained, width = trainings.train(subject), float(target)
        yield result_of(name, trained)


def _prune(source: Path, width: float, target: float, name: str, place: Path) -> tuple[str, Path]:
    """Prune weights to a width, keep them in ``place``, and give their description as JSON."""
    pruned = prune_weights(read_weights(source), Target("width", target), name, PruneOptions(), width)
    pruned = replace(pruned, training={"pruned_from": read_weights(source).spec.name, "width": target})
    write_weights(place, pruned)
    return json.dumps(pruned.spec.to_json()), place


def pruning_table(results: tuple[Result, ...], facts: Mapping[str, Any]) -> Table:
    """Lay out the chain's steps and direct training of the same size for the same minutes, and the paper's gain."""
    columns = (
        Column("width", "width", 2),
        Column("miou", "mIoU, %"),
        Column("parameters", "parameters"),
        Column("epochs", "epochs"),
        Column("minutes", "minutes trained"),
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
    rows.append(Row(direct.network, "paper", {"width": 1.0, "miou": PRUNING.before}, "before pruning, test images"))
    rows.append(Row(steps[-1].network, "paper", {"width": 1.0, "miou": PRUNING.after}, "after pruning, test images"))
    given = trained_for([direct.trained] if direct.trained else [])
    notes = (
        f"mIoU on {facts['data']}'s validation split. Recipe: {facts['recipe']}, on {facts['machine']}. {given} The "
        f"wide network had {WIDE_SHARE:.0%} of that time and its three steps shared the rest, so that both ways took "
        "as long. One run each: a point more or less may be chance.",
        "Filters with the lowest ℓ1 sums go, in every layer alike. docs/pruning.md has a longer run of the same chain.",
    )
    title = f"Pruning from twice the feature maps, {facts['data']}"
    return Table("pruning", title, columns, tuple(rows), notes, facts)


def _parameters(trained: Trained) -> int:
    assert trained.weights is not None, "only what was trained is counted"
    return summarize_weights(trained.weights).parameters
