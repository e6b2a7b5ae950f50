"""Training the compared networks: steps, validation, resumption, and what a recipe may say of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from contextnet.data.augmentation import NO_AUGMENTATION
from contextnet.data.batches import Batch, draw_batch, generator_for
from contextnet.errors import RecipeError, TrainingError
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.baselines.baseline import Baseline
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_tensors, read_weights
from contextnet.network_spec import BaselineSpec, named_spec
from contextnet.training import trainer
from contextnet.training.checkpoint import FORMAT, Checkpoints
from contextnet.training.logbook import Logbook
from contextnet.training.recipe.recipe import Recipe, read_recipe, write_recipe
from contextnet.training.run import TrainingRun, resume_run, start_run
from contextnet.training.run_folder import prepare_run_folder
from contextnet.training.step import take_step
from contextnet.training.trainer import TrainingResult, train
from lively_baselines import SMALL
from training_data import Blocks, blocks_split, tiny_recipe

CPU = torch.device("cpu")
VALIDATION = Blocks(1, seed=9, name="blocks/val")


def run(recipe: Recipe, root: Path, *, resume: bool = False) -> TrainingResult:
    folder = prepare_run_folder(root, resume=resume, overwrite=False)
    split = blocks_split()
    if resume:
        parts = resume_run(recipe, split, CPU, Checkpoints(root, recipe.checkpoints.keep), lambda line: None)
    else:
        parts = start_run(recipe, split, CPU)
    with Logbook(folder.log, None) as logbook:
        return train(parts, split, VALIDATION, folder, logbook, command="contextnet train")


def of_network(name: str, **changes: Any) -> Recipe:
    network = {"variant": name} | changes.pop("network", {})
    return tiny_recipe(network=network, **changes)


def batch() -> Batch:
    return draw_batch(blocks_split(), [0, 1], (32, 64), NO_AUGMENTATION, generator_for(0, 0, stream=1))


@pytest.mark.parametrize("name", ["dabnet", "fast-scnn"])
def test_a_run_is_trained_validated_stopped_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = of_network(name, epochs=2, ema_decay=0.9)
    whole = run(recipe, tmp_path / "whole")
    assert whole.epochs == 2

    def stop(parts: TrainingRun, batch: Batch, step: int) -> float | None:
        if step == 3:
            raise KeyboardInterrupt
        return take_step(parts, batch, step)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "take_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "stopped")
    assert replace(run(recipe, tmp_path / "stopped", resume=True), seconds=0) == replace(whole, seconds=0)
    states = [read_tensors(Checkpoints(tmp_path / f, 1).files()[0], FORMAT)[0] for f in ("whole", "stopped")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    weights = read_weights(tmp_path / "whole" / "best.safetensors")
    assert weights.spec == named_spec(name, 3, auxiliary=True)
    scores = evaluate(NetworkPredictor(weights.build()), VALIDATION).scores
    assert scores.miou == whole.best_miou == weights.training["miou"]
    first, *_ = [
        json.loads(line)
        for line in (tmp_path / "whole" / "log.jsonl").read_text(encoding="utf-8").splitlines()
        if json.loads(line)["event"] == "epoch"
    ]
    # Three classes start near ln 3, and with an auxiliary classifier near 1.4 times that.
    start = math.log(3) * (1.4 if name == "fast-scnn" else 1)
    assert first["loss"] == pytest.approx(start, rel=0.3)


@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "float32") for name in SMALL), ("dabnet", "bfloat16"), ("fast-scnn", "bfloat16")],
)
def test_a_step_makes_the_same_batch_cheaper(name: str, precision: str) -> None:
    changes = {"execution": {"precision": precision}, "optimizer": {"kind": "adamw", "learning_rate": 0.003}}
    parts = start_run(of_network(name, network={"dropout": 0.0}, **changes), blocks_split(), CPU)
    assert isinstance(parts.network, Baseline)
    assert parts.loss.stride == parts.network.spec.output_stride
    with_auxiliary = name in {"icnet", "fast-scnn"}
    losses = []
    for _ in range(3):
        loss = take_step(parts, batch(), 0)
        assert loss is not None
        losses.append(loss)
    assert losses[0] == pytest.approx(math.log(3) * (1.4 if with_auxiliary else 1), rel=0.2)
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in parts.network.parameters()), "every layer learns"


def test_a_resolved_recipe_is_read_again(tmp_path: Path) -> None:
    recipe = of_network("enet")
    (tmp_path / "recipe.yaml").write_text(write_recipe(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.yaml").network.spec(3) == BaselineSpec("enet", 3)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({"variant": "dabnet"}, BaselineSpec("dabnet", 3)),
        ({"variant": "icnet"}, BaselineSpec("icnet", 3, auxiliary=True)),
        ({"variant": "pspnet", "auxiliary": False, "dropout": 0.3}, BaselineSpec("pspnet", 3, False, 0.3)),
        (
            {"architecture": BaselineSpec("fast-scnn", 19).to_json(), "dropout": 0.0},
            BaselineSpec("fast-scnn", 3, True, 0.0),
        ),
    ],
)
def test_networks_that_a_recipe_names_or_describes(network: dict[str, Any], expected: BaselineSpec) -> None:
    assert tiny_recipe(network=network).network.spec(3) == expected


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"variant": "unet"}, "no network is called 'unet'; known: cn14, .*segnet, .*dabnet"),
        ({"variant": "enet", "width": 0.5}, "'enet' is built as its paper says; leave out width and pyramid pooling"),
        ({"variant": "enet", "pyramid_pooling": True}, "'enet' is built as its paper says"),
        ({"architecture": {"kind": "baseline", "name": "unet"}}, "'num_classes' is missing"),
        ({"architecture": BaselineSpec("enet", 3).to_json(), "variant": "enet"}, "leave out 'variant'"),
    ],
)
def test_networks_that_a_recipe_cannot_have(network: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(network=network)


def test_training_for_int8_is_contextnets_alone() -> None:
    recipe = of_network("dabnet", quantization_aware=True)
    with pytest.raises(TrainingError) as caught:
        start_run(recipe, blocks_split(), CPU)
    expected = (
        "'quantization_aware' rounds as ContextNet's INT8 form does, and 'dabnet' is another network; leave it out"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "crop_hw", "error"),
    [
        ("fast-scnn", [64, 64], "one image with pyramid pooling leaves batch norm a single value"),
        ("icnet", [32, 32], r"one image with a crop of \(32, 32\) leaves batch norm a single value"),
        ("icnet", [32, 64], None),
        ("dabnet", [8, 8], r"one image with a crop of \(8, 8\) leaves batch norm a single value"),
        ("dabnet", [8, 16], None),
    ],
)
def test_a_batch_of_one_image(name: str, crop_hw: list[int], error: str | None) -> None:
    recipe = of_network(name, batch_size=1, augmentation={"crop_hw": crop_hw})
    if error is not None:
        with pytest.raises(TrainingError, match=error):
            start_run(recipe, blocks_split(), CPU)
        return
    parts = start_run(recipe, blocks_split(), CPU)
    one = draw_batch(blocks_split(), [0], (crop_hw[0], crop_hw[1]), NO_AUGMENTATION, generator_for(0, 0, stream=1))
    assert take_step(parts, one, 0) is not None
