"""Recipes that are refused: every message names file and key, what was found, and what was expected."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from contextnet.cli import main
from contextnet.errors import RecipeError
from contextnet.training.recipe.recipe import parse_recipe, read_recipe

VALID: dict[str, Any] = {
    "name": "valid",
    "data": {"source": "folder:nowhere"},
    "augmentation": {"crop_hw": [32, 64]},
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
}


def changed(dotted: str, value: Any) -> dict[str, Any]:
    values = {key: dict(inner) if isinstance(inner, dict) else inner for key, inner in VALID.items()}
    *parents, last = dotted.split(".")
    table = values
    for parent in parents:
        table = table.setdefault(parent, {})
    table[last] = value
    return values


@pytest.mark.parametrize(
    ("dotted", "nearest"),
    [
        ("epohcs", "epochs"),
        ("batchsize", "batch_size"),
        ("Network", "network"),
        ("network.variants", "network.variant"),
        ("data.unreadable_buget", "data.unreadable_budget"),
        ("augmentation.crop", "augmentation.crop_hw"),
        # 'scale' and 'kind' stand elsewhere; the nearest key comes from the table that was misspelt in.
        ("loss.auxilary_weight", "loss.auxiliary_weight"),
        ("schedule.warmup", "schedule.warmup_steps"),
        ("optimizer.learning_rat", "optimizer.learning_rate"),
        ("optimizer.nestrov", "optimizer.nesterov"),
    ],
)
def test_misspelt_key_gets_the_nearest_of_its_table(dotted: str, nearest: str) -> None:
    error = rf"^r\.yaml: unknown key '{dotted}'; the nearest valid key is '{nearest}'; valid here: "
    with pytest.raises(RecipeError, match=error):
        parse_recipe(changed(dotted, 3), "r.yaml")


def test_valid_keys_are_those_of_the_chosen_optimizer() -> None:
    with pytest.raises(RecipeError, match=r"valid here: kind, learning_rate, momentum, nesterov, weight_decay$"):
        parse_recipe(changed("optimizer.discount", 0.9), "r.yaml")


@pytest.mark.parametrize(
    ("dotted", "value", "error"),
    [
        ("epochs", "60", "'epochs' is '60'; expected a whole number"),
        ("epochs", True, "'epochs' is True; expected a whole number"),
        ("epochs", 1.5, "'epochs' is 1.5; expected a whole number"),
        ("name", 3, "'name' is 3; expected text"),
        ("network", 3, "'network' is 3; expected a table of keys"),
        ("network", None, "'network' is None; expected a table of keys"),
        ("network.auxiliary", "maybe", "'network.auxiliary' is 'maybe'; expected true or false"),
        ("optimizer", "adamw", "'optimizer' is 'adamw'; expected a table of keys"),
        ("optimizer.learning_rate", "fast", "'optimizer.learning_rate' is 'fast'; expected a number"),
        ("augmentation.crop_hw", "32x64", "'augmentation.crop_hw' is '32x64'; expected a list"),
        ("augmentation.crop_hw", [32, "64"], "'augmentation.crop_hw.1' is '64'; expected a whole number"),
        ("augmentation.crop_hw", [32], "'augmentation.crop_hw.1' is missing"),
        ("augmentation.crop_hw", [32, 64, 3], r"'augmentation.crop_hw' is \[32, 64, 3\]; expected a shorter list"),
    ],
)
def test_wrong_type(dotted: str, value: Any, error: str) -> None:
    with pytest.raises(RecipeError, match=rf"^r\.yaml: {error}"):
        parse_recipe(changed(dotted, value), "r.yaml")


@pytest.mark.parametrize(
    ("dotted", "value", "error"),
    [
        ("epochs", 0, "'epochs' is 0; expected greater than or equal to 1"),
        ("batch_size", -1, "'batch_size' is -1; expected greater than or equal to 1"),
        ("seed", 2**63, f"'seed' is {2**63}; expected less than {2**63}"),
        ("name", "", "'name' is ''; expected a text that is not empty"),
        ("ema_decay", 1.0, "'ema_decay' is 1.0; expected less than 1"),
        ("augmentation.flip", 1.5, "'augmentation.flip' is 1.5; expected less than or equal to 1"),
        ("augmentation.crop_hw", [4, 64], "'augmentation.crop_hw.0' is 4; expected greater than or equal to 8"),
        ("augmentation.crop_hw", [10**9, 64], "'augmentation.crop_hw.0' is 1000000000; expected less than or equal to"),
        ("augmentation.scale", [2.0, 0.5], r"'augmentation': scale \[2.0, 0.5\] runs from large to small"),
        ("optimizer.learning_rate", 0, "'optimizer.learning_rate' is 0; expected greater than 0"),
        ("optimizer.learning_rate", float("nan"), "'optimizer.learning_rate' is nan; expected a finite number"),
        ("optimizer.learning_rate", float("inf"), "'optimizer.learning_rate' is inf; expected a finite number"),
        ("optimizer.kind", "adam", "'optimizer.kind' is 'adam'; write one of rmsprop, adamw, sgd"),
        (
            "loss.class_weighting",
            "bounded_log",
            "is 'bounded_log'; expected 'none', 'bounded-log' or 'median-frequency'",
        ),
        ("network.variant", "cn15", "'network.variant': no network is called 'cn15'; known: cn14, cn12"),
        ("network.variant", "cn14-detail", "'network': 'cn14-detail' has no context branch to carry .* an auxiliary"),
    ],
)
def test_value_out_of_range(dotted: str, value: Any, error: str) -> None:
    with pytest.raises(RecipeError, match=rf"^r\.yaml: .*{error}"):
        parse_recipe(changed(dotted, value), "r.yaml")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"name": "x", "augmentation": {"crop_hw": [8, 8]}}, "'data' is missing; add it"),
        ({**VALID, "optimizer": {}}, "'optimizer.kind' is missing; write one of rmsprop, adamw, sgd"),
        ({**VALID, 1: 2}, "unknown key '1'; the nearest valid key is"),
    ],
)
def test_missing_and_foreign_keys(values: dict[str, Any], error: str) -> None:
    with pytest.raises(RecipeError, match=rf"^r\.yaml: {error}"):
        parse_recipe(values, "r.yaml")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: [1, 2", "not plain YAML: while parsing a flow sequence"),
        ("name: x\nepochs: 3\nname: y\n", "not plain YAML: key 'name' stands twice .*line 3"),
        ("data:\n  source: a\n  source: b\n", "not plain YAML: key 'source' stands twice .*line 3"),
        ("- name\n- epochs\n", "holds a list; a recipe is a mapping"),
        ("", "holds nothing; a recipe is a mapping"),
        ("just words", "holds a str; a recipe is a mapping"),
        ("[" * 20_000, "not plain YAML: nested too deeply"),
        ("name: \x00", "not plain YAML: unacceptable character"),
        ("day: 2024-13-45", "not plain YAML: month must be in 1..12"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=error) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00name", b"name: \xe9"])
def test_file_that_is_not_utf8(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match="not plain YAML"):
        read_recipe(path)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [{made}]",
        "!!python/object/new:os.mkdir [{made}]",
        "!!python/name:os.system",
        "!custom 3",
    ],
)
def test_yaml_tags_are_refused_and_never_run(tmp_path: Path, tag: str) -> None:
    made = tmp_path / "made"
    path = tmp_path / "r.yaml"
    path.write_text("name: " + tag.format(made=made), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"not plain YAML: a tag \(!…\) in line 1; write plain values"):
        read_recipe(path)
    assert not made.exists()


def test_aliases_that_multiply_give_a_short_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    path = tmp_path / "r.yaml"
    path.write_text("\n".join([*lines, "name: *a8"]), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert len(str(caught.value)) < 1000


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read: No such file or directory; check the path"):
        read_recipe(tmp_path / "none.yaml")


def test_command_line_prints_one_sentence_and_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(changed("optimizer.learning_rat", 1.0)), encoding="utf-8")
    output = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["contextnet", "train", str(path), "--output", str(output)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(
        f"error: {path}: unknown key 'optimizer.learning_rat'; the nearest valid key is 'optimizer.learning_rate'"
    )
    assert "Traceback" not in printed.err
    assert not list(output.glob("*"))
