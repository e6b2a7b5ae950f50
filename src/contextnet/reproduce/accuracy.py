"""Tables 4, 5 and 6, the ensemble: networks that were trained alike, scored, and the paper's figures beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contextnet.evaluation.scores import Scores
from contextnet.models.cost import measure_cost
from contextnet.network_spec import BASELINES, named_spec
from contextnet.reproduce.machine_words import place_words
from contextnet.reproduce.paper import (
    ENSEMBLE,
    ENSEMBLE_NOTE,
    EXACT_PARAMETERS,
    TABLE_4,
    TABLE_5,
    TABLE_5_NOTE,
    TABLE_6,
    TABLE_6_NOTE,
    ClassGroup,
    group_of,
)
from contextnet.reproduce.speed import SpeedRun, conditions_note
from contextnet.reproduce.table import Column, Row, Table, Value
from contextnet.reproduce.trainings import Trained, trained_for

VARIANTS_OF_TABLE_4: tuple[str, ...] = tuple(TABLE_4)
NETWORKS_OF_TABLE_6: tuple[str, ...] = ("cn14", *BASELINES)
MEMBERS = ("cn14-context", "cn14-detail")
"""The branches that are trained as networks of their own."""

MARKS: Mapping[ClassGroup, str] = {"small": "(s)", "fine": "(f)", "rare": "(r)"}
ON_VALIDATION = "The paper's: Cityscapes' validation images"
_COUNTED_HW = (1024, 2048)


@dataclass(frozen=True)
class Result:
    """What became of a training: its scores on the validation split, or the reason why there are none."""

    network: str
    trained: Trained | None
    scores: Scores | None
    remark: str = ""

    @property
    def training(self) -> dict[str, Value]:
        """The epochs and minutes that it was trained for."""
        budget = self.trained.budget if self.trained else None
        epochs = budget.epochs if budget and self.scores else None
        return {"epochs": epochs, "minutes": self.trained.minutes if self.trained else None}


def result_of(network: str, trained: Trained) -> Result:
    """Read the scores of a training's best weights."""
    if trained.weights is None:
        return Result(network, trained, None, trained.remark)
    path = trained.weights.with_name("scores.json")
    scores = Scores.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    return Result(network, trained, scores)


def table4(results: Sequence[Result], speeds: SpeedRun | None, facts: Mapping[str, Any]) -> Table:
    """Lay out mIoU, frames per second and parameters of the ablation (Table 4); no rate where none was measured."""
    columns = (
        Column("miou", "mIoU, %"),
        Column("fps", "frames/s"),
        Column("parameters", "parameters"),
        Column("parameters_m", "parameters, M", 2),
        *_TRAINING,
    )
    rows = []
    for result in results:
        speed = speeds.of(result.network) if speeds else None
        values = {"miou": _percent(result), "parameters": _parameters(result.network), **result.training}
        values["fps"] = None if speed is None else 1e3 / speed.timings["everything"].median_ms
        remarks = (result.remark, _said_of_speed(speeds, result.network))
        rows.append(Row(result.network, "here", values, "; ".join(filter(None, remarks))))
    for network, figures in TABLE_4.items():
        paper: dict[str, Value] = {"miou": figures.miou, "fps": figures.fps, "parameters_m": figures.parameters_m}
        paper["parameters"] = EXACT_PARAMETERS.get(network)
        rows.append(Row(network, "paper", paper))
    notes = [f"{_said(results, facts)} {_COUNTED}"]
    if speeds:
        height, width = speeds.size_hw
        notes.append(
            f"Frames per second: {height}×{width}, from the image to its labels, one after the other, "
            f"{speeds.engine.name} in {speeds.engine.precision} on {place_words(speeds.engine.device)}. "
            f"{conditions_note(speeds.engine)}"
        )
    notes.append(f"{ON_VALIDATION}, 1000 epochs; frames per second on a Titan X (Maxwell).")
    return Table("table4", f"Table 4: the ablation, {facts['data']}", columns, tuple(rows), tuple(notes), facts)


def table5(results: Sequence[Result], facts: Mapping[str, Any]) -> Table:
    """Lay out the IoU of every class (Table 5), with the paper's groups of classes marked in the headings."""
    scored = [result.scores for result in results if result.scores is not None]
    names = scored[0].class_names if scored else ()
    columns = tuple(Column(name, name, mark=_mark(name)) for name in names)
    rows = [
        Row(r.network, "here", dict(zip(names, _class_iou(r.scores), strict=True)) if r.scores else {}, r.remark)
        for r in results
    ]
    if set(TABLE_5["cn14"]) == set(names):
        rows += [Row(network, "paper", dict(iou)) for network, iou in TABLE_5.items()]
    notes = [
        _said(results, facts),
        "Groups of the paper: (s) small-size classes, (f) classes with fine detail, (r) rare classes, which gain from "
        "a context branch of higher resolution." + _gains(results),
    ]
    if set(TABLE_5["cn14"]) == set(names):
        notes.append(f"{ON_VALIDATION}, 1000 epochs. {TABLE_5_NOTE}")
    title = f"Table 5: IoU of each class in percent, {facts['data']}"
    return Table("table5", title, columns, tuple(rows), tuple(notes), facts)


