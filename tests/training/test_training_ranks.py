"""Training by two processes against one: the same batches, the same losses, the same scores, one set of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_processes import run_ranks
from torch import Tensor

from contextnet.data.batches import draw_batch, generator_for
from contextnet.data.decoding import decode_split
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.training.checkpoint import Checkpoints
from contextnet.training.logbook import Logbook
from contextnet.training.ranks import ALONE, Ranks, part_of
from contextnet.training.recipe.recipe import Recipe, write_recipe
from contextnet.training.run import start_run
from contextnet.training.run_folder import RunFolder, prepare_run_folder
from contextnet.training.step import take_step
from contextnet.training.trainer import TrainingResult, train
from training_data import Blocks, tiny_recipe, write_pairs
from training_processes import newest_step, wait_for_step

LOSS_TOLERANCE = 0.01
"""Relative, of an epoch's mean loss, while it falls by a tenth.

Sums are taken in another order, and a network of fresh weights makes much of that: the first step agrees to rounding.
"""


def recipe_of(**changes: Any) -> Recipe:
    still = {"variant": "cn14-160", "width": 0.25, "dropout": 0.0}
    # Plain descent: Adam divides by the gradient's size, which turns rounding of small gradients into whole steps.
    descent = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    crop = {"crop_hw": [64, 128], "scale": [0.8, 1.25]}
    base: dict[str, Any] = {"network": still, "optimizer": descent, "augmentation": crop, "batch_size": 8, "epochs": 3}
    return tiny_recipe(**(base | changes))


RECIPES = {
    "synchronized": recipe_of(execution={"sync_batch_norm": True}, loss={"class_weighting": "bounded-log"}),
    "in parts": recipe_of(execution={"sync_batch_norm": True, "accumulation": 2}, clip_norm=0.5),
    "apart": recipe_of(),
}
SPLIT = decode_split(Blocks(32, (64, 128)))


def train_with(recipe: Recipe, root: Path, ranks: Ranks) -> TrainingResult:
    """Five images to validate on, which two processes share unevenly."""
    folder = prepare_run_folder(root, resume=False, overwrite=False) if ranks.is_first else RunFolder(root)
    with Logbook(folder.log if ranks.is_first else None, None) as logbook:
        validation = Blocks(5, seed=9, name="blocks/val")
        run = start_run(recipe, SPLIT, torch.device("cpu"), ranks)
        return train(run, SPLIT, validation, folder, logbook)


def first_step(recipe: Recipe, ranks: Ranks) -> tuple[float, Tensor]:
    """The loss of the first step and what it moves the weights by."""
    run = start_run(recipe, SPLIT, torch.device("cpu"), ranks)
    before = torch.cat([p.detach().flatten() for p in run.network.parameters()])
    indices = list(range(recipe.batch_size))
    augmentation = recipe.augmentation
    generator = generator_for(0, 0, stream=1)
    part = part_of(len(indices), ranks)
    batch = draw_batch(SPLIT, indices, augmentation.crop_hw, augmentation.ranges(), generator, part)
    # Fewer labelled pixels in one part show whether each process is weighed by its own.
    if indices[part][-1] == indices[-1]:
        batch.labels[-1] = 255
        batch.labels[-2, :40] = 255
    loss = take_step(run, batch, 0)
    assert loss is not None
    return loss, torch.cat([p.detach().flatten() for p in run.network.parameters()]) - before


@dataclass(frozen=True)
class Work:
    """What each process does; pickled on the way to it."""

    root: Path

    def __call__(self, ranks: Ranks) -> tuple[float, Tensor]:
        for name, recipe in RECIPES.items():
            assert train_with(recipe, self.root / name, ranks).epochs == recipe.epochs
        return first_step(RECIPES["synchronized"], ranks)


def log_of(root: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (root / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == event]


@dataclass(frozen=True)
class Trained:
    """Where one process and where two trained by every recipe, and their first steps."""

    one: Path
    two: Path
    step_of_one: tuple[float, Tensor]
    steps_of_two: list[tuple[float, Tensor]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    ended = run_ranks(Work(two), 2, tmp_path_factory.mktemp("results"), timeout_s=120)
    assert [process.code for process in ended] == [0, 0], ended[1].errors
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = Work(one)(ALONE)
    torch.set_num_threads(threads)
    return Trained(one, two, alone, [process.result for process in ended])


def test_the_first_step_of_two_processes_is_that_of_one(trained: Trained) -> None:
    loss, change = trained.step_of_one
    assert change.norm() > 0.01
    for other_loss, other_change in trained.steps_of_two:
        assert other_loss == pytest.approx(loss, rel=1e-6)
        assert (other_change - change).norm() < 1e-3 * change.norm()


def test_two_processes_give_the_loss_curve_of_one(trained: Trained) -> None:
    losses = [[line["loss"] for line in log_of(root / "synchronized", "epoch")] for root in (trained.one, trained.two)]
    assert losses[0][-1] < 0.92 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=LOSS_TOLERANCE)


def test_scores_of_two_processes_are_those_of_one(trained: Trained) -> None:
    for name in RECIPES:
        network = read_weights(trained.two / name / "last.safetensors").build()
        scores = evaluate(NetworkPredictor(network), Blocks(5, seed=9, name="blocks/val")).scores
        assert log_of(trained.two / name, "validation")[-1]["miou"] == scores.miou


@pytest.mark.parametrize("name", ["apart", "in parts"])
def test_batch_norm_over_parts_differs_from_one_process_but_learns(trained: Trained, name: str) -> None:
    one, two = ([line["loss"] for line in log_of(root / name, "epoch")] for root in (trained.one, trained.two))
    assert one != two
    assert two == pytest.approx(one, rel=0.1)
    assert two[-1] < two[0]


def test_one_process_writes_for_both(trained: Trained) -> None:
    for name in RECIPES:
        folder = trained.two / name
        assert [line["processes"] for line in log_of(folder, "start")] == [2]
        assert len(log_of(folder, "epoch")) == len(log_of(folder, "validation")) == 3
        assert Checkpoints(folder, 1).newest_sound(pytest.fail).exists()


def launch(root: Path, *options: str) -> subprocess.Popen[str]:
    """Start ``contextnet train`` as two processes by torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = ["-m", "contextnet", "train", str(root / "small.yaml"), "--data", f"folder:{root / 'pairs'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*torchrun, *line, "--output", str(root / "run"), *options], env=environment, text=True, stderr=subprocess.PIPE
    )


def children_of(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(number) for number in listed]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_torchrun_trains_stops_resumes_and_ends_when_a_process_dies(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", val=3)
    recipe = recipe_of(epochs=4000, checkpoints={"every_steps": 1, "keep": 2}, validate_every=4000)
    (tmp_path / "small.yaml").write_text(write_recipe(recipe), encoding="utf-8")

    process = launch(tmp_path)
    wait_for_step(process, tmp_path / "run", 3)
    process.send_signal(signal.SIGTERM)
    message = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert "go on with --resume" in message
    stopped = newest_step(tmp_path / "run")

    process = launch(tmp_path, "--resume")
    wait_for_step(process, tmp_path / "run", stopped + 3)
    victim, other = children_of(process)
    os.kill(victim, signal.SIGKILL)
    message = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    assert not Path(f"/proc/{other}").exists()
    assert "another process of the run has ended" in message or "SIGTERM" in message
    assert [line["step"] for line in log_of(tmp_path / "run", "start")] == [0, stopped]
