from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from contextnet.data.augmentation import AugmentationRanges
from contextnet.errors import RecipeError
from contextnet.recipes import find_recipe, recipe_names
from contextnet.spec import variant
from contextnet.training.optimizer import TensorFlowRMSprop, build_optimizer
from contextnet.training.recipe.optimizer import AdamWOptions, RMSpropOptions
from contextnet.training.recipe.recipe import Recipe, parse_recipe, read_recipe, write_recipe
from contextnet.training.recipe.values import read_values

LEAST = "name: least\ndata: {source: 'folder:here'}\naugmentation: {crop_hw: [64, 128]}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, LEAST))
    assert recipe.optimizer == RMSpropOptions(
        kind="rmsprop", learning_rate=0.045, discount=0.9, momentum=0.9, epsilon=1.0, weight_decay=0.00004
    )
    assert (recipe.schedule.kind, recipe.schedule.power) == ("poly", 0.98)
    assert (recipe.batch_size, recipe.epochs, recipe.loss.auxiliary_weight) == (16, 1000, 0.4)
    assert recipe.augmentation.ranges().scale == (0.5, 2.0)
    assert recipe.network.spec(11).num_classes == 11


def test_light_and_sensor_are_off_until_a_recipe_asks_for_them(tmp_path: Path) -> None:
    path = write(tmp_path, LEAST)
    assert read_recipe(path).augmentation.ranges() == AugmentationRanges()
    overrides = [
        f"augmentation.{change}" for change in ("cast=0.3", "gamma=0.2", "blur=0.1", "noise=8.5", "class_mix=0.4")
    ]
    asked = AugmentationRanges(cast=0.3, gamma=0.2, blur=0.1, noise=8.5, class_mix=0.4)
    assert read_recipe(path, overrides).augmentation.ranges() == asked


@pytest.mark.parametrize("change", ["cast=1.0", "cast=-0.1", "gamma=1.5", "blur=2", "noise=-1", "noise=256"])
def test_light_and_sensor_out_of_range_are_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(RecipeError, match=f"'augmentation.{change.partition('=')[0]}' is {change.partition('=')[2]}"):
        read_recipe(write(tmp_path, LEAST), [f"augmentation.{change}"])


def test_paper_recipe_says_what_the_paper_says() -> None:
    recipe = read_recipe(find_recipe("cn14-cityscapes"))
    assert recipe.network.variant == "cn14"
    assert isinstance(recipe.optimizer, RMSpropOptions)
    assert recipe.optimizer.model_dump(exclude={"weight_decay"}) == {
        "kind": "rmsprop",
        "learning_rate": 0.045,
        "discount": 0.9,
        "momentum": 0.9,
        "epsilon": 1.0,
    }
    assert recipe.schedule.model_dump() == {"kind": "poly", "power": 0.98, "warmup_steps": 0}
    assert (recipe.batch_size, recipe.epochs) == (16, 1000)
    plain = {"class_weights": None, "label_smoothing": 0.0, "ohem": None, "lovasz_weight": 0.0, "dice_weight": 0.0}
    expected = {"auxiliary_weight": 0.4, "class_weighting": "none", **plain}
    assert recipe.loss.model_dump(include=set(expected)) == expected
    assert recipe.loss.distillation is None
    assert recipe.augmentation.scale == (0.5, 2.0)
    assert recipe.ema_decay is None
    assert "not run here: data not available" in find_recipe("cn14-cityscapes").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_trains_a_network(name: str) -> None:
    path = find_recipe(name)
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"contextnet train {name}" in text
    assert build_optimizer(_network(recipe), recipe.optimizer).param_groups[0]["lr"] == recipe.optimizer.learning_rate


def _network(recipe: Recipe) -> Any:
    from contextnet.models.contextnet import ContextNet

    return ContextNet(recipe.network.spec(19))


@pytest.mark.parametrize("name", recipe_names())
def test_resolved_copy_reads_back_to_an_equal_recipe(name: str, tmp_path: Path) -> None:
    recipe = read_recipe(find_recipe(name), ["seed=7", "optimizer.learning_rate=1e-5"])
    text = write_recipe(recipe)
    assert parse_recipe(yaml.safe_load(text), "copy") == recipe
    assert read_recipe(write(tmp_path, text)) == recipe
    assert set(yaml.safe_load(text)) == set(Recipe.model_fields), "the copy spells out every default"


