from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from contextnet.errors import DamagedError, RunError, TrainingError, WeightsError
from contextnet.models.storage import read_tensors, write_tensors
from contextnet.training.averaging import start_average
from contextnet.training.checkpoint import FORMAT, Progress, load_state, save_state
from contextnet.training.muon import Muon, muon_groups
from contextnet.training.optimizer import TensorFlowRMSprop

PROGRESS = Progress(
    epoch=3,
    step=120,
    seconds=61.5,
    best_miou=0.25,
    best_epoch=2,
    validated_epoch=3,
    skipped_steps=4,
    loss_sum=0.1 + 0.2,
    loss_count=7,
    nonfinite_in_a_row=2,
    loss_scale=65536.0,
    scale_growth=11,
)


def network(seed: int, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    parts = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 1))
    return parts.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def optimizer_of(kind: str, parts: nn.Module) -> Optimizer:
    makers: dict[str, Callable[[], Optimizer]] = {
        "rmsprop": lambda: TensorFlowRMSprop(parts.parameters(), 0.01),
        "adamw": lambda: AdamW(parts.parameters(), 0.01),
        "sgd": lambda: SGD(parts.parameters(), 0.01, momentum=0.9),
        "muon": lambda: Muon(muon_groups(parts, [{"params": list(parts.parameters())}]), 0.01),
    }
    return makers[kind]()


