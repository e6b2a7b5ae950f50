from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from contextnet.data.augmentation import AugmentationRanges
from contextnet.data.batches import Batch, draw_batch, generator_for
from contextnet.errors import TrainingError
from contextnet.training.run import TrainingRun, start_run
from contextnet.training.step import take_step
from training_data import blocks_split, tiny_recipe

CPU = torch.device("cpu")
STILL = {"variant": "cn14-160", "width": 0.25, "dropout": 0.0}


def run_of(count: int = 4, **changes: Any) -> TrainingRun:
    return start_run(tiny_recipe(network=STILL, **changes), blocks_split(count), CPU)


def batch_of(count: int, hw: tuple[int, int] = (32, 64)) -> Batch:
    return draw_batch(blocks_split(count), list(range(count)), hw, AugmentationRanges(), generator_for(0, 0, stream=1))


def gradient_of(run: TrainingRun, batch: Batch, *, statistics: bool = True) -> Tensor:
    """What one step of plain descent with rate 1 moves the weights by: the gradient itself.

    Without ``statistics`` batch norm takes its running ones: of a few cells of a tiny image its own would amplify the
    least rounding.
    """
    run.network.train(statistics)
    before = torch.cat([p.detach().flatten() for p in run.network.parameters()])
    assert take_step(run, batch, 0) is not None
    return before - torch.cat([p.detach().flatten() for p in run.network.parameters()])


DESCENT = {"kind": "sgd", "learning_rate": 1.0, "momentum": 0.0, "weight_decay": 0.0}
CONSTANT = {"kind": "constant"}


def test_parts_of_a_batch_give_the_gradient_of_the_whole() -> None:
    """Batch norm apart, which here uses its running statistics, so that the parts cannot differ by it."""
    batch = batch_of(4)
    # Parts with unequally many labelled pixels show whether each is weighed by its own.
    batch.labels[0, :, :48] = 255
    batch.labels[3] = 255
    gradients, losses = [], []
    for parts in (1, 2, 4):
        run = run_of(batch_size=4, optimizer=DESCENT, schedule=CONSTANT, execution={"accumulation": parts})
        gradients.append(gradient_of(run, batch, statistics=False))
        losses.append(take_step(run, batch, 0))
    assert gradients[0].abs().max() > 1e-3
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        torch.testing.assert_close(gradient, gradients[0], atol=2e-6, rtol=1e-4)
        assert loss == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(("limit", "clipped"), [(0.01, True), (1e6, False)])
def test_gradient_is_scaled_down_to_its_limit(limit: float, clipped: bool) -> None:
    free = gradient_of(run_of(optimizer=DESCENT, schedule=CONSTANT), batch_of(4))
    held = gradient_of(run_of(optimizer=DESCENT, schedule=CONSTANT, clip_norm=limit), batch_of(4))
    expected = free * (limit / free.norm()) if clipped else free
    assert free.norm() > 0.1
    torch.testing.assert_close(held, expected, atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize("execution", [{"channels_last": False}, {"precision": "bfloat16"}, {"precision": "float16"}])
def test_ways_to_compute_a_step_agree(execution: dict[str, Any]) -> None:
    """Layout changes rounding only; eight bits of mantissa leave the direction of the gradient."""
    plain = gradient_of(run_of(optimizer=DESCENT, schedule=CONSTANT), batch_of(4), statistics=False)
    run = run_of(optimizer=DESCENT, schedule=CONSTANT, execution=execution)
    other = gradient_of(run, batch_of(4), statistics=False)
    cosine = torch.nn.functional.cosine_similarity(plain, other, dim=0)
    assert cosine > (0.9999 if "precision" not in execution else 0.9)
    kernels = [p for p in run.network.parameters() if p.ndim == 4 and min(p.shape) > 1]
    layouts = {p.is_contiguous(memory_format=torch.channels_last) for p in kernels}
    assert layouts == {execution.get("channels_last", True)}


def test_float16_scales_the_loss_and_backs_off_where_it_overflows() -> None:
    run = run_of(optimizer={"kind": "sgd", "learning_rate": 0.01}, execution={"precision": "float16"})
    start = run.scaler.get_scale()
    assert start == 65536.0
    run.scaler.load_state_dict(run.scaler.state_dict() | {"scale": 2.0**60})
    before = [p.clone() for p in run.network.parameters()]
    assert take_step(run, batch_of(4), 0) is None
    assert run.scaler.get_scale() == 2.0**59
    assert all(torch.equal(p, b) for p, b in zip(run.network.parameters(), before, strict=True))
    run.scaler.load_state_dict(run.scaler.state_dict() | {"scale": 1024.0})
    assert take_step(run, batch_of(4), 1) is not None
    assert not all(torch.equal(p, b) for p, b in zip(run.network.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("count", "changes", "error"),
    [
        (4, {"batch_size": 4, "execution": {"accumulation": 3}}, "'batch_size' .*4.* 'execution.accumulation'"),
        (2, {"batch_size": 8, "execution": {"accumulation": 4}}, "2"),
        (
            4,
            {"batch_size": 4, "execution": {"accumulation": 4}, "augmentation": {"crop_hw": [32, 32]}},
            r"one image with a crop of \(32, 32\)",
        ),
    ],
)
def test_parts_that_cannot_be_are_refused(count: int, changes: dict[str, Any], error: str) -> None:
    with pytest.raises(TrainingError, match=error):
        run_of(count, **changes)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(TrainingError, match=r"'execution.compile' needs a C\+\+ compiler, .* 'no-such-compiler'"):
        run_of(execution={"compile": True})
