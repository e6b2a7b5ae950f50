"""Training states whose saving is killed or out of space, or that are damaged: a run goes on from a sound one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import random
import resource
import signal
import warnings
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

import contextnet.models.storage as storage
from contextnet.errors import ContextNetError, DamagedError, WeightsError
from contextnet.training.checkpoint import Checkpoints, Progress, load_state

PATIENCE_S = 60.0


class _Parts:
    """What a state holds, in which every number is the step."""

    def __init__(self, width: int, step: int) -> None:
        self.network = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
        self.averaged = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.optimizer = SGD(self.network.parameters(), 0.1, momentum=0.9)
        for parameter in self.network.parameters():
            self.optimizer.state[parameter] = {"momentum_buffer": torch.empty_like(parameter)}
        for tensor in self.tensors():
            tensor.fill_(step)

    def tensors(self) -> list[Tensor]:
        slots = [self.optimizer.state[p]["momentum_buffer"] for p in self.network.parameters()]
        return [*self.network.state_dict().values(), *self.averaged.values(), *slots]


def _progress(step: int) -> Progress:
    return Progress(epoch=step // 7, step=step, seconds=step / 8, loss_sum=step / 4, loss_count=step % 7)


def _save(root: Path, step: int, keep: int = 3, width: int = 8) -> Path:
    parts = _Parts(width, step)
    return Checkpoints(root, keep).save(parts.network, parts.averaged, parts.optimizer, _progress(step))


def _step_in(path: Path, width: int = 8) -> int:
    """Load a state whole, and give its step after making sure that every part of it is of that step."""
    parts = _Parts(width, -1)
    progress = load_state(path, parts.network, parts.averaged, parts.optimizer)
    assert path.name == f"step-{progress.step:08d}.safetensors"
    assert progress == _progress(progress.step)
    assert all(bool((tensor == progress.step).all()) for tensor in parts.tensors())
    return progress.step


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "states").iterdir())


def _states(*steps: int) -> list[str]:
    return [f"step-{step:08d}.safetensors" for step in steps]


class _Child:
    """A process of its own that runs ``work`` with what it needs to report to this one."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("fork")
        self._reports, reports = context.Pipe(duplex=False)
        self.process = context.Process(target=_work_alone, args=(work, reports, *arguments))
        with warnings.catch_warnings():
            # Later Pythons warn of forking beside threads; the child uses none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        reports.close()

    def next_report(self) -> Any:
        assert self._reports.poll(PATIENCE_S), "the child neither reports nor ends"
        return self._reports.recv()

    def remaining_reports(self) -> list[Any]:
        reports: list[Any] = []
        try:
            while True:
                reports.append(self.next_report())
        except EOFError:
            return reports

    def end(self) -> int:
        self.process.join(PATIENCE_S)
        self._reports.close()
        assert self.process.exitcode is not None, "the child does not end"
        return self.process.exitcode


def _work_alone(work: Callable[..., None], reports: Connection, *arguments: Any) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork
    work(reports, *arguments)


# SIGKILL at any moment of a save.


