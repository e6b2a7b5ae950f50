"""Validation in the middle of a run: score the weights, note the scores, keep the best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from contextnet.data.batches import DecodedSplit
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.evaluator import evaluate
from contextnet.evaluation.scores import Scores
from contextnet.files import write_json
from contextnet.models.contextnet import ContextNet
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, load_strictly, write_weights
from contextnet.training.logbook import Logbook
from contextnet.training.run import TrainingRun
from contextnet.training.run_folder import RunFolder


def validate(
    run: TrainingRun, data: SegmentationData, split: DecodedSplit, folder: RunFolder, logbook: Logbook, command: str
) -> None:
    """Score the weights, the averaged ones if there are any, and keep them as last and, if they are, as best."""
    tensors = run.averaged if run.averaged is not None else run.network.state_dict()
    network = ContextNet(run.network.spec)
    load_strictly(network, tensors, "averaged weights")
    scores = evaluate(NetworkPredictor(network, run.device), data).scores
    epoch = run.progress.epoch
    accuracy = scores.pixel_accuracy
    logbook.write("validation", epoch=epoch, miou=scores.miou, pixel_accuracy=accuracy, iou=_class_iou(scores))
    training = _summary(run, split, data, scores, command)
    weights = Weights(network.spec, split.labels, network.state_dict(), training, split.licence)
    if scores.miou > run.progress.best_miou:
        run.progress = replace(run.progress, best_miou=scores.miou, best_epoch=epoch)
        write_weights(folder.best_weights, weights)
        write_json(folder.scores, scores.to_json())
    write_weights(folder.last_weights, weights)
    run.progress = replace(run.progress, validated_epoch=epoch)
    logbook.say(f"epoch {epoch}: mIoU {scores.miou:.4f} on {data.name}, best {run.progress.best_miou:.4f}")


def _summary(
    run: TrainingRun, split: DecodedSplit, data: SegmentationData, scores: Scores, command: str
) -> dict[str, Any]:
    """What the weights file tells of its training; the hours are those of the run so far, validation included."""
    return {
        "recipe": run.recipe.name,
        "trained_on": split.name,
        "validated_on": data.name,
        "miou": scores.miou,
        "epochs": run.progress.epoch,
        "hours": round(run.progress.seconds / 3600, 2),
        "command": command,
    }


def _class_iou(scores: Scores) -> dict[str, float | None]:
    named = zip(scores.class_names, scores.class_iou, strict=True)
    return {name: None if math.isnan(iou) else round(iou, 4) for name, iou in named}
