"""The shipped recipes: YAML, one a training run that was really made or that the paper describes."""

from contextnet.recipes.catalogue import find_recipe, recipe_names

__all__ = ["find_recipe", "recipe_names"]
