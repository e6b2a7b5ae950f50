from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contextnet.data.augmentation import NO_AUGMENTATION
from contextnet.data.batches import Batch, draw_batch, generator_for
from contextnet.errors import TrainingError
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_tensors, read_weights
from contextnet.training import trainer
from contextnet.training.checkpoint import FORMAT, Checkpoints
from contextnet.training.logbook import Logbook
from contextnet.training.recipe.recipe import Recipe, read_recipe, write_recipe
from contextnet.training.run import TrainingRun, resume_run, start_run
from contextnet.training.run_folder import prepare_run_folder
from contextnet.training.step import take_step
from contextnet.training.trainer import TrainingResult, train
from training_data import Blocks, blocks_split, tiny_recipe

CPU = torch.device("cpu")
VALIDATION = Blocks(2, seed=9, name="blocks/val")


def run(recipe: Recipe, root: Path, *, resume: bool = False, count: int = 4) -> TrainingResult:
    folder = prepare_run_folder(root, resume=resume, overwrite=False)
    split = blocks_split(count)
    if resume:
        parts = resume_run(recipe, split, CPU, Checkpoints(root, recipe.checkpoints.keep), lambda line: None)
    else:
        parts = start_run(recipe, split, CPU)
    with Logbook(folder.log, None) as logbook:
        return train(parts, split, VALIDATION, folder, logbook, command="contextnet train")


def log_of(root: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (root / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == event]


def state_of(root: Path) -> dict[str, Tensor]:
    return read_tensors(Checkpoints(root, 1).files()[0], FORMAT)[0]


def equal_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_loss_falls_and_the_run_folder_tells_of_it(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=12, validate_every=6)
    result = run(recipe, tmp_path)
    losses = [line["loss"] for line in log_of(tmp_path, "epoch")]
    # Three classes start near 1.4 · ln 3, with the auxiliary loss at weight 0.4.
    assert losses[0] == pytest.approx(1.4 * math.log(3), rel=0.2)
    assert losses[-1] < 0.8 * losses[0]
    files = {"last.safetensors", "best.safetensors", "states", "recipe.yaml", "log.jsonl", "scores.json"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert log_of(tmp_path, "start")[0]["total_steps"] == 24
    assert [line["step"] for line in log_of(tmp_path, "epoch")] == list(range(2, 25, 2))
    validations = log_of(tmp_path, "validation")
    assert [line["epoch"] for line in validations] == [6, 12]
    best = max(line["miou"] for line in validations)
    assert (result.epochs, result.best_miou) == (12, best)
    assert result.best_epoch in {line["epoch"] for line in validations if line["miou"] == best}
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["miou"] == pytest.approx(best)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_a_tuned_decision_is_in_the_weights_and_not_in_the_training(tmp_path: Path, ema_decay: float | None) -> None:
    plain, tuned = tmp_path / "plain", tmp_path / "tuned"
    for root, wanted in ((plain, False), (tuned, True)):
        run(tiny_recipe(epochs=8, validate_every=4, ema_decay=ema_decay, tune_decision=wanted), root)
    assert equal_bits(state_of(plain), state_of(tuned))
    before, after = (read_weights(root / "last.safetensors") for root in (plain, tuned))
    moved = [name for name, value in before.tensors.items() if not torch.equal(value, after.tensors[name])]
    assert moved == ["classifier.bias"]
    on_training = [evaluate(NetworkPredictor(w.build(), CPU), Blocks(4)).scores.miou for w in (before, after)]
    assert on_training[1] > on_training[0]
    score = evaluate(NetworkPredictor(after.build(), CPU), VALIDATION).scores.miou
    assert log_of(tuned, "validation")[-1]["miou"] == pytest.approx(score)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_best_weights_rebuild_the_network_and_its_score(tmp_path: Path, ema_decay: float | None) -> None:
    result = run(tiny_recipe(epochs=3, ema_decay=ema_decay), tmp_path)
    weights = read_weights(tmp_path / "best.safetensors")
    assert weights.labels == VALIDATION.labels
    assert weights.licence == "no restrictions"
    expected = {
        "recipe": "tiny",
        "trained_on": "blocks/train",
        "validated_on": "blocks/val",
        "epochs": result.best_epoch,
        "command": "contextnet train",
    }
    assert {key: weights.training[key] for key in expected} == expected
    scores = evaluate(NetworkPredictor(weights.build()), VALIDATION).scores
    assert scores.miou == result.best_miou == weights.training["miou"]
    last, state = read_weights(tmp_path / "last.safetensors").tensors, state_of(tmp_path)
    prefix = "averaged." if ema_decay else "network."
    assert all(torch.equal(tensor, state[prefix + name]) for name, tensor in last.items())


RESUMED = [
    {"optimizer": {"kind": "rmsprop"}, "ema_decay": None, "network": {"variant": "cn14-160", "width": 0.25}},
    {"optimizer": {"kind": "adamw", "learning_rate": 0.01}, "ema_decay": 0.95},
    {"optimizer": {"kind": "sgd", "learning_rate": 0.02}, "schedule": {"kind": "cosine", "warmup_steps": 3}},
    {"optimizer": {"kind": "adamw", "learning_rate": 0.01}, "execution": {"precision": "bfloat16"}, "ema_decay": 0.5},
]


@pytest.mark.parametrize("changes", RESUMED)
@pytest.mark.parametrize("stopped_at_step", [3, 5])
def test_resumed_run_is_the_run_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], stopped_at_step: int
) -> None:
    recipe = tiny_recipe(epochs=4, **changes)
    whole = run(recipe, tmp_path / "whole")

    def stop(parts: TrainingRun, batch: Batch, step: int) -> float | None:
        if step == stopped_at_step:
            raise KeyboardInterrupt
        return take_step(parts, batch, step)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "take_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "stopped")
    resumed = run(recipe, tmp_path / "stopped", resume=True)
    assert log_of(tmp_path / "stopped", "start")[1]["step"] == stopped_at_step // 2 * 2
    assert equal_bits(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    for name in ("best.safetensors", "last.safetensors"):
        one, other = (read_weights(tmp_path / folder / name) for folder in ("whole", "stopped"))
        assert equal_bits(dict(one.tensors), dict(other.tensors))


def test_run_stopped_in_a_validation_makes_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(epochs=2, validate_every=2)
    whole = run(recipe, tmp_path / "whole")

    def stop(*parts: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "validate", stop)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "best.safetensors").exists()
    assert replace(run(recipe, tmp_path / "stopped", resume=True), seconds=0) == replace(whole, seconds=0)
    assert (tmp_path / "stopped" / "best.safetensors").exists()
    assert len(log_of(tmp_path / "stopped", "epoch")) == 2


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    whole = run(recipe, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "states").iterdir()}
    assert replace(run(recipe, tmp_path, resume=True), seconds=0) == replace(whole, seconds=0)
    assert {path: path.read_bytes() for path in (tmp_path / "states").iterdir()} == before


