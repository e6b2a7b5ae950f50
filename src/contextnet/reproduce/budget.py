"""What a training is given: minutes and the epochs that fit into them, and the note of both in the run's folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from contextnet.errors import RunError
from contextnet.files import write_json
from contextnet.training.run_folder import RunFolder

MOST_OVER = 2.0
"""A network of which one epoch takes more than so many budgets is not trained."""


@dataclass(frozen=True)
class Budget:
    """What a run was given: minutes, or None for the whole recipe, and what was measured and made of it.

    ``step_s`` is the seconds of a step, None without minutes; ``epochs`` are trained, of ``recipe_epochs``; ``machine``
    is where, in words. No epochs mean that the network is not trained: one takes too long.
    """

    minutes: float | None
    step_s: float | None
    epochs: int
    recipe_epochs: int
    machine: str = field(default="", compare=False)


def fit_budget(minutes: float, step_s: float, steps: int, recipe_epochs: int, share: float = 1.0) -> Budget:
    """Fit whole epochs of ``steps`` steps into a share of ``minutes``.

    At least one, at most that share of the recipe's; none where one takes more than ``MOST_OVER`` times the share.
    """
    epoch_minutes = step_s * steps / 60
    given = share * minutes
    fits = 0 if epoch_minutes > MOST_OVER * given else max(1, int(given / epoch_minutes))
    return Budget(given, step_s, min(fits, _epochs_of(share, recipe_epochs)), recipe_epochs)


def share_of_recipe(share: float, recipe_epochs: int) -> Budget:
    """Give a part of the recipe's epochs, at least one."""
    return Budget(None, None, _epochs_of(share, recipe_epochs), recipe_epochs)


def read_budget(folder: RunFolder) -> Budget | None:
    """Read what a run was given; None where that is not noted. Raises ``RunError`` for a note that is damaged."""
    path = _path(folder)
    try:
        return TypeAdapter(Budget).validate_json(path.read_text(encoding="utf-8"), strict=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise RunError.at(path, f"cannot be read: {reason}", "remove the run's folder") from None


def keep_budget(folder: RunFolder, budget: Budget) -> None:
    """Note what a run is given in its folder, which is made."""
    folder.root.mkdir(parents=True, exist_ok=True)
    write_json(_path(folder), asdict(budget))


def _epochs_of(share: float, recipe_epochs: int) -> int:
    return max(1, round(share * recipe_epochs))


def _path(folder: RunFolder) -> Path:
    return folder.root / "budget.json"
