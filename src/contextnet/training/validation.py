"""Validation in the middle of a run: score the weights, note the scores, keep the best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from contextnet.data.decoding import DecodedSplit
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.scores import Scores
from contextnet.files import write_json
from contextnet.models.network import build_network
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, load_strictly, write_weights
from contextnet.stop_signals import Stopped, StopRequest
from contextnet.training.decision import tune_decision
from contextnet.training.logbook import Logbook
from contextnet.training.run import TrainingRun
from contextnet.training.run_folder import RunFolder
from contextnet.training.shared_evaluation import evaluate_together
from contextnet.training.tensorboard import TensorBoard


def validate(
    run: TrainingRun,
    data: SegmentationData,
    split: DecodedSplit,
    folder: RunFolder,
    logbook: Logbook,
    board: TensorBoard,
    request: StopRequest,
    command: str,
) -> None:
    """Score the weights, the averaged ones if there are any, and keep them as last and, if they are, as best.

    Where the recipe says so, the decision between classes is tuned on the training split first.

    The images are shared out among the processes; every one gets the scores, and the first writes. Raises ``Stopped``
    between two images when a process is asked to stop.
    """
    tensors = run.averaged if run.averaged is not None else run.network.state_dict()
    network = build_network(run.network.spec)
    load_strictly(network, tensors, "averaged weights")
    if run.recipe.tune_decision:
        tune_decision(network, split, run.device, run.ranks, lambda: request.signal_number is not None)
    predictor = NetworkPredictor(network, run.device)

    def heed(done: int, total: int) -> None:
        if request.signal_number is not None:
            raise Stopped(request.signal_number)

    scores = evaluate_together(predictor, data, run.ranks, heed).scores
    epoch, is_best = run.progress.epoch, scores.miou > run.progress.best_miou
    accuracy = scores.pixel_accuracy
    logbook.write("validation", epoch=epoch, miou=scores.miou, pixel_accuracy=accuracy, iou=_class_iou(scores))
    if is_best:
        run.progress = replace(run.progress, best_miou=scores.miou, best_epoch=epoch)
    if run.ranks.is_first:
        weights = Weights(
            network.spec, split.labels, network.state_dict(), _summary(run, split, data, scores, command), split.licence
        )
        if is_best:
            write_weights(folder.best_weights, weights)
            write_json(folder.scores, scores.to_json())
        write_weights(folder.last_weights, weights)
    board.validation(scores, run.progress.step)
    board.pictures(data, predictor, run.progress.step)
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
        "of_epochs": run.recipe.epochs,
        "hours": round(run.progress.seconds / 3600, 2),
        "command": command,
    }


def _class_iou(scores: Scores) -> dict[str, float | None]:
    named = zip(scores.class_names, scores.class_iou, strict=True)
    return {name: None if math.isnan(iou) else round(iou, 4) for name, iou in named}
