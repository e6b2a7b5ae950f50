"""A run's folder that is there already: whether it counts, whether it is the training that is asked for, its end."""

from __future__ import annotations

from pathlib import Path

from contextnet.errors import RunError
from contextnet.models.storage import read_weights
from contextnet.training.recipe.recipe import Recipe, read_recipe
from contextnet.training.run_folder import RunFolder

MAY_DIFFER = {"name", "epochs", "validate_every", "checkpoints", "tensorboard", "max_nonfinite_steps"}
"""What two recipes may differ in and be the same training, one perhaps longer than the other."""


def has_begun(folder: RunFolder) -> bool:
    """Tell whether a run's folder holds something of a training that counts."""
    return bool(folder.state_files()) or folder.best_weights.is_file() or folder.last_weights.is_file()


def has_ended(folder: RunFolder, plan: Recipe) -> bool:
    """Tell whether a run of the same training has come to the end of this plan."""
    if not all(path.is_file() for path in (folder.best_weights, folder.last_weights, folder.scores)):
        return False
    training = read_weights(folder.last_weights).training
    return bool(training.get("epochs") == training.get("of_epochs") == plan.epochs)


def as_begun(folder: RunFolder, recipe: Recipe) -> Recipe:
    """Give the recipe with data and first weights named as the run in the folder names them.

    The data's place may be spelled otherwise; whether first weights are the same is for whoever gives them to tell.
    Raises ``RunError`` where the folder holds the training of something else.
    """
    stored = read_recipe(folder.recipe)
    if _place(stored.data.source) == _place(recipe.data.source):
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": stored.data.source})})
    if stored.init_from and recipe.init_from:
        recipe = recipe.model_copy(update={"init_from": stored.init_from})
    # The warm-up follows from the epochs.
    schedule = stored.schedule.model_copy(update={"warmup_steps": recipe.schedule.warmup_steps})
    stored = stored.model_copy(update={"schedule": schedule})
    for key in Recipe.model_fields:
        if key not in MAY_DIFFER and getattr(stored, key) != getattr(recipe, key):
            raise RunError(f"{folder.root}: holds a run with another '{key}'; give another --runs, or remove it")
    return recipe


def _place(source: str) -> tuple[str, Path]:
    """Take apart a data source, so that two spellings of one place are equal."""
    kind, _, root = source.partition(":")
    return kind, Path(root).resolve()