def test_run_is_a_function_of_recipe_and_seed(tmp_path: Path) -> None:
    for number, (name, seed) in enumerate((("first", 5), ("same", 5), ("other", 6))):
        torch.manual_seed(number)
        run(tiny_recipe(seed=seed), tmp_path / name)
    assert equal_bits(state_of(tmp_path / "first"), state_of(tmp_path / "same"))
    assert not equal_bits(state_of(tmp_path / "first"), state_of(tmp_path / "other"))


def test_resolved_recipe_runs_again(tmp_path: Path) -> None:
    recipe = tiny_recipe(loss={"class_weighting": "bounded-log"}, ema_decay=0.9)
    (tmp_path / "recipe.yaml").write_text(write_recipe(recipe), encoding="utf-8")
    run(recipe, tmp_path / "first")
    run(read_recipe(tmp_path / "recipe.yaml"), tmp_path / "again")
    assert equal_bits(state_of(tmp_path / "first"), state_of(tmp_path / "again"))


@pytest.mark.parametrize(("count", "batch_size", "steps"), [(5, 2, 2), (3, 8, 1), (4, 1, 4)])
def test_epoch_leaves_out_what_does_not_fill_a_batch(tmp_path: Path, count: int, batch_size: int, steps: int) -> None:
    run(tiny_recipe(epochs=1, batch_size=batch_size), tmp_path, count=count)
    assert log_of(tmp_path, "epoch")[0]["step"] == steps


def test_learning_rate_follows_the_schedule() -> None:
    recipe = tiny_recipe(schedule={"kind": "poly", "power": 1.0, "warmup_steps": 1})
    parts = start_run(recipe, blocks_split(), torch.device("cpu"))
    rates = []
    for step in range(4):
        take_step(parts, _batch(), step)
        rates.append({group["lr"] for group in parts.optimizer.param_groups})
    assert [list(rate) for rate in rates] == [[pytest.approx(0.01 * f)] for f in (1 / 2, 1, 2 / 3, 1 / 3)]


def _batch() -> Batch:
    return draw_batch(blocks_split(), [0, 1], (32, 64), NO_AUGMENTATION, generator_for(0, 0, stream=1))


