"""One run as its folder tells it: recipe, history, scores of the best weights, and what their file says of itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contextnet.errors import DataError, RunError, WeightsError
from contextnet.evaluation.scores import Scores
from contextnet.reporting.history import History, parse_history
from contextnet.training.recipe.data import DataOptions
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder
from contextnet.weights.catalogue import WeightsSummary, summarize_weights

MAX_RUNS = 8
_SAME_MIOU = 5e-5


@dataclass(frozen=True)
class RunRecord:
    """Everything a report says of one run.

    ``recipe`` maps dotted keys (``optimizer.learning_rate``) to values as text; ``data`` is its table of that name, or
    None where this version does not read it. ``scores`` and ``weights`` are None before the first validation and where
    their file cannot be used, which ``faults`` then says.
    """

    name: str
    folder: RunFolder
    recipe: Mapping[str, str]
    data: DataOptions | None
    history: History
    scores: Scores | None
    weights: WeightsSummary | None
    faults: tuple[str, ...]

    @property
    def planned_epochs(self) -> int | None:
        """Epochs that the recipe asks for, None where it does not say it."""
        text = self.recipe.get("epochs", "")
        return int(text) if text.isdecimal() else None

    @property
    def best_class_iou(self) -> Mapping[str, float | None]:
        """IoU of each class at the best validation, 0..1: from the scores, or from the log where there are none."""
        if self.scores is not None:
            return {
                name: None if math.isnan(iou) else iou
                for name, iou in zip(self.scores.class_names, self.scores.class_iou, strict=True)
            }
        return self.history.best.class_iou if self.history.best else {}


def read_runs(roots: Sequence[Path]) -> tuple[RunRecord, ...]:
    """Read one run or several from their folders, each under a name of its own.

    Raises ``RunError`` when a folder holds no run or is named twice, and for more than ``MAX_RUNS``; ``RecipeError``
    when a recipe cannot be read.
    """
    if not 1 <= len(roots) <= MAX_RUNS:
        raise RunError(f"a report holds 1 to {MAX_RUNS} runs, found {len(roots)}; name fewer folders")
    resolved = [root.resolve() for root in roots]
    repeated = [str(root) for index, root in enumerate(roots) if resolved[index] in resolved[:index]]
    if repeated:
        raise RunError(f"{repeated[0]}: the run is named twice; name each folder once")
    return tuple(read_run(root, name) for root, name in zip(roots, _names(resolved), strict=True))


def read_run(root: Path, name: str) -> RunRecord:
    """Read the run in ``root``; raises ``RunError`` when there is none, ``RecipeError`` for a damaged recipe."""
    folder = RunFolder(root)
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise RunError(f"{root}: {found}; give the folder of a run")
    if not folder.recipe.is_file():
        raise RunError(f"{root}: holds no run ('{folder.recipe.name}' is missing); give the --output of a training")
    faults: list[str] = []
    values = read_values(folder.recipe)
    history = _read_history(folder.log, faults)
    scores = _read_scores(folder, faults)
    best = history.best
    if scores is not None and best is not None and best.miou is not None and abs(scores.miou - best.miou) > _SAME_MIOU:
        faults.append(
            f"{folder.scores.name} holds {100 * scores.miou:.2f} % mIoU, but the best validation of {folder.log.name} "
            f"has {100 * best.miou:.2f} %: bars and matrix show the former, curves the latter."
        )
    summary = _summary(folder, faults)
    return RunRecord(name, folder, flatten(values), _data_options(values), history, scores, summary, tuple(faults))


def _data_options(values: Mapping[str, Any]) -> DataOptions | None:
    try:
        return DataOptions.model_validate(values.get("data"))
    except ValidationError:
        return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn nested tables into dotted keys with their values as text; lists stay whole."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else _as_text(value)
    return flat


def _as_text(value: Any) -> str:
    """Write a value as JSON does, so that 1 and 1.0, true and "true" look as a recipe has them."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _names(resolved: Sequence[Path]) -> list[str]:
    """Name each run by the shortest end of its path, one part at least, that no other run shares."""
    depth = 1
    while True:
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _read_history(path: Path, faults: list[str]) -> History:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        faults.append(f"{path.name} cannot be read: {error.strerror}.")
        text = ""
    history = parse_history(text)
    if history.unreadable_lines:
        faults.append(f"{path.name}: lines that cannot be read and are left out: {history.unreadable_lines}.")
    return history


def _read_scores(folder: RunFolder, faults: list[str]) -> Scores | None:
    if not folder.scores.exists():
        return None
    try:
        values = json.loads(folder.scores.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise DataError(f"{folder.scores.name}: is no JSON object")
        return Scores.from_json(values, folder.scores.name)
    except DataError as error:
        faults.append(f"{error}.")
    except OSError as error:
        faults.append(f"{folder.scores.name} cannot be read: {error.strerror}.")
    except (ValueError, RecursionError):
        faults.append(f"{folder.scores.name} is not JSON; the confusion matrix is left out.")
    return None


def _summary(folder: RunFolder, faults: list[str]) -> WeightsSummary | None:
    path = next((path for path in (folder.best_weights, folder.last_weights) if path.exists()), None)
    if path is None:
        return None
    try:
        return summarize_weights(path)
    except WeightsError as error:
        faults.append(f"{error}.")
        return None
