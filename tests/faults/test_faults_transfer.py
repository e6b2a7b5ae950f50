"""Weights to start from that do not fit: refused by name, with nothing copied, or taken over as far as they fit."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from contextnet.errors import WeightsError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import ContextNetSpec, variant
from contextnet.training.transfer import load_transfer, transfer
from contextnet.weights import weights_names

SPEC = variant("cn14", CAMVID.num_classes, width=0.25)


def _network() -> ContextNet:
    torch.manual_seed(3)
    return ContextNet(SPEC)


def _weights(spec: ContextNetSpec = SPEC) -> Weights:
    torch.manual_seed(4)
    labels = CAMVID if spec.num_classes == CAMVID.num_classes else CITYSCAPES
    return Weights(spec, labels, {n: torch.full_like(t, 5) for n, t in ContextNet(spec).state_dict().items()})


def _assert_untouched(network: ContextNet) -> None:
    before = _network().state_dict()
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items()), "a part was copied"


def _only_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if n.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("spec", "change", "reason"),
    [
        (
            variant("cn14", 11, width=0.5),
            None,
            "its network 'cn14-x0.5' has no layer that fits 'cn14-x0.25': 'context.stem.conv.weight' with shape "
            "(16, 3, 3, 3) in the file and (8, 3, 3, 3) in the network; give weights of a network of the same variant "
            "and widths",
        ),
        (
            variant("cn14-160", 19),
            None,
            "its network 'cn14-160' has no layer that fits 'cn14-x0.25': 'context.stem.conv.weight' with shape "
            "(16, 3, 3, 3) in the file and (8, 3, 3, 3) in the network; give weights of a network of the same variant "
            "and widths",
        ),
        (
            SPEC,
            lambda tensors: {f"module.{n}": t for n, t in tensors.items()},
            "its network 'cn14-x0.25' has no layer that fits 'cn14-x0.25': the file has no whole layer of it; give "
            "weights of a network of the same variant and widths",
        ),
        (
            SPEC,
            _only_counters,
            "its network 'cn14-x0.25' has no layer that fits 'cn14-x0.25': the file has no whole layer of it; give "
            "weights of a network of the same variant and widths",
        ),
    ],
    ids=["other width", "other variant", "other names", "counters alone"],
)
def test_weights_of_which_nothing_fits_are_refused(
    spec: ContextNetSpec, change: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None, reason: str
) -> None:
    weights, network = _weights(spec), _network()
    if change:
        weights = replace(weights, tensors=change(dict(weights.tensors)))
    with pytest.raises(WeightsError) as caught:
        transfer(network, CAMVID, weights)
    assert str(caught.value) == reason
    _assert_untouched(network)


@pytest.mark.parametrize(
    ("name", "dtype", "found"),
    [
        ("context.stem.conv.weight", torch.int8, "int8, the network needs torch.float32"),
        ("fusions.0.smooth.norm.running_var", torch.complex64, "complex64, the network needs torch.float32"),
        ("details.0.stem.norm.num_batches_tracked", torch.float32, "float32, the network needs torch.int64"),
    ],
)
def test_numbers_of_another_kind_are_refused(name: str, dtype: torch.dtype, found: str) -> None:
    weights, network = _weights(), _network()
    tensors = dict(weights.tensors) | {name: weights.tensors[name].to(dtype)}
    with pytest.raises(WeightsError) as caught:
        transfer(network, CAMVID, replace(weights, tensors=tensors))
    assert str(caught.value) == f"'{name}' has dtype torch.{found}; give weights that a training run wrote"
    _assert_untouched(network)


def test_classifier_that_belies_its_label_set_stays_fresh() -> None:
    """A classifier of 11 rows in a file whose label set has 19 classes: no row of it can be trusted."""
    weights, network = replace(_weights(), labels=CITYSCAPES), _network()
    report = transfer(network, CAMVID, weights)
    assert (report.whole, report.held_back) == (288, ("classifier.weight", "classifier.bias"))
    assert torch.equal(network.classifier.weight, _network().classifier.weight)


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_the_file_that_does_not_fit_is_named(tmp_path: Path, width: float) -> None:
    path, network = tmp_path / "wide.safetensors", _network()
    write_weights(path, _weights(variant("cn14", 11, width=width)))
    with pytest.raises(WeightsError) as caught:
        load_transfer(str(path), network, CAMVID)
    assert str(caught.value).startswith(f"{path}: its network 'cn14{'-x0.5' if width < 1 else ''}' has no layer that ")
    _assert_untouched(network)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, f"is neither a file nor a shipped network ({', '.join(weights_names())})"),
        (pickle.dumps({"classifier.weight": [1.0]}), "a pickle or archive, which may run code when loaded"),
        (b"not weights", "no safetensors file"),
        (b"", "0 bytes long, no safetensors file"),
    ],
    ids=["missing", "pickle", "text", "empty"],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path, network = tmp_path / "start.safetensors", _network()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_transfer(str(path), network, CAMVID)
    assert str(path) in str(caught.value)
    assert str(caught.value).count(str(path)) == 1
    assert expected in str(caught.value)
    _assert_untouched(network)
