from __future__ import annotations

from typing import Any

import pytest
import yaml

from contextnet.errors import RecipeError
from contextnet.training.recipe.loss import DistillationOptions, LossOptions, OhemOptions
from contextnet.training.recipe.recipe import Recipe, parse_recipe, write_recipe

LEAST: dict[str, Any] = {"name": "least", "data": {"source": "folder:x"}, "augmentation": {"crop_hw": [64, 64]}}


def recipe_with(loss: Any) -> Recipe:
    return parse_recipe({**LEAST, "loss": loss}, "r.yaml")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, LossOptions()),
        ({"ohem": {}}, LossOptions(ohem=OhemOptions(threshold=0.7, min_kept=0.0625))),
        ({"ohem": {"min_kept": 1}}, LossOptions(ohem=OhemOptions(threshold=0.7, min_kept=1.0))),
        ({"class_weights": {"traffic light": 2}}, LossOptions(class_weights={"traffic light": 2.0})),
        ({"class_weighting": "median-frequency"}, LossOptions(class_weighting="median-frequency")),
        (
            {"distillation": {"weights": "cn14-camvid"}},
            LossOptions(distillation=DistillationOptions(weights="cn14-camvid", temperature=4.0, weight=0.5)),
        ),
        (
            {"label_smoothing": 0.1, "lovasz_weight": 1, "lovasz_extent": "batch", "dice_weight": 0.5},
            LossOptions(label_smoothing=0.1, lovasz_weight=1.0, lovasz_extent="batch", dice_weight=0.5),
        ),
    ],
)
def test_options_of_the_loss_and_their_resolved_copy(values: dict[str, Any], expected: LossOptions) -> None:
    recipe = recipe_with(values)
    assert recipe.loss == expected
    assert parse_recipe(yaml.safe_load(write_recipe(recipe)), "copy") == recipe


def test_nothing_is_added_by_default() -> None:
    assert LossOptions().model_dump() == {
        "auxiliary_weight": 0.4,
        "class_weighting": "none",
        "class_weights": None,
        "weight_correction": 0.0,
        "label_smoothing": 0.0,
        "ohem": None,
        "lovasz_weight": 0.0,
        "lovasz_extent": "image",
        "dice_weight": 0.0,
        "pixel_stride": 1,
        "distillation": None,
    }


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"label_smoothing": 1.0}, "'loss.label_smoothing' is 1.0; expected less than 1"),
        ({"label_smoothing": -0.1}, "'loss.label_smoothing' is -0.1; expected greater than or equal to 0"),
        ({"lovasz_weight": -1}, "'loss.lovasz_weight' is -1; expected greater than or equal to 0"),
        ({"lovasz_extent": "pixel"}, "'loss.lovasz_extent' is 'pixel'; expected 'image' or 'batch'"),
        ({"dice_weight": "1"}, "'loss.dice_weight' is '1'; expected a number"),
        ({"ohem": True}, "'loss.ohem' is True; expected a table of keys"),
        ({"ohem": {"threshold": 1.0}}, "'loss.ohem.threshold' is 1.0; expected less than 1"),
        ({"ohem": {"threshold": 0}}, "'loss.ohem.threshold' is 0; expected greater than 0"),
        ({"ohem": {"min_kept": 1.5}}, "'loss.ohem.min_kept' is 1.5; expected less than or equal to 1"),
        (
            {"ohem": {"treshold": 0.7}},
            "unknown key 'loss.ohem.treshold'; the nearest valid key is 'loss.ohem.threshold'",
        ),
        ({"class_weights": {"sky": 0}}, "'loss.class_weights.sky' is 0; expected greater than 0"),
        ({"class_weights": {"sky": "heavy"}}, "'loss.class_weights.sky' is 'heavy'; expected a number"),
        ({"weight_correction": 1}, "'loss': weight_correction takes back what class weights do, and there are none"),
        (
            {"class_weighting": "bounded-log", "weight_correction": 3},
            "'loss.weight_correction' is 3; expected less than or equal to 2",
        ),
        ({"class_weights": [1, 2]}, "'loss.class_weights' is [1, 2]; expected a"),
        (
            {"class_weights": {"sky": 2}, "class_weighting": "bounded-log"},
            "'loss': class_weights and class_weighting 'bounded-log' both weight the classes; keep one",
        ),
        (
            {"class_weighting": "median"},
            "'loss.class_weighting' is 'median'; expected 'none', 'bounded-log' or 'median-frequency'",
        ),
        ({"distillation": {}}, "'loss.distillation.weights' is missing; add it"),
        ({"distillation": {"weights": ""}}, "'loss.distillation.weights' is ''; expected a text that is not empty"),
        (
            {"distillation": {"weights": "x", "temperature": 0}},
            "'loss.distillation.temperature' is 0; expected greater than 0",
        ),
        (
            {"distillation": {"weights": "x", "temprature": 4}},
            "unknown key 'loss.distillation.temprature'; the nearest valid key is 'loss.distillation.temperature'",
        ),
    ],
)
def test_options_that_are_refused(values: dict[str, Any], error: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_with(values)
    assert str(caught.value).startswith(f"r.yaml: {error}")
