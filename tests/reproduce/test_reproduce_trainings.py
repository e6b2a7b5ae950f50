from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from contextnet.benchmark.training_rate import noise_split
from contextnet.errors import ContextNetError, DataError, RecipeError, RunError
from contextnet.models.storage import read_weights
from contextnet.reproduce.accuracy import MEMBERS, NETWORKS_OF_TABLE_6, VARIANTS_OF_TABLE_4
from contextnet.reproduce.begun_run import has_begun
from contextnet.reproduce.budget import Budget, fit_budget, keep_budget, read_budget, share_of_recipe
from contextnet.reproduce.pace import measure_step_s
from contextnet.reproduce.trainings import Subject, Trained, Trainings, plain_name, slug, subject_of, trained_for
from contextnet.stop_signals import Stopped
from contextnet.training.recipe.recipe import read_recipe
from contextnet.training.run_folder import RunFolder
from tiny_trainings import MINUTE_S, SMALL, contents, trainings
from training_data import LABELS, tiny_recipe, write_pairs

STEPS = 2
"""Of an epoch: four images, two a batch."""


@pytest.fixture
def pace(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a step takes, in seconds; an epoch takes a minute."""
    seconds = [MINUTE_S / STEPS]
    monkeypatch.setattr("contextnet.reproduce.trainings.measure_step_s", lambda *_: seconds[0])
    return seconds


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "data", train=4)
    return tmp_path


def run_folder(place: Path) -> Path:
    return place / "runs" / "folder-data" / "small"


def events(place: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run_folder(place) / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


@pytest.mark.parametrize(
    ("minutes", "step_s", "steps", "recipe_epochs", "epochs"),
    [
        (2.5, 15.0, 4, 120, 2),  # an epoch takes a minute
        (1.0, 15.0, 4, 120, 1),
        (0.6, 15.0, 4, 120, 1),  # at least one
        (0.5, 15.0, 4, 120, 1),  # two budgets, and no more
        (0.49, 15.0, 4, 120, 0),
        (1000.0, 15.0, 4, 120, 120),
        (10.0, math.inf, 4, 120, 0),  # memory does not hold a batch
        (10.0, 0.5, 45, 7, 7),
    ],
)
def test_whole_epochs_that_fit(minutes: float, step_s: float, steps: int, recipe_epochs: int, epochs: int) -> None:
    assert fit_budget(minutes, step_s, steps, recipe_epochs) == Budget(minutes, step_s, epochs, recipe_epochs)


def test_a_share_of_a_budget_is_a_share_of_minutes_and_epochs() -> None:
    assert fit_budget(4.0, 15.0, 4, 120, 0.5) == Budget(2.0, 15.0, 2, 120)
    assert fit_budget(1000.0, 15.0, 4, 120, 0.5) == Budget(500.0, 15.0, 60, 120)
    assert fit_budget(0.9, 15.0, 4, 120, 0.5) == Budget(0.45, 15.0, 0, 120), "more than two times the share"


@pytest.mark.parametrize(("share", "recipe_epochs", "epochs"), [(1, 120, 120), (0.5, 120, 60), (1 / 6, 2, 1)])
def test_a_share_of_the_recipe(share: float, recipe_epochs: int, epochs: int) -> None:
    assert share_of_recipe(share, recipe_epochs) == Budget(None, None, epochs, recipe_epochs)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("camvid:/data/camvid", "camvid"),
        ("camvid:../shared/data/CamVid/", "camvid"),
        ("camvid:/data/half", "camvid-half"),
        ("synthetic:256x512", "synthetic-256x512"),
        ("synthetic:64x128,drives=1,fps=0.5", "synthetic-64x128-drives-1-fps-0-5"),
        ("folder:/data/My streets_2.0", "folder-my-streets-2-0"),
        ("folder:街", "folder"),
    ],
)
def test_file_name_of_a_source(source: str, name: str) -> None:
    assert slug(source) == name


def test_file_name_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "streets" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "streets" / "here")
    assert (slug("folder:."), slug("folder:..")) == ("folder-here", "folder-streets")
    assert plain_name("NVIDIA H200 (1)") == "nvidia-h200-1"


@pytest.mark.parametrize(
    ("source", "recipe"),
    [
        ("camvid:x", "plain-camvid"),
        ("synthetic:64x128", "plain-synthetic"),
        ("cityscapes:x", "cn14-cityscapes"),
        ("cityscapes-coarse:x", "cn14-cityscapes"),
        ("kitti:x", "plain-camvid"),
    ],
)
def test_recipe_of_a_kind_of_data(tmp_path: Path, source: str, recipe: str) -> None:
    assert trainings(tmp_path, 1, source=source).recipe_name == recipe


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("network.width=0.5", "the table has its own networks"),
        ("network = {variant: enet}", "the table has its own networks"),
        ("network. variant=enet", "the table has its own networks"),
        ("data.source=camvid:x", "--data gives it"),
        ("name=mine", "name the runs"),
    ],
)
def test_what_the_table_decides_cannot_be_set(tmp_path: Path, change: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        trainings(tmp_path, 1, change)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("augmentation=3", "'augmentation'"),
        ("augmentation.crop_hw=32", "'augmentation.crop_hw'"),
        ("schedule=none", "'schedule'"),
        ("no_such_key=1", "no_such_key"),
        ("batch_size", "write it as key=value"),
    ],
)
def test_a_change_that_makes_no_recipe_is_refused(place: Path, change: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        trainings(place, 1, change).train(SMALL)
    assert not (place / "runs").exists()


def test_only_what_has_a_context_branch_has_an_auxiliary_classifier() -> None:
    assert subject_of("cn14") == Subject("cn14", ("network.variant=cn14",))
    assert subject_of("segnet") == Subject("segnet", ("network.variant=segnet",)), "the recipe knows"
    assert subject_of("cn14-detail").overrides == ("network.variant=cn14-detail", "network.auxiliary=false")


@pytest.mark.parametrize("network", [*NETWORKS_OF_TABLE_6, *VARIANTS_OF_TABLE_4, *MEMBERS])
def test_the_recipes_fit_every_network(place: Path, monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    monkeypatch.setattr("contextnet.reproduce.trainings.measure_step_s", lambda *_: math.inf)
    refused = trainings(place, 1).train(subject_of(network))
    assert refused.remark == "not trained: a batch does not fit into memory here"


def test_data_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown kind 'camvit'"):
        trainings(tmp_path, 1, source="camvit:x").train(SMALL)
    with pytest.raises(DataError, match="nowhere"):
        trainings(tmp_path, 1, source="folder:nowhere").require_training_data()


def test_a_training_and_taking_it_as_it_is(place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trainings(place, 2.5).train(SMALL)
    assert trained == Trained(SMALL, run_folder(place) / "best.safetensors", Budget(2.5, 30.0, 2, 120), 0.0)
    recipe = read_recipe(run_folder(place) / "recipe.yaml")
    assert recipe.name == "small-folder-data"
    assert recipe.data.source == f"folder:{place / 'data'}"
    assert recipe.augmentation.crop_hw == (32, 64), "no larger than the images; the recipe's is 352x480"
    assert (recipe.epochs, recipe.validate_every) == (2, 2)
    assert recipe.schedule.warmup_steps == 0, "a tenth of 4 steps, not the recipe's 200"
    assert not recipe.tensorboard
    assert [event["epoch"] for event in events(place, "epoch")] == [1, 2]
    before = contents(place / "runs")
    monkeypatch.setattr("contextnet.reproduce.trainings.measure_step_s", lambda *_: pytest.fail("it was measured"))
    monkeypatch.setattr("contextnet.reproduce.trainings.train_in_folder", lambda *_, **__: pytest.fail("trained"))
    assert trainings(place, 2.5, "checkpoints.keep=1").train(SMALL) == trained
    assert {name for name, found in contents(place / "runs").items() if before[name] != found} <= {
        "folder-data/small/budget.json"
    }
    with (run_folder(place) / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"event": "epoch", "epoch": 2, "seconds": 93.0}) + '\n{"event": "ep')
    assert trainings(place, 2.5).train(SMALL).minutes == 1.6, "a log that a killed run left"


def test_a_training_that_fails_says_why(place: Path, pace: list[float]) -> None:
    failed = trainings(place, 1, "optimizer.learning_rate=1e30", "clip_norm=null", "max_nonfinite_steps=1").train(SMALL)
    assert (failed.weights, failed.minutes) == (None, None)
    assert failed.remark.startswith("not trained: the loss or its gradient was NaN or infinite in 1 steps in a row")


def test_a_run_knows_the_machines_that_trained_it(
    place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(machine: str, minutes: float) -> str:
        monkeypatch.setattr("contextnet.reproduce.trainings.place_words", lambda device: machine)
        budget = trainings(place, minutes).train(SMALL).budget
        assert budget is not None
        return budget.machine

    assert on("2 cores of an A", 1) == "2 cores of an A"
    assert on("4 cores of a B", 1) == "2 cores of an A", "what has ended was trained where it was trained"
    assert on("4 cores of a B", 3) == "2 cores of an A; 4 cores of a B"
    told = trained_for([trainings(place, 3).train(SMALL)])
    assert told.startswith("Each network was given 3 minutes on 2 cores of an A; 4 cores of a B: as many")


def test_a_longer_budget_goes_on_and_a_shorter_one_is_refused(place: Path, pace: list[float]) -> None:
    assert trainings(place, 1).train(SMALL).budget == Budget(1, 30.0, 1, 120)
    pace[0] = 1e9  # it is not measured again
    longer = trainings(place, 11).train(SMALL)
    assert longer.budget == Budget(11, 30.0, 11, 120)
    assert longer.weights is not None
    assert [event["epoch"] for event in events(place, "epoch")] == list(range(1, 12)), "none is made twice"
    assert [event["step"] for event in events(place, "start")] == [0, STEPS]
    assert [event["epoch"] for event in events(place, "validation")] == [1, 10, 11]
    assert read_weights(run_folder(place) / "last.safetensors").training["of_epochs"] == 11
    assert read_recipe(run_folder(place) / "recipe.yaml").schedule.warmup_steps == 11 * STEPS // 10
    before = contents(place / "runs")
    with pytest.raises(RunError, match="was begun with --budget 11; give that or more, or another --runs"):
        trainings(place, 5).train(SMALL)
    assert contents(place / "runs") == before


def test_what_is_prolonged_elsewhere_is_measured_there(
    place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings(place, 2).train(SMALL)
    monkeypatch.setattr("contextnet.reproduce.trainings.place_words", lambda device: "a fast machine")
    pace[0] /= 4
    assert trainings(place, 3).train(SMALL).budget == Budget(3, 7.5, 12, 120)


def test_a_slower_machine_keeps_what_was_trained(
    place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings(place, 2).train(SMALL)
    monkeypatch.setattr("contextnet.reproduce.trainings.place_words", lambda device: "a slow machine")
    pace[0] *= 4
    assert trainings(place, 3).train(SMALL).budget == Budget(3, 120.0, 2, 120)


def test_data_may_be_spelled_otherwise(place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    first = trainings(place, 1).train(SMALL)
    monkeypatch.chdir(place)
    (place / "runs" / "x").mkdir()
    for source in ("folder:data", "folder:runs/../data/"):
        assert trainings(place, 1, source=source).train(SMALL) == first
    longer = trainings(place, 2, source="folder:data").train(SMALL)
    assert longer.budget == Budget(2, 30.0, 2, 120)
    write_pairs(place / "elsewhere" / "data", train=4)
    with pytest.raises(RunError, match="holds a run with another 'data'"):
        trainings(place, 2, source="folder:elsewhere/data").train(SMALL)


def test_images_that_memory_does_not_hold_are_told_of(
    place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr("contextnet.reproduce.trainings.train_in_folder", fail)
    words = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    assert trainings(place, 1).train(SMALL).remark == "not trained: its images do not fit into memory here"
    words = "shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match=words):
        trainings(place, 1).train(SMALL)


def test_a_share_of_the_budget_is_told_as_the_whole(place: Path, pace: list[float]) -> None:
    half = Subject(SMALL.key, SMALL.overrides, 0.5)
    assert trainings(place, 3).train(half).budget == Budget(1.5, 30.0, 1, 120)
    with pytest.raises(RunError, match="was begun with --budget 3;"):
        trainings(place, 2).train(half)


def test_without_a_budget_the_recipe_decides(place: Path) -> None:
    trained = trainings(place, None, "epochs=2").train(SMALL)
    assert trained.budget == Budget(None, None, 2, 2)
    assert read_recipe(run_folder(place) / "recipe.yaml").validate_every == 1, "as the recipe says"
    assert trainings(place, None, "epochs=3").train(SMALL).budget == Budget(None, None, 3, 3)
    assert [event["epoch"] for event in events(place, "epoch")] == [1, 2, 3]
    with pytest.raises(RunError, match="already has 3 epochs, more than the 2 asked for"):
        trainings(place, None, "epochs=2").train(SMALL)
    with pytest.raises(RunError, match="was begun without --budget; leave it out, or give another --runs"):
        trainings(place, 1).train(SMALL)


def test_a_budget_may_be_left_out_later_and_is_capped_by_the_recipe(place: Path, pace: list[float]) -> None:
    assert trainings(place, 50, "epochs=1").train(SMALL).budget == Budget(50, 30.0, 1, 1)
    assert trainings(place, None, "epochs=2").train(SMALL).budget == Budget(None, None, 2, 2)
    assert [event["epoch"] for event in events(place, "epoch")] == [1, 2]


def test_a_network_that_is_too_large_leaves_nothing_behind(place: Path, pace: list[float]) -> None:
    refused = trainings(place, 0.49).train(SMALL)
    assert refused.weights is None
    assert refused.remark == "not trained: one epoch takes 1.0 minutes here, and there were 0.49"
    pace[0] = math.inf
    assert trainings(place, 0.49).train(SMALL).remark == "not trained: a batch does not fit into memory here"
    assert not (place / "runs").exists()
    pace[0] = MINUTE_S / STEPS
    assert trainings(place, 0.5).train(SMALL).weights is not None, "one epoch, though it takes two budgets"


def test_what_a_killed_run_left_before_its_first_state_does_not_count(place: Path, pace: list[float]) -> None:
    keep_budget(RunFolder(run_folder(place)), Budget(60, 1.0, 99, 120))
    (run_folder(place) / "log.jsonl").write_text('{"event": "start"}\n', encoding="utf-8")
    assert trainings(place, 1, "seed=7").train(SMALL).budget == Budget(1, 30.0, 1, 120)
    assert len(events(place, "start")) == 1


def test_a_stopped_training_goes_on_to_the_same_end(
    place: Path, pace: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextnet.training import trainer

    taken: list[int] = []

    def stop_in_third_step(*values: Any) -> float | None:
        taken.append(1)
        if len(taken) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return take_step(*values)

    take_step = trainer.take_step
    whole = Trainings(**vars(trainings(place, 3)) | {"runs": place / "whole"}).train(SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "take_step", stop_in_third_step)
        with pytest.raises(Stopped, match="stopped by signal 15"):
            trainings(place, 3).train(SMALL)
    pace[0] = 1e9
    assert trainings(place, 3).train(SMALL).budget == whole.budget == Budget(3, 30.0, 3, 120)
    assert [event["step"] for event in events(place, "start")] == [0, 3]
    assert whole.weights is not None
    expected = read_weights(whole.weights.with_name("last.safetensors")).tensors
    found = read_weights(run_folder(place) / "last.safetensors").tensors
    assert all(found[name].equal(tensor) for name, tensor in expected.items())


def test_a_run_of_another_recipe_is_left_as_it_is(place: Path, pace: list[float]) -> None:
    trainings(place, 1).train(SMALL)
    before = contents(place / "runs")
    for change, key in (
        ("optimizer.learning_rate=0.5", "optimizer"),
        ("ema_decay=null", "ema_decay"),
        ("schedule.power=0.5", "schedule"),
        ("execution.precision=bfloat16", "execution"),
        ("batch_size=1", "batch_size"),
        ("seed=3", "seed"),
        ("augmentation.flip=0", "augmentation"),
    ):
        with pytest.raises(RunError, match=f"holds a run with another '{key}'; give another --runs, or remove it"):
            trainings(place, 5, change).train(SMALL)
    with pytest.raises(RunError, match="another 'network'"):
        trainings(place, 5).train(Subject("small", ("network.variant=enet",)))
    assert contents(place / "runs") == before
    assert trainings(place, 1, "schedule.warmup_steps=9").train(SMALL).weights is not None, "it follows the epochs"


@pytest.mark.parametrize("text", ["", "{", '{"minutes": "2", "step_s": 1, "epochs": 1, "recipe_epochs": 1}', "[]"])
def test_a_damaged_note_is_refused(place: Path, pace: list[float], text: str) -> None:
    folder = run_folder(place)
    (folder / "states").mkdir(parents=True)
    (folder / "budget.json").write_text(text, encoding="utf-8")
    assert not has_begun(RunFolder(folder))
    with pytest.raises(RunError, match=r"budget.json: cannot be read: .*; remove the run's folder"):
        read_budget(RunFolder(folder))


def test_a_note_is_read_back(tmp_path: Path) -> None:
    for budget in (Budget(1 / 3, 0.123456789, 4, 120), Budget(None, None, 60, 120)):
        keep_budget(RunFolder(tmp_path / "run"), budget)
        assert read_budget(RunFolder(tmp_path / "run")) == budget


def test_a_folder_without_a_recipe_is_refused(place: Path, pace: list[float]) -> None:
    folder = run_folder(place)
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(b"mine")
    with pytest.raises(ContextNetError, match=r"recipe.yaml: cannot be read"):
        trainings(place, 1).train(SMALL)
    assert (folder / "best.safetensors").read_bytes() == b"mine"


def test_what_networks_were_given_is_told() -> None:
    def given(budget: Budget | None) -> str:
        return trained_for([Trained(subject_of("cn14"), None, budget, None)])

    assert given(Budget(None, None, 120, 120)) == "Each network was trained for the recipe's epochs."
    told = (
        "Each network was given 2.5 minutes: as many whole epochs as fit by the pace of its first steps, one where "
        "that takes up to 2 times as long, "
    )
    assert given(Budget(2.5, 1.0, 3, 120)) == f"{told}and at most the recipe's 120; validation was not counted."


def test_pace_is_the_median_after_a_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, split = tiny_recipe(), noise_split(LABELS, (32, 64), 2)
    times_s = iter((9.0, 1.0, 5.0, 2.0))
    monkeypatch.setattr("contextnet.reproduce.pace.LEAST_S", 0.0)
    monkeypatch.setattr("contextnet.reproduce.pace._step_s", lambda *_: next(times_s))
    assert measure_step_s(recipe, split, torch.device("cpu")) == 2.0
    monkeypatch.setattr("contextnet.reproduce.pace._step_s", lambda *_: 20.5)
    assert measure_step_s(recipe, split, torch.device("cpu")) == 20.5
    compiled = recipe.model_copy(update={"execution": recipe.execution.model_copy(update={"compile": True})})
    times_s = iter((60.0, 1.0, 1.0, 3.0))
    monkeypatch.setattr("contextnet.reproduce.pace._step_s", lambda *_: next(times_s))
    monkeypatch.setattr("contextnet.training.run._compiled", lambda network, device: network)
    assert measure_step_s(compiled, split, torch.device("cpu")) == 1.0, "the first step compiled the network"


def test_pace_of_what_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(words)

    split = noise_split(LABELS, (32, 64), 2)
    monkeypatch.setattr("contextnet.reproduce.pace.take_step", fail)
    words = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    assert measure_step_s(tiny_recipe(), split, torch.device("cpu")) == math.inf
    words = "shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match=words):
        measure_step_s(tiny_recipe(), split, torch.device("cpu"))


def test_a_real_step_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.reproduce.pace.LEAST_S", 0.0)
    split = noise_split(LABELS, (32, 64), 2)
    recipe = tiny_recipe(loss={"class_weights": {"class 1": 3.0}})
    assert 0 < measure_step_s(recipe, split, torch.device("cpu")) < 60