def _snapshot(parts: TrainingRun) -> dict[str, Tensor]:
    found = {f"network.{n}": t.clone() for n, t in parts.network.state_dict().items()}
    found |= {f"averaged.{n}": t.clone() for n, t in (parts.averaged or {}).items()}
    for index, slots in enumerate(parts.optimizer.state.values()):
        found |= {f"slot.{index}.{key}": slot.clone() for key, slot in slots.items()}
    return found


@pytest.mark.parametrize("fault", ["image", "loss", "gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_step_that_is_not_finite_changes_nothing_and_is_counted(fault: str, value: float) -> None:
    parts = start_run(tiny_recipe(ema_decay=0.9, max_nonfinite_steps=3), blocks_split(), torch.device("cpu"))
    good = bad = _batch()
    assert take_step(parts, good, 0) is not None
    before = _snapshot(parts)
    remove = None
    if fault == "image":
        bad = replace(good, images=good.images.clone())
        bad.images[0, 0, 3, 3] = value
    elif fault == "loss":
        remove = parts.network.classifier.register_forward_hook(lambda module, inputs, output: output * value)
    else:
        # The loss stays finite while a gradient overflows on its way back.
        remove = parts.network.classifier.weight.register_hook(lambda gradient: gradient * value)
    for skipped in (1, 2):
        assert take_step(parts, bad, skipped) is None
        assert (parts.progress.nonfinite_in_a_row, parts.progress.skipped_steps) == (skipped, skipped)
    assert equal_bits(before, _snapshot(parts))
    if remove is not None:
        remove.remove()
    assert take_step(parts, good, 3) is not None
    assert (parts.progress.nonfinite_in_a_row, parts.progress.skipped_steps) == (0, 2)
    assert all(torch.isfinite(tensor).all() for tensor in _snapshot(parts).values())


def test_training_stops_after_too_many_steps_that_are_not_finite(tmp_path: Path) -> None:
    # The first step throws the weights so far that the second and all later losses are NaN.
    recipe = tiny_recipe(optimizer={"kind": "sgd", "learning_rate": 1e30, "momentum": 0.0}, max_nonfinite_steps=4)
    recipe = recipe.model_copy(update={"epochs": 50})
    error = r"NaN or infinite in 4 steps in a row, to step 4 .*lower 'optimizer.learning_rate' or train in float32"
    with pytest.raises(TrainingError, match=error):
        run(recipe, tmp_path)
    assert [line["skipped_steps"] for line in log_of(tmp_path, "epoch")] == [1, 3]
    assert log_of(tmp_path, "epoch")[1]["loss"] is None
    assert all(torch.isfinite(tensor).all() for tensor in state_of(tmp_path).values())
    for name in ("best.safetensors", "last.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in read_weights(tmp_path / name).tensors.values())


@pytest.mark.parametrize(
    ("count", "changes", "error"),
    [
        (4, {"batch_size": 1, "augmentation": {"crop_hw": [32, 32]}}, r"one image with a crop of \(32, 32\) leaves"),
        (1, {"batch_size": 8, "augmentation": {"crop_hw": [16, 8]}}, r"'batch_size' is 8, the split has 1 samples"),
        (
            4,
            {"batch_size": 1, "network": {"variant": "cn14-160", "width": 0.25, "pyramid_pooling": True}},
            "one image with pyramid pooling leaves batch norm a single value",
        ),
        (1, {"batch_size": 8}, None),
        (4, {"batch_size": 1, "augmentation": {"crop_hw": [32, 40]}}, None),
        (2, {"network": {"variant": "cn14-160", "width": 0.25, "pyramid_pooling": True}}, None),
        (2, {"augmentation": {"crop_hw": [8, 8]}}, None),
    ],
)
def test_batch_too_small_for_batch_norm_is_refused(
    tmp_path: Path, count: int, changes: dict[str, Any], error: str | None
) -> None:
    recipe = tiny_recipe(epochs=1, **changes)
    if error:
        with pytest.raises(TrainingError, match=error):
            run(recipe, tmp_path, count=count)
    else:
        assert run(recipe, tmp_path, count=count).epochs == 1


def test_memory_that_does_not_suffice_is_said_in_the_recipes_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(parts: TrainingRun, batch: Batch, step: int) -> float | None:
        torch.empty(1 << 60, dtype=torch.uint8)
        return take_step(parts, batch, step)

    monkeypatch.setattr(trainer, "take_step", greedy)
    error = r"step 0: a batch of 2 crops of 32×64 .* memory of 'cpu'; lower 'batch_size' or 'augmentation.crop_hw'"
    with pytest.raises(TrainingError, match=error):
        run(tiny_recipe(), tmp_path)


def test_other_runtime_errors_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*parts: object) -> float | None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(trainer, "take_step", broken)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        run(tiny_recipe(), tmp_path)
