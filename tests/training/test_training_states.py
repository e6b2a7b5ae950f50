"""The states in a run's folder: which are kept, which is resumed, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD

from contextnet.errors import DamagedError, RunError, TrainingError, WeightsError
from contextnet.models.storage import write_tensors
from contextnet.training.checkpoint import FORMAT, Checkpoints, Progress, load_state

PROGRESS = Progress(epoch=3, seconds=61.5, loss_sum=0.5, loss_count=2)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(5, 3)


def save_steps(folder: Path, steps: list[int], keep: int = 9) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    parts = network(1)
    optimizer = SGD(parts.parameters(), 0.01)
    for number in steps:
        path = checkpoints.save(parts, None, optimizer, replace(PROGRESS, step=number))
        assert path == folder / "states" / f"step-{number:08d}.safetensors"
        assert path.is_file()
    return checkpoints


def steps_of(checkpoints: Checkpoints) -> list[int]:
    return [int(path.name.removeprefix("step-").removesuffix(".safetensors")) for path in checkpoints.files()]


@pytest.mark.parametrize(
    ("saved", "keep", "left"),
    [
        ([10], 1, [10]),
        ([10, 20], 1, [20]),
        ([10, 20, 30], 3, [30, 20, 10]),
        ([10, 20, 30, 40, 50], 3, [50, 40, 30]),
        ([20, 20, 20], 1, [20]),
        ([99_999_999, 100_000_000, 100_000_001], 2, [100_000_001, 100_000_000]),
        # A run that came back to an older state: the newer ones are neither counted nor removed.
        ([10, 20, 30, 15], 3, [30, 20, 15, 10]),
        ([30, 10], 1, [30, 10]),
        ([30, 10, 20], 1, [30, 20]),
        ([10, 20, 30, 15, 20, 30, 40], 2, [40, 30]),
    ],
)
def test_the_newest_states_are_kept(tmp_path: Path, saved: list[int], keep: int, left: list[int]) -> None:
    assert steps_of(save_steps(tmp_path / "run", saved, keep)) == left


def test_loading_a_state_of_the_run_gives_its_progress(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10, 20])
    parts = network(2)
    progress = load_state(checkpoints.newest_sound(pytest.fail), parts, None, SGD(parts.parameters(), 0.01))
    assert progress == replace(PROGRESS, step=20)
    assert all(torch.equal(t, network(1).state_dict()[n]) for n, t in parts.state_dict().items())


def test_a_state_that_cannot_be_removed_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert steps_of(save_steps(tmp_path, [10, 20, 30], 1)) == [30, 20, 10]


FOREIGN = (
    "notes.txt",
    "step-10.safetensors",
    "step-000000010.safetensors",
    "step-0000001x.safetensors",
    "old-step-00000010.safetensors",
    "step-00000010.safetensors.bak",
    ".notes.txt.0123abcd.tmp",
    ".step-00000010.safetensors.swp",
    ".step-00000010.safetensors.0123abcz.tmp",
)
LEFTOVERS = (".step-00000010.safetensors.0123abcd.tmp", ".step-00000099.safetensors.ffffffff.tmp")


def add_foreign_files(folder: Path) -> None:
    for name in FOREIGN + LEFTOVERS:
        (folder / "states" / name).write_text(name)
    (folder / "states" / "step-00000070.safetensors").mkdir()


def test_files_of_others_are_passed_over_and_stay(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10])
    add_foreign_files(tmp_path)
    assert steps_of(checkpoints) == [10]
    assert checkpoints.newest_sound(pytest.fail).name == "step-00000010.safetensors"
    assert {path.name for path in (tmp_path / "states").iterdir()} >= {*LEFTOVERS}, "reading changes nothing"
    save_steps(tmp_path, [20], 1)
    present = {path.name for path in (tmp_path / "states").iterdir()}
    assert present == {*FOREIGN, "step-00000020.safetensors", "step-00000070.safetensors"}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x10
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


FLIPPED = "its checksum does not match its content"
CUT = "damaged or hostile safetensors file: "
EMPTY = "0 bytes long, no safetensors file"


@pytest.mark.parametrize(
    ("damages", "used", "said"),
    [
        ({}, 30, []),
        ({10: flip, 20: cut}, 30, []),
        ({30: flip}, 20, [(30, FLIPPED)]),
        ({30: cut}, 20, [(30, CUT)]),
        ({30: empty, 20: flip}, 10, [(30, EMPTY), (20, FLIPPED)]),
    ],
)
def test_the_newest_sound_state_is_used_and_damaged_ones_are_named(
    tmp_path: Path, damages: dict[int, Callable[[Path], None]], used: int, said: list[tuple[int, str]]
) -> None:
    checkpoints = save_steps(tmp_path, [10, 20, 30])
    for number, damage in damages.items():
        damage(tmp_path / "states" / f"step-{number:08d}.safetensors")
    lines: list[str] = []
    assert checkpoints.newest_sound(lines.append).name == f"step-{used:08d}.safetensors"
    for line, (number, what) in zip(lines, said, strict=True):
        assert line.startswith(f"{tmp_path / 'states' / f'step-{number:08d}.safetensors'}: {what}")
        assert line.endswith(f"; 'step-{used:08d}.safetensors' is used instead")
        assert "\n" not in line


def test_saving_the_step_again_replaces_a_damaged_state(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10, 20])
    flip(checkpoints.files()[0])
    assert checkpoints.newest_sound(str).name == "step-00000010.safetensors"
    save_steps(tmp_path, [20])
    assert checkpoints.newest_sound(pytest.fail).name == "step-00000020.safetensors"


def test_states_that_are_all_damaged_are_an_error(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10, 20])
    for path in checkpoints.files():
        flip(path)
    with pytest.raises(DamagedError) as caught:
        checkpoints.newest_sound(pytest.fail)
    assert str(caught.value) == (
        f"{tmp_path / 'states'}: none of 2 states is sound, the newest is step-00000020.safetensors: {FLIPPED}; "
        "put a copy of one back, or start anew with --overwrite"
    )


def test_run_without_a_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        Checkpoints(tmp_path, 3).newest_sound(pytest.fail)
    assert str(caught.value) == f"{tmp_path / 'states'}: holds no state to resume; start the run without --resume"


def test_a_sound_file_of_another_format_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10])
    path = tmp_path / "states" / "step-00000020.safetensors"
    write_tensors(path, {"weight": torch.ones(1)}, {}, FORMAT.replace("1", "2"))
    with pytest.raises(
        WeightsError, match=r"20\.safetensors: format 'contextnet-training-state-2'; expected"
    ) as caught:
        checkpoints.newest_sound(pytest.fail)
    assert not isinstance(caught.value, DamagedError)


def test_state_with_nan_is_not_saved_and_the_states_before_stay(tmp_path: Path) -> None:
    checkpoints = save_steps(tmp_path, [10, 20], 2)
    parts = network(1)
    parts.state_dict()["weight"].fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"step-00000030\.safetensors: not written: 'network\.weight' holds NaN"):
        checkpoints.save(parts, None, SGD(parts.parameters(), 0.01), replace(PROGRESS, step=30))
    assert steps_of(checkpoints) == [20, 10]


def test_states_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "states").write_text("in the way")
    with pytest.raises(RunError, match="states: cannot be made: File exists; give another folder"):
        save_steps(tmp_path, [10])
