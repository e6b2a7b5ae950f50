"""A run that is told to stop, or is killed, at any moment goes on as if it had never been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contextnet.models.storage import read_tensors, read_weights
from contextnet.training.checkpoint import FORMAT, Checkpoints
from contextnet.training.logbook import Logbook
from contextnet.training.recipe.recipe import Recipe, write_recipe
from contextnet.training.run import resume_run, start_run
from contextnet.training.run_folder import prepare_run_folder
from contextnet.training.trainer import TrainingResult, train
from training_data import Blocks, blocks_split, tiny_recipe, write_pairs
from training_processes import newest_step, wait_for_step

STEPS_PER_EPOCH = 5
EPOCHS = 3
CPU = torch.device("cpu")


class Interrupting(Logbook):
    """A logbook that sends this process a signal when a step is done, or when a validation begins to be told of."""

    def __init__(self, path: Path, at_step: int, number: int) -> None:
        super().__init__(path, None)
        self._at_step, self._number = at_step, number

    def advance(self, step: int, status: str, images: int) -> None:
        super().advance(step, status, images)
        if step == self._at_step:
            os.kill(os.getpid(), self._number)


class InterruptingBlocks(Blocks):
    """Validation data that sends this process a signal while it is read."""

    def __getitem__(self, index: int) -> Any:
        if index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)


def recipe_of(**changes: Any) -> Recipe:
    return tiny_recipe(epochs=EPOCHS, ema_decay=0.9, validate_every=2, **changes)


def run(recipe: Recipe, root: Path, *, resume: bool, logbook: Logbook | None = None, val: Any = None) -> TrainingResult:
    folder = prepare_run_folder(root, resume=resume, overwrite=False)
    split = blocks_split(2 * STEPS_PER_EPOCH)
    if resume:
        parts = resume_run(recipe, split, CPU, Checkpoints(root, recipe.checkpoints.keep), lambda line: None)
    else:
        parts = start_run(recipe, split, CPU)
    with logbook or Logbook(folder.log, None) as book:
        return train(parts, split, val or Blocks(2, seed=9, name="blocks/val"), folder, book)


def state_of(root: Path) -> dict[str, Tensor]:
    return read_tensors(Checkpoints(root, 1).files()[0], FORMAT)[0]


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at_step", [1, 7, 10, 14])
def test_signal_ends_the_run_after_its_step_and_resuming_gives_the_same_bits(
    tmp_path: Path, number: int, at_step: int
) -> None:
    recipe = recipe_of()
    whole = run(recipe, tmp_path / "whole", resume=False)
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    logbook = Interrupting(tmp_path / "log.jsonl", at_step, number)
    stopped = run(recipe, tmp_path / "stopped", resume=False, logbook=logbook)
    assert stopped.stopped_by == number
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert newest_step(tmp_path / "stopped") == at_step
    resumed = run(recipe, tmp_path / "stopped", resume=True)
    assert resumed.stopped_by is None
    assert (resumed.best_miou, resumed.best_epoch) == (whole.best_miou, whole.best_epoch)
    assert same_bits(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))
    for name in ("best.safetensors", "last.safetensors"):
        one, other = (read_weights(tmp_path / folder / name) for folder in ("whole", "stopped"))
        assert same_bits(dict(one.tensors), dict(other.tensors))


def test_signal_in_a_validation_leaves_it_to_the_resumed_run(tmp_path: Path) -> None:
    recipe = recipe_of()
    whole = run(recipe, tmp_path / "whole", resume=False)
    stopped = run(recipe, tmp_path / "stopped", resume=False, val=InterruptingBlocks(3, seed=9, name="blocks/val"))
    assert (stopped.stopped_by, stopped.epochs, stopped.best_epoch) == (signal.SIGTERM, 2, -1)
    assert not (tmp_path / "stopped" / "best.safetensors").exists()
    assert run(recipe, tmp_path / "stopped", resume=True).best_miou == whole.best_miou
    assert same_bits(state_of(tmp_path / "whole"), state_of(tmp_path / "stopped"))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start ``contextnet train`` on a small data set as a process of its own."""
    write_pairs(tmp_path / "pairs")
    recipe = tiny_recipe(epochs=15, checkpoints={"every_steps": 1, "keep": 2}, validate_every=15)
    (tmp_path / "small.yaml").write_text(write_recipe(recipe), encoding="utf-8")

    def start(output: str, *options: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "contextnet", "train", str(tmp_path / "small.yaml"), *options]
        where = ["--data", f"folder:{tmp_path / 'pairs'}", "--output", str(tmp_path / output)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([*line, *where], env=environment, text=True, stderr=subprocess.PIPE)

    return start


def test_run_killed_three_times_at_random_moments_ends_as_one_left_alone(
    tmp_path: Path, command: Callable[..., subprocess.Popen[str]]
) -> None:
    alone = command("alone")
    chance = random.Random(3)
    for resumed, at_step in enumerate(sorted(chance.sample(range(3, 55), 3))):
        process = command("killed", *(["--resume"] if resumed else []))
        wait_for_step(process, tmp_path / "killed", at_step)
        process.kill()
        assert process.communicate() is not None
        assert process.returncode == -signal.SIGKILL
    last = command("killed", "--resume")
    for process in (alone, last):
        message = process.communicate()[1]
        assert process.returncode == 0, message
    assert same_bits(state_of(tmp_path / "alone"), state_of(tmp_path / "killed"))
    one, other = (read_weights(tmp_path / name / "best.safetensors").tensors for name in ("alone", "killed"))
    assert same_bits(dict(one), dict(other))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_command_line_ends_with_the_signals_exit_status(
    tmp_path: Path, command: Callable[..., subprocess.Popen[str]], number: int, status: int
) -> None:
    process = command("run")
    wait_for_step(process, tmp_path / "run", 3)
    process.send_signal(number)
    message = process.communicate()[1]
    assert process.returncode == status, message
    assert "Traceback" not in message
    assert "go on with --resume" in message