def step(parts: nn.Module, optimizer: Optimizer, seed: int) -> None:
    images = torch.rand((2, 3, 6, 6), generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    parts(images).square().mean().backward()
    optimizer.step()


def state_of(parts: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in parts.state_dict().items()}


@pytest.mark.parametrize("kind", ["rmsprop", "adamw", "sgd", "muon"])
@pytest.mark.parametrize("averages", [False, True])
def test_loaded_parts_go_on_bit_by_bit(tmp_path: Path, kind: str, averages: bool) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of(kind, parts)
    for seed in range(3):
        step(parts, optimizer, seed)
    averaged = start_average(network(7)) if averages else None
    save_state(path, parts, averaged, optimizer, PROGRESS)

    other = network(2)
    other_optimizer = optimizer_of(kind, other)
    other_averaged = start_average(network(8)) if averages else None
    assert load_state(path, other, other_averaged, other_optimizer) == PROGRESS
    if averaged is not None and other_averaged is not None:
        assert all(torch.equal(other_averaged[n], t) for n, t in averaged.items())
    for seed in range(3, 6):
        step(parts, optimizer, seed)
        step(other, other_optimizer, seed)
        assert all(torch.equal(t, state_of(other)[n]) for n, t in state_of(parts).items())


def test_slots_and_averages_take_the_memory_layout_of_what_they_belong_to(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of("adamw", parts)
    step(parts, optimizer, 0)
    averaged = start_average(parts)
    save_state(path, parts, averaged, optimizer, PROGRESS)
    other = network(2)
    other_averaged, other_optimizer = start_average(other), optimizer_of("adamw", other)
    before = {name: tensor.data_ptr() for name, tensor in other_averaged.items()}
    load_state(path, other, other_averaged, other_optimizer)
    assert {name: tensor.data_ptr() for name, tensor in other_averaged.items()} == before
    kernel = next(other.parameters())
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert other_optimizer.state[kernel]["exp_avg"].stride() == kernel.stride()
    assert other_optimizer.state[kernel]["step"].ndim == 0


def test_state_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of("rmsprop", parts)
    step(parts, optimizer, 0)
    save_state(path, parts, None, optimizer, PROGRESS)
    stored = load_file(path)
    assert {name.split(".")[0] for name in stored} == {"network", "optimizer"}
    assert {"network.0.weight", "optimizer.0.mean_square", "optimizer.5.momentum"} <= stored.keys()
    slot = optimizer.state[next(parts.parameters())]["mean_square"]
    assert torch.equal(stored["optimizer.0.mean_square"], slot)


@pytest.mark.parametrize("place", ["network", "averaged", "optimizer"])
def test_state_with_nan_is_not_written_and_the_one_before_stays(tmp_path: Path, place: str) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer, averaged = optimizer_of("adamw", parts), start_average(parts)
    step(parts, optimizer, 0)
    save_state(path, parts, averaged, optimizer, PROGRESS)
    before = path.read_bytes()
    slot = optimizer.state[next(parts.parameters())]["exp_avg"]
    weight = parts.state_dict()["0.weight"]
    {"network": weight, "averaged": averaged["0.weight"], "optimizer": slot}[place][0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingError, match=rf"not written: '{place}\.0\..*' holds NaN or infinity; lower the"):
        save_state(path, parts, averaged, optimizer, replace(PROGRESS, epoch=4))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("saved", "loaded", "width", "averages", "error", "message"),
    [
        ("adamw", "sgd", 4, True, RunError, "was written with AdamW, not SGD; resume with the run's own recipe"),
        ("rmsprop", "adamw", 4, True, RunError, "was written with TensorFlowRMSprop, not AdamW"),
        ("adamw", "adamw", 4, False, RunError, "'ema_decay' was switched since; resume with the run's own recipe"),
        ("adamw", "adamw", 5, True, WeightsError, r"'0.bias' has shape \(4,\), the network needs \(5,\); '0.weight'"),
    ],
)
def test_state_of_another_recipe_is_refused(
    tmp_path: Path, saved: str, loaded: str, width: int, averages: bool, error: type[Exception], message: str
) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of(saved, parts)
    step(parts, optimizer, 0)
    save_state(path, parts, start_average(parts), optimizer, PROGRESS)
    other = network(2, width)
    before = state_of(other)
    with pytest.raises(error, match=message):
        load_state(path, other, start_average(other) if averages else None, optimizer_of(loaded, other))
    assert all(torch.equal(before[n], t) for n, t in other.state_dict().items())


def test_state_that_does_not_name_its_optimizer_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of("sgd", parts)
    step(parts, optimizer, 0)
    save_state(path, parts, None, optimizer, PROGRESS)
    tensors, metadata = read_tensors(path, FORMAT)
    write_tensors(path, tensors, {"progress": metadata["progress"]}, FORMAT)
    assert load_state(path, parts, None, optimizer) == PROGRESS


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    optimizer = optimizer_of("sgd", parts)
    save_state(path, parts, None, optimizer, PROGRESS)
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"state\.safetensors: its checksum does not match its content"):
        load_state(path, parts, None, optimizer)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({}, Progress()),
        (
            {"epoch": 3, "step": 120, "seconds": 61.5, "best_miou": 0.25, "best_epoch": 2, "validated_epoch": 2}
            | {"skipped_steps": 1},
            Progress(3, 120, 61.5, 0.25, 2, 2, 1, 0.0, 0, 0, None, 0),
        ),
    ],
)
def test_progress_of_an_older_version_gets_the_defaults(
    tmp_path: Path, stored: dict[str, float], expected: Progress
) -> None:
    path = tmp_path / "state.safetensors"
    parts = network(1)
    tensors = {f"network.{name}": tensor for name, tensor in parts.state_dict().items()}
    write_tensors(path, tensors, {"progress": json.dumps(stored)}, FORMAT)
    assert load_state(path, parts, None, optimizer_of("sgd", parts)) == expected


@pytest.mark.parametrize("metadata", [{}, {"progress": "{"}, {"progress": "[1]"}, {"progress": '{"stride": 1}'}])
def test_progress_that_cannot_be_read_is_refused_before_anything_is_loaded(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    path = tmp_path / "state.safetensors"
    tensors = {f"network.{name}": tensor for name, tensor in network(1).state_dict().items()}
    write_tensors(path, tensors, metadata, FORMAT)
    parts = network(2)
    before = state_of(parts)
    with pytest.raises(WeightsError, match="its progress cannot be read; it was written by another version"):
        load_state(path, parts, None, optimizer_of("sgd", parts))
    assert all(torch.equal(before[n], t) for n, t in parts.state_dict().items())
