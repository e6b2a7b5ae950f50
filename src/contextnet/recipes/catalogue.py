"""Which recipes are shipped and where their files lie."""

from __future__ import annotations

import difflib
from pathlib import Path

from contextnet.errors import RecipeError

_FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_recipe(name_or_path: str) -> Path:
    """Give the file of a shipped recipe, or the path as it is; raises ``RecipeError`` for neither."""
    shipped = _FOLDER / f"{name_or_path}.yaml"
    if name_or_path in recipe_names():
        return shipped
    path = Path(name_or_path)
    try:
        is_file = path.is_file()
    except OSError:  # a name longer than the file system takes
        is_file = False
    if not is_file:
        near = difflib.get_close_matches(name_or_path, recipe_names(), n=1, cutoff=0.6)
        advice = f"; did you mean '{near[0]}'?" if near else ""
        raise RecipeError(
            f"'{name_or_path}' is neither a file nor a shipped recipe ({', '.join(recipe_names())}){advice}"
        )
    return path