def _save_for_ever(reports: Connection, root: Path, first_step: int) -> None:
    for step in count(first_step):
        _save(root, step, width=256)
        reports.send(step)


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_a_random_moment_leaves_a_whole_state(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    first_step = 0
    for _ in range(12):
        child = _Child(_save_for_ever, tmp_path, first_step)
        saved = [child.next_report() for _ in range(generator.randrange(1, 4))]
        child.process.join(generator.uniform(0, 0.02))
        child.process.kill()
        saved += child.remaining_reports()
        assert child.end() == -signal.SIGKILL
        step = _step_in(Checkpoints(tmp_path, 3).newest_sound(pytest.fail), width=256)
        assert saved == list(range(first_step, saved[-1] + 1))
        assert step in {saved[-1], saved[-1] + 1}
        first_step = step + 1
    _save(tmp_path, first_step)
    assert _names(tmp_path) == _states(first_step - 2, first_step - 1, first_step), "something is left over"


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def _in_the_middle_of_writing(patch: pytest.MonkeyPatch) -> None:
    def half(file: BinaryIO, payload: bytes) -> None:
        file.write(payload[: len(payload) // 2])
        file.flush()
        _kill()

    patch.setattr(storage, "_write", half)


def _at_sync(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    calls = count(1)
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == number:
            _kill()
        sync(descriptor)

    return lambda patch: patch.setattr(os, "fsync", fsync)


def _at(name: str, *, after: bool) -> Callable[[pytest.MonkeyPatch], None]:
    method = getattr(Path, name)

    def kill(*arguments: Any, **options: Any) -> None:
        if after:
            method(*arguments, **options)
        _kill()

    return lambda patch: patch.setattr(Path, name, kill)


def _save_with_patch(reports: Connection, root: Path, patch_with: Callable[[pytest.MonkeyPatch], None]) -> None:
    patch_with(pytest.MonkeyPatch())
    _save(root, 40)


@pytest.mark.parametrize(
    ("patch_with", "states", "temporaries"),
    [
        (_in_the_middle_of_writing, (10, 20, 30), 1),
        (_at_sync(1), (10, 20, 30), 1),
        (_at("replace", after=False), (10, 20, 30), 1),
        (_at("replace", after=True), (10, 20, 30, 40), 0),
        (_at_sync(2), (10, 20, 30, 40), 0),
        (_at("unlink", after=False), (10, 20, 30, 40), 0),
        (_at("unlink", after=True), (20, 30, 40), 0),
    ],
    ids=[
        "writing",
        "before the sync",
        "before the rename",
        "after the rename",
        "before the folder's sync",
        "before the removal",
        "after the removal",
    ],
)
def test_kill_at_a_chosen_moment_leaves_a_whole_state(
    tmp_path: Path,
    patch_with: Callable[[pytest.MonkeyPatch], None],
    states: tuple[int, ...],
    temporaries: int,
) -> None:
    for step in (10, 20, 30):
        _save(tmp_path, step)
    assert _Child(_save_with_patch, tmp_path, patch_with).end() == -signal.SIGKILL
    names = _names(tmp_path)
    assert [name for name in names if not name.endswith(".tmp")] == _states(*states)
    assert len(names) == len(states) + temporaries
    checkpoints = Checkpoints(tmp_path, 3)
    assert _step_in(checkpoints.newest_sound(pytest.fail)) == states[-1]
    assert [_step_in(path) for path in checkpoints.files()] == [*reversed(states)]
    _save(tmp_path, 50)
    assert _names(tmp_path) == _states(*[*states, 50][-3:])


# The disk is full.


def _save_in_little_space(reports: Connection, root: Path, limit_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    try:
        _save(root, 40)
    except ContextNetError as error:
        reports.send(str(error))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_file_that_may_not_grow_is_a_clear_error_and_the_states_stay(tmp_path: Path, share: float) -> None:
    for step in (10, 20, 30):
        size_bytes = _save(tmp_path, step).stat().st_size
    child = _Child(_save_in_little_space, tmp_path, int(share * size_bytes))
    (message,) = child.remaining_reports()
    assert child.end() == 0
    assert message == (
        f"{tmp_path / 'states' / 'step-00000040.safetensors'}: cannot be written: File too large; "
        "raise the limit on the size of files ('ulimit -f') or choose another disk"
    )
    assert _names(tmp_path) == _states(10, 20, 30)
    assert _step_in(Checkpoints(tmp_path, 3).newest_sound(pytest.fail)) == 30


def _write_to_full_device(patch: pytest.MonkeyPatch) -> None:
    open_path = Path.open

    def open_full(path: Path, mode: str) -> Any:
        if mode == "xb":
            path.touch(exist_ok=False)
            return open_path(Path("/dev/full"), "wb")
        return open_path(path, mode)

    patch.setattr(Path, "open", open_full)


def _fail_with(holder: object, name: str, number: int) -> Callable[[pytest.MonkeyPatch], None]:
    def fail(*arguments: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return lambda patch: patch.setattr(holder, name, fail)


_SPACE = "No space left on device; free some space or choose another folder"


@pytest.mark.parametrize(
    ("patch_with", "expected"),
    [
        pytest.param(
            _write_to_full_device,
            _SPACE,
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full"),
        ),
        (_fail_with(os, "fsync", errno.ENOSPC), _SPACE),
        (_fail_with(Path, "replace", errno.ENOSPC), _SPACE),
        (
            _fail_with(os, "fsync", errno.EDQUOT),
            "Disk quota exceeded; free some of your quota or choose another folder",
        ),
        (_fail_with(os, "fsync", errno.EIO), "Input/output error; check the folder and the disk"),
    ],
    ids=["full device", "full at the sync", "full at the rename", "quota", "broken disk"],
)
def test_full_disk_is_a_clear_error_and_the_states_stay(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patch_with: Callable[[pytest.MonkeyPatch], None],
    expected: str,
) -> None:
    for step in (10, 20, 30):
        _save(tmp_path, step)
    before = {name: (tmp_path / "states" / name).read_bytes() for name in _names(tmp_path)}
    with monkeypatch.context() as patch:
        patch_with(patch)
        with pytest.raises(ContextNetError) as caught:
            _save(tmp_path, 40)
    assert str(caught.value) == f"{tmp_path / 'states' / 'step-00000040.safetensors'}: cannot be written: {expected}"
    assert {name: (tmp_path / "states" / name).read_bytes() for name in _names(tmp_path)} == before
    assert _step_in(Checkpoints(tmp_path, 3).newest_sound(pytest.fail)) == 30
    _save(tmp_path, 40)
    assert _names(tmp_path) == _states(20, 30, 40)


# A truncated or bit-flipped state.


def _flipped(whole: bytes, bit: int) -> bytes:
    content = bytearray(whole)
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def _truncations(whole: bytes) -> list[bytes]:
    data_start = 8 + int.from_bytes(whole[:8], "little")
    generator = random.Random(3)
    ends = [0, 1, 7, 8, 9, data_start - 1, data_start, data_start + 1, len(whole) // 2, len(whole) - 1]
    return [whole[:end] for end in (*ends, *generator.sample(range(len(whole)), 20))]


def _flips(whole: bytes) -> list[bytes]:
    data_start = 8 + int.from_bytes(whole[:8], "little")
    generator = random.Random(4)
    header = generator.sample(range(72, 8 * data_start), 60)
    data = generator.sample(range(8 * data_start, 8 * len(whole)), 60)
    return [_flipped(whole, bit) for bit in (*range(72), *header, *data)]


@pytest.mark.parametrize("damage", [_truncations, _flips])
def test_damaged_state_is_named_and_the_one_before_is_used(
    tmp_path: Path, damage: Callable[[bytes], list[bytes]]
) -> None:
    for step in (10, 20, 30):
        newest = _save(tmp_path, step)
    checkpoints = Checkpoints(tmp_path, 3)
    for content in damage(newest.read_bytes()):
        newest.write_bytes(content)
        said: list[str] = []
        assert _step_in(checkpoints.newest_sound(said.append)) == 20
        (line,) = said
        assert line.startswith(f"{newest}: ")
        assert line.endswith("; 'step-00000020.safetensors' is used instead")
        with pytest.raises(DamagedError, match=r"step-00000030\.safetensors: "):
            _step_in(newest)
    _save(tmp_path, 30)
    assert _step_in(checkpoints.newest_sound(pytest.fail)) == 30


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_states_that_are_all_damaged_are_an_error(tmp_path: Path, keep: int) -> None:
    for step in (10, 20, 30, 40):
        _save(tmp_path, step, keep)
    checkpoints, generator = Checkpoints(tmp_path, keep), random.Random(5)
    for path in checkpoints.files():
        whole = path.read_bytes()
        path.write_bytes(generator.choice(_truncations(whole) + _flips(whole)))
    with pytest.raises(DamagedError) as caught:
        checkpoints.newest_sound(pytest.fail)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'states'}: none of {keep} states is sound, the newest is step-00000040.saf")
    assert message.endswith("; put a copy of one back, or start anew with --overwrite")


# A pickle in place of a state.


class _Payload:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_in_place_of_a_state_is_refused_and_never_executed(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "executed"
    for step in (10, 20):
        newest = _save(tmp_path, step)
    newest.write_bytes(pickle.dumps(_Payload(mark), protocol))
    for read in (lambda: Checkpoints(tmp_path, 3).newest_sound(pytest.fail), lambda: _step_in(newest)):
        with pytest.raises(WeightsError, match=r"step-00000020\.safetensors: a pickle or archive, which may run code"):
            read()
    assert not mark.exists()
