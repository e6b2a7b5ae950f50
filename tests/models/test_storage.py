"""Weights files: everything comes back, nothing is left half-written, and any changed bit is noticed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import contextnet.models.storage as storage
from contextnet.errors import ContextNetError, DamagedError, WeightsError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import (
    Weights,
    load_strictly,
    read_tensors,
    read_weights,
    write_tensors,
    write_weights,
)
from contextnet.spec import ContextNetSpec, variant

SPEC = variant("cn14", 19, width=0.125)
TRAINING = {"trained_on": "cityscapes/train", "miou": 0.659, "command": "contextnet train cn14"}


def _network(spec: ContextNetSpec = SPEC) -> ContextNet:
    """A network in whose state no two tensors are alike, batch-norm statistics included."""
    torch.manual_seed(21)
    network = ContextNet(spec)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 2)
        else:
            tensor.fill_(int(torch.randint(1, 1000, ())))
    return network.eval()


def _weights(network: ContextNet | None = None) -> Weights:
    network = network or _network()
    return Weights(network.spec, CITYSCAPES, network.state_dict(), TRAINING, "non-commercial research")


def _written(folder: Path) -> Path:
    path = folder / "cn14.safetensors"
    write_weights(path, _weights())
    return path


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(tensor, other[name]) and tensor.dtype == other[name].dtype for name, tensor in one.items()
    )


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        variant("cn124", width=0.125, auxiliary=True),
        variant("cn18", width=0.125, pyramid_pooling=True, dropout=0.0),
        variant("cn14-context", width=0.125),
        variant("cn14-detail", width=0.125),
    ],
    ids=lambda spec: spec.name,
)
def test_everything_comes_back(tmp_path: Path, spec: ContextNetSpec) -> None:
    network = _network(spec)
    path = tmp_path / "network.safetensors"
    write_weights(path, _weights(network))
    read = read_weights(path)
    assert (read.spec, read.labels) == (spec, CITYSCAPES)
    assert (read.training, read.licence) == (TRAINING, "non-commercial research")
    assert _equal(read.tensors, network.state_dict())
    rebuilt = read.build()
    assert _equal(rebuilt.state_dict(), network.state_dict())
    assert not rebuilt.training
    image = torch.randint(0, 256, (1, 3, 40, 70), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(rebuilt(image).scores, network(image).scores)


def test_a_rebuilt_network_is_its_own_and_can_be_trained(tmp_path: Path) -> None:
    read = read_weights(_written(tmp_path))
    one, other = read.build(), read.build()
    with torch.no_grad():
        one.classifier.weight.zero_()
    assert float(other.classifier.weight.detach().abs().min()) > 0
    assert float(read.tensors["classifier.weight"].abs().min()) > 0
    assert all(p.requires_grad and p.device.type == "cpu" for p in one.parameters())


def test_building_leaves_the_random_generator_alone(tmp_path: Path) -> None:
    read = read_weights(_written(tmp_path))
    before = torch.get_rng_state()
    read.build()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_network_makes_the_same_file(tmp_path: Path) -> None:
    content = _written(tmp_path).read_bytes()
    assert _written(tmp_path).read_bytes() == content


@pytest.mark.parametrize("filler", range(32))
def test_a_file_is_read_whatever_its_header_length_looks_like(tmp_path: Path, filler: int) -> None:
    """The length's first byte takes all values divisible by eight, the pickle mark 0x80 among them."""
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"weight": torch.ones(2)}, {"filler": "x" * 8 * filler}, "test-1")
    _, metadata = read_tensors(path, "test-1")
    assert metadata["filler"] == "x" * 8 * filler


