"""What ``contextnet prune`` starts from: weights that are given, or a recipe whose network is trained first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from contextnet.compression.pruning.pruner import Target, width_of
from contextnet.errors import CompressionError
from contextnet.models.storage import Weights
from contextnet.network_spec import spec_from_json
from contextnet.recipes.catalogue import find_recipe, recipe_names
from contextnet.runtime.engines.choice import WEIGHTS_SUFFIX
from contextnet.weights.catalogue import find_weights, model_names, summarize_weights, weights_names

RUN_WEIGHTS = {"best", "last"}
RECIPE_SUFFIXES, MODEL_SUFFIXES = {".yaml", ".yml"}, {".onnx", ".xml"}


def find_start(start: str, widths: Sequence[Target]) -> Path | None:
    """Give the weights to prune, or None where ``start`` is a recipe, whose network is trained first.

    ``widths`` are those of a schedule, or none. The name of a shipped network stands for its weights where these are
    wider than the first of them or it has no recipe, otherwise for its recipe. Raises ``ContextNetError`` for what is
    neither.
    """
    suffix = Path(start).suffix
    names = weights_names()
    if suffix in MODEL_SUFFIXES or (start in model_names() and start not in names):
        raise CompressionError(f"{start}: is a model file; give the weights that it was made of")
    if not widths:
        if suffix in RECIPE_SUFFIXES:
            raise CompressionError(f"{start}: is a recipe, and --target prunes weights; give weights, or --schedule")
        return find_weights(start)
    if suffix == WEIGHTS_SUFFIX or (start in names and start not in recipe_names()):
        return find_weights(start)
    if start in names and _width_of_file(find_weights(start)) > widths[0].value:
        return find_weights(start)
    find_recipe(start)
    return None


def refuse_untrained_recipe(start: str) -> NoReturn:
    """Raise ``CompressionError`` for a start that is a recipe where nothing is to be trained."""
    wide = ""
    if start in weights_names():
        wide = f", and the shipped network has width {_width_of_file(find_weights(start)):g}: begin with less"
    raise CompressionError(
        f"{start}: is a recipe, of which --steps-only leaves nothing to prune{wide}; or give weights"
    )


def name_of(start: str) -> str:
    """Name a network after its file, recipe or shipped name; weights that are called as in every run, after the run."""
    path = Path(start)
    return path.resolve().parent.name if path.stem in RUN_WEIGHTS else path.stem


def find_training_recipe(start: str, source: Path | None, recipe: str | None) -> Path:
    """Give the recipe to train by: the one asked for, or that of the network.

    That is the recipe itself, the one of a shipped network's name, or the one that lies beside weights in the folder of
    their run. Raises ``ContextNetError`` where there is none.
    """
    if recipe is not None:
        return find_recipe(recipe)
    if source is None or start in recipe_names():
        return find_recipe(start)
    beside = source.with_name("recipe.yaml")
    if not beside.is_file():
        raise CompressionError(
            f"{start}: by which recipe is it trained on after each step? Give --recipe, or --steps-only"
        )
    return beside


def require_wide_enough(widths: Sequence[Target], width: float) -> None:
    """Raise ``CompressionError`` where a schedule does not begin below the network's width."""
    if widths and widths[0].value >= width:
        raise CompressionError(f"schedule from {widths[0]}: the network has width {width:g}; begin with less")


def epochs_of(weights: Weights) -> int:
    """Give the epochs that weights were trained for, as far as their file tells."""
    training = weights.training
    return int(training.get("epochs_in_all", training.get("of_epochs", training.get("epochs", 0))))


def _width_of_file(path: Path) -> float:
    return width_of(spec_from_json(summarize_weights(path).spec))
