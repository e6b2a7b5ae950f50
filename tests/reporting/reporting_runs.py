"""Run folders for the tests of reports, written by hand or with the project's own writers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contextnet.evaluation.confusion import ConfusionMatrix
from contextnet.evaluation.scores import Scores, compute_scores
from contextnet.files import write_json
from contextnet.labels import CITYSCAPES, LabelClass, LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import variant

RECIPE = """\
name: tiny
network: {variant: cn14-160, width: 0.25, pyramid_pooling: false}
data: {source: "folder:nowhere", train_split: train, val_split: val}
augmentation: {crop_hw: [32, 64]}
optimizer: {kind: adamw, learning_rate: 0.01}
epochs: 4
"""
THREE = LabelSet("three", tuple(LabelClass(n, (i, 9, 9), n, (i,)) for i, n in enumerate(("road", "car", "sky"))))
COUNTS = ((90, 10, 0, 0), (5, 15, 0, 0), (0, 0, 0, 0))
"""True road, car and sky by prediction: IoU is 90/105, 15/30 and not defined; accuracy 105/120."""


def start(**values: Any) -> dict[str, Any]:
    return {"event": "start", "time": 1.0, "step": 0, "total_steps": 40, "skipped_samples": []} | values


def epoch(number: int, loss: float | None, **values: Any) -> dict[str, Any]:
    seconds = 60.0 * number
    return {"event": "epoch", "epoch": number, "step": 10 * number, "loss": loss, "seconds": seconds} | values


def validation(number: int, miou: float | None, iou: Mapping[str, float | None] | None = None) -> dict[str, Any]:
    return {"event": "validation", "epoch": number, "miou": miou, "pixel_accuracy": 0.875, "iou": dict(iou or {})}


def lines(*events: Mapping[str, Any]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def make_run(root: Path, log: str = "", recipe: str = RECIPE, scores: Scores | None = None) -> Path:
    root.mkdir(parents=True)
    (root / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (root / "log.jsonl").write_text(log, encoding="utf-8")
    if scores is not None:
        write_json(root / "scores.json", scores.to_json())
    return root


def scores_of(counts: Sequence[Sequence[int]] = COUNTS, labels: LabelSet = THREE) -> Scores:
    confusion = ConfusionMatrix(labels.num_classes)
    confusion.counts += np.array(counts, np.int64)
    return compute_scores(confusion, labels)


def write_tiny_weights(path: Path, labels: LabelSet = CITYSCAPES, seed: int = 0) -> None:
    torch.manual_seed(seed)
    spec = variant("cn14-160", labels.num_classes, width=0.25)
    write_weights(path, Weights(spec, labels, ContextNet(spec).state_dict(), {"miou": 0.5}, "licence <of> tests"))
