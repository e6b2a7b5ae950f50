from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.data.augmentation import NO_AUGMENTATION
from contextnet.data.batches import Batch, draw_batch, generator_for
from contextnet.errors import RecipeError
from contextnet.export.network_graph import PIXELS, network_graph
from contextnet.models.contextnet import ContextNet
from contextnet.spec import ContextNetSpec, DetailBranchSpec, SeparableSpec, variant
from contextnet.training import quantization_aware
from contextnet.training.checkpoint import Checkpoints
from contextnet.training.quantization_aware import (
    QuantizationAwareForward,
    round_activation,
    round_weight,
    rounded_inputs,
    rounded_outputs,
    rounded_weights,
)
from contextnet.training.run import TrainingRun, resume_run, start_run
from contextnet.training.step import take_step
from lively_networks import CLASSES, lively_network, patches
from training_data import blocks_split, tiny_recipe

CPU = torch.device("cpu")
SPLIT = blocks_split(8)


def batch_of(*indices: int) -> Batch:
    return draw_batch(SPLIT, list(indices), (32, 64), NO_AUGMENTATION, generator_for(0, 0, stream=1))


def images_of(*seeds: int, size_hw: tuple[int, int] = (64, 96)) -> Tensor:
    return torch.from_numpy(np.stack([patches(size_hw, seed) for seed in seeds])).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        # A step is the greatest magnitude / 127.
        ([1.27, 0.004, 0.006, -0.014], [1.27, 0.0, 0.01, -0.01]),
        ([-2.54, 2.54, 0.031, 0.029], [-2.54, 2.54, 0.04, 0.02]),
        ([-12700.0, 149.0, 151.0, 49.0], [-12700.0, 100.0, 200.0, 0.0]),
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_weights_by_hand(channel: list[float], expected: list[float]) -> None:
    other = [127.0, 1.4, 1.6, -0.4]
    weight = torch.tensor([channel, other]).view(2, 1, 2, 2).requires_grad_()
    rounded = round_weight(weight, 127)
    assert rounded.flatten(1).tolist() == [pytest.approx(expected), pytest.approx([127.0, 1.0, 2.0, 0.0])]
    rounded.backward(torch.arange(8.0).view(2, 1, 2, 2))  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.flatten().tolist() == list(range(8))