def table6(results: Sequence[Result], facts: Mapping[str, Any]) -> Table:
    """Lay out class and category mIoU and parameters of all networks, equally trained (Table 6)."""
    columns = (
        Column("class_miou", "class mIoU, %"),
        Column("category_miou", "category mIoU, %"),
        Column("parameters", "parameters"),
        Column("parameters_m", "parameters, M", 2),
        *_TRAINING,
    )
    rows = [
        Row(
            result.network,
            "here",
            {
                "class_miou": _percent(result),
                "category_miou": 100 * result.scores.category_miou if result.scores else None,
                "parameters": _parameters(result.network),
                **result.training,
            },
            result.remark,
        )
        for result in results
    ]
    for network, figures in TABLE_6.items():
        values: dict[str, Value] = {
            "class_miou": figures.class_miou,
            "category_miou": figures.category_miou,
            "parameters_m": figures.parameters_m,
        }
        rows.append(Row(network, "paper", values, "pre-trained on ImageNet" if figures.pretrained else ""))
    unequal = " Equal minutes favour small networks: a large one takes fewer steps in them."
    notes = (
        f"{_said(results, facts)} {_COUNTED}",
        "No pre-training here." + ("" if facts["budget_minutes"] is None else unequal),
        "The paper's: Cityscapes' test images, each network as its authors trained it; its cn14 is the pruned one, "
        "here it is trained directly. " + TABLE_6_NOTE,
    )
    return Table("table6", f"Table 6: all networks, {facts['data']}", columns, tuple(rows), notes, facts)


def ensemble_table(members: Sequence[Result], together: Scores | None, ours: Result, facts: Mapping[str, Any]) -> Table:
    """Lay out each branch trained alone, the average of their soft-max, and cn14 (section 3.2).

    ``together`` is None where a branch was not trained.
    """
    columns = (Column("miou", "mIoU, %"), *_TRAINING)
    rows = [
        Row(result.network, "here", {"miou": _percent(result), **result.training}, result.remark) for result in members
    ]
    if together is None:
        rows.append(Row("ensemble", "here", {}, "not made: it needs both branches"))
    else:
        rows.append(Row("ensemble", "here", {"miou": 100 * together.miou}, "soft-max of both, averaged"))
    rows.append(Row(ours.network, "here", {"miou": _percent(ours), **ours.training}, ours.remark))
    paper = {
        MEMBERS[0]: ENSEMBLE.context,
        MEMBERS[1]: ENSEMBLE.detail,
        "ensemble": ENSEMBLE.ensemble,
        "cn14": ENSEMBLE.cn14,
    }
    rows += [Row(network, "paper", {"miou": miou}) for network, miou in paper.items()]
    notes = (_said([*members, ours], facts), f"{ON_VALIDATION}. {ENSEMBLE_NOTE}")
    title = f"ContextNet against an ensemble of its branches, {facts['data']}"
    return Table("ensemble", title, columns, tuple(rows), notes, facts)


_TRAINING = (Column("epochs", "epochs"), Column("minutes", "minutes"))
_COUNTED = "Parameters: of a network for 19 classes, without an auxiliary classifier."


def _percent(result: Result) -> float | None:
    return None if result.scores is None else 100 * result.scores.miou


def _parameters(network: str) -> int:
    """Count what Table 6 counts: of a network for Cityscapes' 19 classes."""
    return measure_cost(named_spec(network), _COUNTED_HW).parameters


def _class_iou(scores: Scores) -> list[float]:
    return [100 * iou for iou in scores.class_iou]


def _mark(class_name: str) -> str:
    group = group_of(class_name)
    return MARKS[group] if group else ""


def _said(results: Sequence[Result], facts: Mapping[str, Any]) -> str:
    trained = [result.trained for result in results if result.trained is not None]
    return (
        f"mIoU on {facts['data']} at full label resolution, one scale, no flipping. {trained_for(trained)} Recipe: "
        f"{facts['recipe']}. One run each: a point more or less may be chance. Minutes are those of the "
        "run; where it was scored several times on the way, these count, and the best epoch was chosen on this split."
    )


def _said_of_speed(speeds: SpeedRun | None, network: str) -> str:
    """Say why a network's rate is missing, or no result."""
    if speeds is None:
        return ""
    if network in speeds.refused:
        return f"does not run: {speeds.refused[network]}"
    speed = speeds.of(network)
    noise = speed.noise.get("everything") if speed else None
    return f"frames/s are no result: {noise}" if noise else ""


def _gains(results: Sequence[Result]) -> str:
    """Say how much each group gained from cn18 to cn12."""
    scores = {result.network: result.scores for result in results}
    low, high = scores.get("cn18"), scores.get("cn12")
    if low is None or high is None:
        return ""
    told = []
    for group, words in (("small", "small"), ("fine", "fine"), ("rare", "rare"), (None, "other")):
        gains = [
            100 * (b - a)
            for name, a, b in zip(low.class_names, low.class_iou, high.class_iou, strict=True)
            if group_of(name) == group and not math.isnan(a + b)
        ]
        if gains:
            told.append(f"{words} {sum(gains) / len(gains):+.1f}")
    return f" Mean gain from cn18 to cn12 here: {', '.join(told)} points."