@pytest.mark.parametrize(
    ("overrides", "key", "expected"),
    [
        ([], "epochs", 1000),
        (["epochs=60"], "epochs", 60),
        (["epochs=60", "epochs=61"], "epochs", 61),
        ([" epochs = 60 "], "epochs", 60),
        (["name=a=b"], "name", "a=b"),
        (["data.source=camvid:/data/camvid"], "data", {"source": "camvid:/data/camvid"}),
        (["augmentation.crop_hw=[32, 48]"], "augmentation", {"crop_hw": [32, 48]}),
        (["schedule.warmup_steps=5"], "schedule", {"warmup_steps": 5}),
        (["optimizer={kind: sgd, nesterov: false}"], "optimizer", {"kind": "sgd", "nesterov": False}),
        (["optimizer.kind=sgd", "optimizer.learning_rate=3e-4"], "optimizer", {"kind": "sgd", "learning_rate": 0.0003}),
        (["ema_decay=null"], "ema_decay", None),
    ],
)
def test_overrides(tmp_path: Path, overrides: list[str], key: str, expected: Any) -> None:
    path = write(tmp_path, LEAST)
    values = read_values(path, overrides)
    resolved = read_recipe(path, overrides).model_dump(mode="json")
    if overrides:
        assert values[key] == expected
    if isinstance(expected, dict):
        assert {k: resolved[key][k] for k in expected} == expected
    else:
        assert resolved[key] == expected


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("epochs", "override 'epochs': write it as key=value, for example epochs=60"),
        ("=60", "override '=60': write it as key=value"),
        ("data..source=x", "override 'data..source=x': write it as key=value"),
        ("name.first=x", "override 'name.first=x': 'name' is a value and has no key 'first'"),
        ("epochs=[1", r"override 'epochs=\[1': the value is not plain YAML"),
        ("epochs=!!python/name:os.system x", r"not plain YAML: a tag \(!…\) in line 1"),
        ("epochs=", r"recipe\.yaml with epochs=: 'epochs' is None; expected a whole number"),
        ("optimzer.kind=sgd", "unknown key 'optimzer'; the nearest valid key is 'optimizer'"),
    ],
)
def test_override_that_cannot_be_used(tmp_path: Path, override: str, error: str) -> None:
    with pytest.raises(RecipeError, match=error):
        read_recipe(write(tmp_path, LEAST), [override])


@pytest.mark.parametrize("text", ["3e-4", "3E-4", "3.0e-4", "0.0003", "+3e-04"])
def test_numbers_with_an_exponent_are_numbers(tmp_path: Path, text: str) -> None:
    recipe = read_recipe(write(tmp_path, LEAST), ["optimizer.kind=adamw", f"optimizer.learning_rate={text}"])
    assert recipe.optimizer == AdamWOptions(kind="adamw", learning_rate=0.0003)


def test_whole_numbers_and_words_stay_what_they_are(tmp_path: Path) -> None:
    values = read_values(write(tmp_path, "a: 12\nb: 1e\nc: e5\nd: 12e3x\ne: '1e5'\n"))
    assert values == {"a": 12, "b": "1e", "c": "e5", "d": "12e3x", "e": "1e5"}


def test_optimizer_of_the_default_recipe_is_tensorflows(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, LEAST))
    assert isinstance(build_optimizer(_network(recipe), recipe.optimizer), TensorFlowRMSprop)


def test_shipped_recipe_is_found_by_name_and_another_by_path(tmp_path: Path) -> None:
    assert find_recipe("cn14-camvid").name == "cn14-camvid.yaml"
    path = write(tmp_path, LEAST)
    assert find_recipe(str(path)) == path


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("cn14-camvd", r"'cn14-camvd' is neither a file nor a shipped recipe \(.*\); did you mean 'cn14-camvid'\?$"),
        ("nothing-like-it.yml", r"is neither a file nor a shipped recipe \(.*cn14-cityscapes[^;]*\)$"),
        (".", "'.' is neither a file nor a shipped recipe"),
    ],
)
def test_recipe_that_is_not_there(name: str, error: str) -> None:
    with pytest.raises(RecipeError, match=error):
        find_recipe(name)


def with_architecture(tmp_path: Path, architecture: object, **network: object) -> Path:
    values = yaml.safe_load(find_recipe("cn14-camvid").read_text())
    values["network"] = {"auxiliary": True, "dropout": 0.2, "architecture": architecture, **network}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_recipe_trains_any_network_that_it_describes(tmp_path: Path) -> None:
    spec = variant("cn14", 19, width=0.77, pyramid_pooling=True)
    recipe = read_recipe(with_architecture(tmp_path, spec.to_json()))
    assert recipe.network.spec(11) == replace(spec, num_classes=11, auxiliary=True, dropout=0.2)
    again = tmp_path / "again.yaml"
    again.write_text(write_recipe(recipe))
    assert read_recipe(again) == recipe


@pytest.mark.parametrize(
    ("change", "network", "complaint"),
    [
        ({"details": 3}, {}, "'details'"),
        ({"num_classes": 0}, {}, "0 classes"),
        ({}, {"width": 2.0}, "leave out 'width'"),
        ({}, {"variant": "cn12"}, "leave out 'variant'"),
    ],
)
def test_a_description_that_is_no_network_is_refused(
    tmp_path: Path, change: dict[str, object], network: dict[str, object], complaint: str
) -> None:
    architecture = variant("cn14").to_json() | change
    with pytest.raises(RecipeError, match=complaint):
        read_recipe(with_architecture(tmp_path, architecture, **network))