@pytest.mark.parametrize(
    ("features", "expected", "passes"),
    [
        # The mean minimum is -1.5, the mean maximum 3.6: steps of 0.02.
        ([[-1.0, 0.031, 2.0], [-2.0, 0.049, 5.2]], [[-1.0, 0.04, 2.0], [-1.5, 0.04, 3.6]], [[1, 1, 1], [0, 1, 0]]),
        # Nothing is below zero, which is a value of its own: steps of 0.01.
        ([[0.504, 0.506, 2.55], [1.0, 2.546, 2.55]], [[0.5, 0.51, 2.55], [1.0, 2.55, 2.55]], [[1, 1, 1], [1, 1, 1]]),
        ([[-2.55, -1.004, -0.1], [-2.55, -1.0, -0.1]], [[-2.55, -1.0, -0.1]] * 2, [[1, 1, 1], [1, 1, 1]]),
        ([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_activations_by_hand(features: list[list[float]], expected: list[list[float]], passes: list[list[int]]) -> None:
    given = torch.tensor(features).view(2, 1, 1, 3).requires_grad_()
    rounded = round_activation(given, per_channel=False)
    assert rounded.flatten(1).tolist() == [pytest.approx(row) for row in expected]
    rounded.sum().backward()  # type: ignore[no-untyped-call]
    assert given.grad is not None
    assert given.grad.flatten(1).tolist() == passes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_channels_have_their_whole_range_each_as_pytorch_rounds_them(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    spread = torch.tensor([0.1, 1.0, 50.0]).view(1, 3, 1, 1)
    features = (torch.randn((4, 3, 5, 7), generator=generator) * spread + 0.5 * spread).to(dtype)
    rounded = round_activation(features, per_channel=True)
    low, high = features.float().amin((0, 2, 3)), features.float().amax((0, 2, 3))
    step = (high - low) / 255
    expected = torch.fake_quantize_per_channel_affine(features.float(), step, (-low / step).round(), 1, 0, 255)
    assert rounded.dtype == dtype
    torch.testing.assert_close(rounded, expected.to(dtype))
    assert max(len(set(rounded[:, channel].flatten().tolist())) for channel in range(3)) <= 256


def test_weights_that_read_the_image_itself_have_half_the_steps() -> None:
    network = ContextNet(variant("cn14", CLASSES, width=0.25, auxiliary=True))
    weights = {f"{n}.weight" for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    assert rounded_weights(network).keys() == weights - {"auxiliary.weight"}
    for name, steps in (("details.0.stem.conv", 63.5), ("context.stem.conv", 127), ("classifier", 127)):
        weight = network.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        torch.testing.assert_close(rounded_weights(network)[f"{name}.weight"], round_weight(weight, steps))
    halves = torch.tensor([63.5, 1.4, -0.6, -63.5]).view(1, 1, 2, 2)
    assert round_weight(halves, 63.5).flatten().tolist() == [64, 1, -1, -64]


def per_tensor(features: Tensor) -> Tensor:
    low = min(0.0, features.amin((1, 2, 3)).mean().item())
    step = (max(0.0, features.amax((1, 2, 3)).mean().item()) - low) / 255
    return torch.fake_quantize_per_tensor_affine(features, step, round(-low / step), 0, 255)


def per_channel(features: Tensor) -> Tensor:
    low, high = features.amin((0, 2, 3)).clamp_max(0), features.amax((0, 2, 3)).clamp_min(0)
    step = (high - low) / 255
    return torch.fake_quantize_per_channel_affine(features, step, (-low / step).round(), 1, 0, 255)


def folded(unit: nn.Module, steps: float) -> tuple[Tensor, Tensor]:
    """The weight with its batch norm in it, rounded after that, and its bias."""
    conv, norm = unit.get_submodule("conv"), unit.get_submodule("norm")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight * gain.view(-1, 1, 1, 1)
    step = weight.abs().amax((1, 2, 3)) / steps
    zeros = torch.zeros(len(step), dtype=torch.int32)
    rounded = torch.fake_quantize_per_channel_affine(weight, step, zeros, 0, -128, 127)
    return rounded, norm.bias - norm.running_mean * gain


@torch.no_grad()
def test_network_is_the_folded_one_rounded_by_pytorch() -> None:
    blocks = (SeparableSpec(10, 2), SeparableSpec(12, 1))
    spec = ContextNetSpec("small", CLASSES, None, (DetailBranchSpec(2, 6, blocks),), ())
    network, images = lively_network(spec), images_of(1, 2) // 8 * 8
    images[..., ::2, ::2] += 3  # which leaves three quarters where four pixels become one
    branch = network.details[0]
    features = F.avg_pool2d(images.float(), 2).round()
    weight, bias = folded(branch.get_submodule("stem"), 127)
    features = per_channel(F.relu6(F.conv2d(features, weight / 255, bias, 2, 1)))
    for index, (block, read) in enumerate(zip(blocks, (per_channel, per_tensor), strict=True)):
        weight, bias = folded(branch.get_submodule(f"blocks.{index}.depthwise"), 127)
        features = per_tensor(F.conv2d(features, weight, bias, block.stride, 1, groups=len(weight)))
        weight, bias = folded(branch.get_submodule(f"blocks.{index}.pointwise"), 127)
        features = read(F.relu6(F.conv2d(features, weight, bias)))
    step = network.classifier.weight.abs().amax((1, 2, 3)) / 127
    zeros = torch.zeros(CLASSES, dtype=torch.int32)
    weight = torch.fake_quantize_per_channel_affine(network.classifier.weight, step, zeros, 0, -128, 127)
    expected = F.conv2d(features, weight, network.classifier.bias)
    found = QuantizationAwareForward(network)(images).scores
    # A value on the edge between two steps may fall to either side.
    assert (found - expected).abs().mean() < 0.02 * (network(images).scores - expected).abs().mean()


def test_what_is_rounded_is_what_nncf_holds_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNCF_CI", "1")  # no telemetry
    nncf = pytest.importorskip("nncf")
    network = lively_network(variant("cn14", CLASSES, width=0.25))
    calibration = nncf.Dataset([{PIXELS: patches((96, 128), seed)[None].astype(np.float32)} for seed in (1, 2)])
    exported = nncf.quantize(network_graph(network), calibration, preset=nncf.QuantizationPreset.MIXED).graph
    steps = {tensor.name: math.prod(tensor.dims) for tensor in exported.initializer}
    held = {n.input[0]: steps[n.input[1]] > 1 for n in exported.node if n.op_type == "QuantizeLinear"}
    names = {module: name for name, module in network.named_modules()}
    rounded = {PIXELS: False, f"{PIXELS}.by4": False}
    for module, is_per_channel in rounded_outputs(network):
        rounded[names[module] + (".relu6" if hasattr(module, "act") else "")] = is_per_channel
    rounded |= {names[m].replace("smooth", "raised"): is_per_channel for m, is_per_channel in rounded_inputs(network)}
    assert rounded == held


@pytest.mark.parametrize(
    "spec",
    [
        variant("cn14", CLASSES, width=0.25),
        variant("cn14", CLASSES, width=0.25, pyramid_pooling=True, auxiliary=True),
        variant("cn124", CLASSES, width=0.25, auxiliary=True),
        variant("cn14-context", CLASSES, width=0.25),
        variant("cn14-detail", CLASSES, width=0.25),
    ],
    ids=lambda spec: f"{spec.name}{' auxiliary' if spec.auxiliary else ''}",
)
def test_every_parameter_of_every_network_gets_a_gradient(spec: ContextNetSpec) -> None:
    network = lively_network(spec).train()
    output = QuantizationAwareForward(network)(images_of(1, 2, size_hw=(128, 128)))
    outputs = [scores for scores in output if scores is not None]
    torch.stack([scores.square().sum() for scores in outputs]).sum().backward()  # type: ignore[no-untyped-call]
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert (output.auxiliary is not None) == spec.auxiliary


@torch.no_grad()
@pytest.mark.parametrize("fails", [False, True])
def test_network_stays_as_it_is(fails: bool) -> None:
    network, images = lively_network(variant("cn14", CLASSES, width=0.25)), images_of(1)
    before, scores = copy.deepcopy(network.state_dict()), network(images).scores
    forward = QuantizationAwareForward(network)
    if fails:
        with pytest.raises(RuntimeError):
            forward(images[:, :2])
    else:
        assert not torch.equal(forward(images).scores, scores)
    assert torch.equal(network(images).scores, scores)
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def run_of(**changes: Any) -> TrainingRun:
    network = {"variant": "cn14-160", "width": 0.25, "dropout": 0.0}
    run = start_run(tiny_recipe(**({"network": network, "epochs": 60} | changes)), SPLIT, CPU)
    run.network.train()
    return run


def take_steps(run: TrainingRun, first: int, last: int) -> None:
    for step in range(first, last):
        assert take_step(run, batch_of(2 * step % 8, (2 * step + 1) % 8), step) is not None


def test_batch_norm_takes_its_statistics_from_the_rounded_pass() -> None:
    plain, aware = run_of(), run_of(quantization_aware=True)
    for run in (plain, aware):
        take_steps(run, 0, 1)
    means = [run.network.state_dict()["fusions.0.smooth.norm.running_mean"] for run in (plain, aware)]
    assert not torch.equal(*means)
    torch.testing.assert_close(*means, rtol=0.5, atol=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_run_is_the_run_never_stopped(tmp_path: Path, precision: str) -> None:
    changes: dict[str, Any] = {"quantization_aware": True, "ema_decay": 0.9, "execution": {"precision": precision}}
    whole, stopped = run_of(**changes), run_of(**changes)
    take_steps(whole, 0, 8)
    take_steps(stopped, 0, 4)
    checkpoints = Checkpoints(tmp_path, 1)
    (tmp_path / "states").mkdir()
    stopped.progress = replace(stopped.progress, step=4, epoch=1)
    checkpoints.save(stopped.network, stopped.averaged, stopped.optimizer, stopped.progress)
    resumed = resume_run(stopped.recipe, SPLIT, CPU, checkpoints, lambda line: None)
    resumed.network.train()
    take_steps(resumed, 4, 8)
    for one, other in ((whole.network.state_dict(), resumed.network.state_dict()), (whole.averaged, resumed.averaged)):
        assert one is not None
        assert other is not None
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_reaches_the_loss(value: float) -> None:
    run, batch = run_of(quantization_aware=True), batch_of(0, 1)
    batch.images[0, 0, 3, 3] = value
    assert take_step(run, batch, 0) is None
    assert run.progress.skipped_steps == 1
    assert all(tensor.isfinite().all() for tensor in run.network.state_dict().values())


@torch.no_grad()
def rounded_loss(network: ContextNet) -> float:
    """The cross-entropy over all samples of the rounded network."""
    everything = batch_of(*range(8))
    scores = QuantizationAwareForward(copy.deepcopy(network).eval())(everything.images).scores
    return F.cross_entropy(F.interpolate(scores, (32, 64), mode="bilinear"), everything.labels).item()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_fine_tuning_with_it_loses_less_by_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights of seven values, which these networks do not take, 0.48 over three seeds became 0.17."""
    monkeypatch.setattr(quantization_aware, "WEIGHT_STEPS", 3)
    monkeypatch.setattr(quantization_aware, "PIXEL_WEIGHT_STEPS", 1.5)
    losses = {False: 0.0, True: 0.0}
    for seed in range(3):
        trained = run_of(seed=seed)
        take_steps(trained, 0, 100)
        for is_aware in losses:
            tuned = run_of(seed=seed, quantization_aware=is_aware, optimizer={"kind": "adamw", "learning_rate": 0.003})
            tuned.network.load_state_dict(trained.network.state_dict())
            take_steps(tuned, 0, 60)
            losses[is_aware] += rounded_loss(tuned.network)
    assert losses[True] < 0.75 * losses[False], losses


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"quantization_aware": True}, None),
        ({"quantization_aware": True, "execution": {"precision": "bfloat16"}}, None),
        ({"quantization_aware": False, "execution": {"compile": True}}, None),
        (
            {"quantization_aware": True, "execution": {"compile": True}},
            "'quantization_aware': the rounding is not compiled with the network; set 'execution.compile' to false",
        ),
        ({"quantization_aware": "int8"}, "'quantization_aware' is 'int8'; expected true or false"),
        ({"quantization_aware": True, "execution": {"compile": 1}}, "'execution.compile' is 1; expected true or false"),
    ],
)
def test_recipe_option(changes: dict[str, Any], error: str | None) -> None:
    if error:
        with pytest.raises(RecipeError, match=error):
            tiny_recipe(**changes)
    else:
        assert tiny_recipe(**changes).quantization_aware is changes.get("quantization_aware", False)