def test_those_header_lengths_include_the_pickle_mark_and_one_more_the_archives(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    starts = set()
    for filler in range(32):
        write_tensors(path, {"weight": torch.ones(2)}, {"filler": "x" * 8 * filler}, "test-1")
        starts.add(path.read_bytes()[0])
    assert starts == set(range(0, 256, 8))
    write_tensors(path, {"weight": torch.ones(2)}, {"filler": ""}, "test-1")
    missing = int.from_bytes(b"PK", "little") - int.from_bytes(path.read_bytes()[:8], "little")
    write_tensors(path, {"weight": torch.ones(2)}, {"filler": "x" * missing}, "test-1")
    assert path.read_bytes().startswith(b"PK")
    assert read_tensors(path, "test-1")[1]["filler"] == "x" * missing


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3),
        torch.tensor([True, False]),
        torch.empty(0, 4),
        torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        torch.tensor([math.nan, math.inf], dtype=torch.float64),
        torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).transpose(0, 2),
        torch.ones(3, requires_grad=True),
    ],
    ids=["scalar", "bool", "empty", "bfloat16", "not finite", "transposed", "parameter"],
)
def test_training_state_may_hold_any_tensor(tmp_path: Path, tensor: Tensor) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"value": tensor}, {"note": "ü|=\n"}, "test-1")
    tensors, metadata = read_tensors(path, "test-1")
    torch.testing.assert_close(tensors["value"], tensor.detach(), rtol=0, atol=0, equal_nan=True)
    assert metadata == {"note": "ü|=\n", "format": "test-1"}


# Damage.


def test_every_single_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"weight": torch.tensor([1.0, 2.0, 3.0])}, {"progress": '{"epoch": 3}'}, "test-1")
    whole = path.read_bytes()
    read_tensors(path, "test-1")
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"state\.safetensors: "):
            read_tensors(path, "test-1")


def test_a_flipped_bit_in_the_tensors_or_the_metadata_of_weights_names_the_checksum(tmp_path: Path) -> None:
    path = _written(tmp_path)
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) // 2, whole.index(b"non-commercial") + 2, whole.index(b"0.659") + 4):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"cn14\.safetensors: its checksum does not match its content; the file"):
            read_weights(path)


def test_a_cut_or_lengthened_file_is_refused_by_name(tmp_path: Path) -> None:
    path = _written(tmp_path)
    whole = path.read_bytes()
    for content in (*(whole[:end] for end in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1)), whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=r"cn14\.safetensors: "):
            read_weights(path)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "is a folder; give the weights file in it"),
        (lambda path: path.write_bytes(b""), "0 bytes long, no safetensors file; fetch it again"),
        (lambda path: path.write_text("not weights at all"), "truncated or no safetensors file: its header would be"),
        (lambda path: write_tensors(path, {"a": torch.ones(1)}, {}, "other-1"), "format 'other-1'; expected 'context"),
        (lambda path: write_tensors(path, {"a": torch.ones(1)}, {}, storage.FORMAT), "its metadata lacks ['labels', "),
    ],
    ids=["missing", "folder", "empty", "text", "other format", "no metadata"],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, make: Callable[[Path], Any], expected: str) -> None:
    path = tmp_path / "weights.safetensors"
    make(path)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("spec", "{", "its metadata field 'spec' is not JSON"),
        ("spec", "[" * 100_000, "its metadata field 'spec' is not JSON"),
        ("spec", "1" * 5000, "its metadata field 'spec' is not JSON"),
        ("spec", "[1]", "network description: 'the whole' is [1]: Input should be an object"),
        ("spec", json.dumps({**SPEC.to_json(), "num_classes": 0}), "network description: network 'cn14-x0.125': 0 cl"),
        ("spec", json.dumps({**SPEC.to_json(), "num_classes": 18}), "the network scores 18 classes but its label set"),
        ("labels", json.dumps(CAMVID.to_json()), "the network scores 19 classes but its label set has 11"),
        ("labels", "[]", "label set: "),
        ("labels", '{"name": "x", "classes": []}', "label set: classes: "),
        ("normalization", '{"scale": 1}', """normalization {"scale": 1}; this version expects {'scale': 0.0039"""),
        ("training", "[]", "its metadata fields 'training' and 'licence' must be a JSON object and a text"),
        ("licence", "7", "its metadata fields 'training' and 'licence' must be a JSON object and a text"),
    ],
)
def test_wrong_metadata_with_a_right_checksum_is_refused(tmp_path: Path, key: str, value: str, expected: str) -> None:
    path = tmp_path / "weights.safetensors"
    metadata = {
        "spec": json.dumps(SPEC.to_json()),
        "labels": json.dumps(CITYSCAPES.to_json()),
        "normalization": json.dumps(storage.NORMALIZATION),
        "training": "{}",
        "licence": '""',
    }
    write_tensors(path, _network().state_dict(), metadata, storage.FORMAT)
    read_weights(path)
    write_tensors(path, _network().state_dict(), {**metadata, key: value}, storage.FORMAT)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


# Strict loading.


def _without(*names: str) -> dict[str, Tensor]:
    return {n: t for n, t in _network().state_dict().items() if n not in names}


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (_without("classifier.bias"), "'classifier.bias' is missing"),
        (_without("classifier.bias", "fusions.0.smooth.conv.weight"), "'classifier.bias' is missing; 'fusions.0.smoo"),
        ({**_without(), "auxiliary.bias": torch.ones(19)}, "'auxiliary.bias' is not part of the network"),
        (
            {**_without(), "classifier.bias": torch.ones(11)},
            "'classifier.bias' has shape (11,), the network needs (19,)",
        ),
        (
            {**_without(), "classifier.bias": torch.ones(19, dtype=torch.int8)},
            "'classifier.bias' has dtype torch.int8, the network needs torch.float32",
        ),
        (
            {**_without("context.stem.conv.weight"), "extra": torch.ones(1), "classifier.bias": torch.ones(19, 1)},
            "'classifier.bias' has shape (19, 1), the network needs (19,); 'context.stem.conv.weight' is missing; 'ex",
        ),
        ({}, "'classifier.bias' is missing; "),
    ],
)
def test_every_mismatch_is_named_and_nothing_is_loaded(tensors: dict[str, Tensor], expected: str) -> None:
    torch.manual_seed(22)
    network = ContextNet(SPEC)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_strictly(network, tensors, "file.safetensors")
    assert str(caught.value).startswith(f"file.safetensors: {expected}")
    assert _equal(network.state_dict(), before)
    with pytest.raises(WeightsError) as caught:
        replace(_weights(), tensors=tensors).build()
    assert str(caught.value).startswith(f"weights of 'cn14-x0.125': {expected}")


def test_many_mismatches_are_counted() -> None:
    with pytest.raises(WeightsError) as caught:
        load_strictly(_network(), {f"layer{i}": torch.ones(1) for i in range(5)}, "file")
    message = str(caught.value)
    assert message.count(" is ") == 8
    assert message.endswith(f"; and {len(_network().state_dict()) + 5 - 8} more")


def test_strict_loading_takes_what_fits() -> None:
    torch.manual_seed(23)
    network = ContextNet(SPEC)
    load_strictly(network, _network().state_dict(), "file")
    assert _equal(network.state_dict(), _network().state_dict())


# Writing.


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["classifier.bias", "context.stem.norm.running_var"])
def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, name: str, bad: float) -> None:
    path = _written(tmp_path)
    before = path.read_bytes()
    network = _network()
    network.state_dict()[name][-1] = bad
    with pytest.raises(WeightsError) as caught:
        write_weights(path, _weights(network))
    assert str(caught.value) == f"{path}: not written: '{name}' holds NaN or infinity"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"labels": CAMVID}, "the network scores 19 classes but its label set has 11"),
        ({"spec": variant("cn14", 19)}, "not written: 'classifier.weight' has shape (19, 16, 1, 1), the network needs"),
        ({"tensors": _without("classifier.bias")}, "not written: 'classifier.bias' is missing"),
    ],
)
def test_parts_that_do_not_belong_together_are_never_written(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(WeightsError) as caught:
        write_weights(path, replace(_weights(), **change))
    assert str(caught.value).startswith(f"{path}: {expected}")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    path = _written(tmp_path)
    _written(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _written(tmp_path)
    before = path.read_bytes()

    def half(file: Any, payload: bytes) -> None:
        file.write(payload[: len(payload) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_write", half)
    with pytest.raises(ContextNetError, match=r"cn14\.safetensors: cannot be written: No space left on device; free"):
        write_weights(path, _weights())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
