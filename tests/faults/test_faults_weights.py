"""Weights that are unsafe, hostile or another network's: refused by name, never executed, never half loaded."""

from __future__ import annotations

import builtins
import gzip
import importlib.util
import io
import json
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contextnet.cli.optional import require_torch
from contextnet.errors import MissingDependencyError, WeightsError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import (
    FORMAT,
    NORMALIZATION,
    Weights,
    load_strictly,
    read_tensors,
    read_weights,
    write_tensors,
    write_weights,
)
from contextnet.spec import MAX_BLOCKS, MAX_WIDTH, BottleneckSpec, ContextNetSpec, SeparableSpec, variant
from contextnet.weights.catalogue import summarize_weights

# A pickle payload in place of weights.


class _Payload:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self._mark), "w")


def _torch_save(mark: Path, *, as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(2), "more": _Payload(mark)}, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


def _zip_of_pickle(mark: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Payload(mark)))
    return buffer.getvalue()


_PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    **{f"pickle-{p}": lambda mark, p=p: pickle.dumps(_Payload(mark), protocol=p) for p in range(6)},
    "torch-zip": lambda mark: _torch_save(mark, as_zip=True),
    "torch-legacy": lambda mark: _torch_save(mark, as_zip=False),
    "zip": _zip_of_pickle,
    "gzip": lambda mark: gzip.compress(pickle.dumps(_Payload(mark))),
}


@pytest.mark.parametrize("kind", _PAYLOADS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_pickle_is_refused_and_never_executed(tmp_path: Path, kind: str, suffix: str) -> None:
    mark, path = tmp_path / "executed", tmp_path / f"weights{suffix}"
    payload = _PAYLOADS[kind](mark)
    if kind.startswith("pickle"):
        pickle.loads(payload).close()
        assert mark.exists(), "the payload must work, or the test shows nothing"
        mark.unlink()
    path.write_bytes(payload)
    unsafe = "a pickle or archive, which may run code when loaded; only safetensors is read"
    text = kind in {"pickle-0", "pickle-1"}
    expected = "truncated or no safetensors file: its header would be " if text else unsafe
    readers: list[Callable[[], Any]] = [lambda: read_weights(path), lambda: read_tensors(path, FORMAT)]
    for read in readers:
        with pytest.raises(WeightsError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: {expected}")
    with pytest.raises(WeightsError, match=rf"weights\{suffix}: no safetensors file: "):
        summarize_weights(path)
    assert not mark.exists()


def test_a_pickle_inside_the_metadata_stays_text(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "state.safetensors"
    payload = pickle.dumps(_Payload(mark), protocol=0).decode("ascii")
    write_tensors(path, {"weight": torch.ones(1)}, {"progress": payload}, "test-1")
    assert read_tensors(path, "test-1")[1]["progress"] == payload
    assert not mark.exists()


# Hostile headers.


def _file(header: bytes | Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "U8") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [end - start] if shape is None else shape, "data_offsets": [start, end]}


_HOSTILE: dict[str, bytes] = {
    "length of 2^64 - 1": _file(b"{}", length=2**64 - 1),
    "length of 2^63": _file(b"{}", length=2**63),
    "length past the end": _file(b"{}", length=3),
    "length past the limit": _file({"a": _entry(0, 1)}, b"1", length=100_000_001),
    "length of 0": _file(b"", b"{}", length=0),
    "no JSON": _file(b"{this is not JSON}"),
    "not UTF-8": _file(b'{"\xff": 1}'),
    "a list": _file([1, 2]),
    "a number": _file(b"7       "),
    "nested": _file(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "nested metadata": _file(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "metadata that is no text": _file({"__metadata__": {"format": 1}, "a": _entry(0, 1)}, b"1"),
    "metadata twice": _file(b'{"__metadata__":{"format":"x"},"__metadata__":{"format":"y"}}'),
    "metadata key twice": _file(b'{"__metadata__":{"format":"x","format":"%s"}}' % FORMAT.encode()),
    "tensor twice": _file(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}',
        b"12",
    ),
    "overlapping offsets": _file({"a": _entry(0, 2), "b": _entry(1, 3)}, b"123"),
    "equal offsets": _file({"a": _entry(0, 2), "b": _entry(0, 2)}, b"12"),
    "hole between tensors": _file({"a": _entry(0, 1), "b": _entry(2, 3)}, b"123"),
    "bytes left over": _file({"a": _entry(0, 1)}, b"123"),
    "negative offset": _file({"a": _entry(-1, 1)}, b"12"),
    "end before start": _file({"a": _entry(2, 1, [1])}, b"12"),
    "offset past the end": _file({"a": _entry(0, 5)}, b"123"),
    "offset past 2^64": _file({"a": _entry(0, 2**70)}, b"123"),
    "shape unlike offsets": _file({"a": _entry(0, 4, [5])}, b"1234"),
    "negative shape": _file({"a": _entry(0, 4, [-4])}, b"1234"),
    "shape that overflows": _file({"a": _entry(0, 0, [2**62, 2**62])}),
    "empty shape that overflows": _file({"a": _entry(0, 0, [0, 2**62, 2**62])}),
    "unknown dtype": _file({"a": _entry(0, 1, dtype="PYOBJ")}, b"1"),
    "dtype that PyTorch lacks": _file({"a": _entry(0, 1, [2], dtype="F4")}, b"1"),
}


@pytest.mark.parametrize("kind", _HOSTILE)
def test_a_hostile_header_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(_HOSTILE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError) as caught:
            read_weights(path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(
        (f"{path}: damaged or hostile safetensors file: ", f"{path}: truncated or no safetensors")
    )
    assert "\n" not in message
    assert peak_bytes < 64e6, "nothing is allocated that the header only claims"


@pytest.mark.parametrize(
    "header", [{}, {"__metadata__": None}, {"__metadata__": {}}, {"__metadata__": {"format": "pt"}}]
)
def test_a_plain_safetensors_file_is_foreign(tmp_path: Path, header: dict[str, Any]) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(_file({**header, "a": _entry(0, 1)}, b"1"))
    with pytest.raises(WeightsError, match=rf"foreign\.safetensors: format '(none|pt)'; expected '{FORMAT}'"):
        read_weights(path)


def _giant() -> ContextNetSpec:
    """The largest network that a description may ask for, 8.6 GB of kernels."""
    spec = variant("cn14")
    assert spec.context is not None
    stages = (BottleneckSpec(6, MAX_WIDTH, MAX_WIDTH, 2),) * 2 + (BottleneckSpec(6, MAX_WIDTH, MAX_WIDTH, 1),) * 62
    assert len(stages) == MAX_BLOCKS
    return replace(spec, context=replace(spec.context, stem=MAX_WIDTH, blocks=stages, head=MAX_WIDTH))


def test_a_small_file_that_claims_a_giant_network_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "giant.safetensors"
    metadata = {
        "spec": json.dumps(_giant().to_json()),
        "labels": json.dumps(CITYSCAPES.to_json()),
        "normalization": json.dumps(NORMALIZATION),
        "training": "{}",
        "licence": '""',
    }
    write_tensors(path, {"classifier.bias": torch.ones(19)}, metadata, FORMAT)
    weights = read_weights(path)
    with torch.autograd.profiler.profile(profile_memory=True) as profile, pytest.raises(WeightsError) as caught:
        weights.build()
    allocated = [event.self_cpu_memory_usage for event in profile.function_events or []]
    assert str(caught.value).startswith("weights of 'cn14': 'classifier.weight' is missing; ")
    assert sum(max(size, 0) for size in allocated) < 1e6


# Another network's weights.


def _state(spec: ContextNetSpec, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return ContextNet(spec).state_dict()


SMALL = variant("cn14", 19, width=0.125)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (
            replace(SMALL, num_classes=11),
            [
                "'classifier.bias' has shape (11,), the network needs (19,)",
                "'classifier.weight' has shape (11, 16, 1, 1)",
            ],
        ),
        (replace(SMALL, auxiliary=True), ["'auxiliary.bias' is not part of the network", "'auxiliary.weight' is not"]),
        (variant("cn14-detail", 19, width=0.125), ["'context.blocks.0.depthwise.conv.weight' is missing", "; and "]),
        (variant("cn14", 19, width=0.25), ["'classifier.weight' has shape (19, 32, 1, 1), the network needs (19, 16,"]),
    ],
    ids=["classes", "auxiliary", "one branch", "width"],
)
def test_weights_of_another_network_name_each_mismatch(other: ContextNetSpec, expected: list[str]) -> None:
    network = ContextNet(SMALL)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_strictly(network, _state(other), "other.safetensors")
    message = str(caught.value)
    assert message.startswith("other.safetensors: ")
    assert all(part in message for part in expected)
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items()), "a part was loaded"


def test_a_label_set_of_other_size_than_the_network_is_refused(tmp_path: Path) -> None:
    weights = Weights(SMALL, CAMVID, _state(SMALL))
    with pytest.raises(WeightsError, match="the network scores 19 classes but its label set has 11"):
        write_weights(tmp_path / "weights.safetensors", weights)


def _pruned() -> ContextNetSpec:
    """cn14 as pruning by hand leaves it: every layer with a width of its own, odd ones among them."""
    spec = variant("cn14", 11, pyramid_pooling=True)
    assert spec.context is not None
    blocks = tuple(
        BottleneckSpec(b.expansion, b.hidden // 2 - index, b.width - 3 * index, b.stride)
        for index, b in enumerate(spec.context.blocks)
    )
    detail = replace(
        spec.details[0], stem=27, blocks=(SeparableSpec(51, 2), SeparableSpec(77, 2), SeparableSpec(99, 1))
    )
    context = replace(spec.context, stem=29, blocks=blocks, head=101)
    return replace(spec, name="cn14-pruned", context=context, details=(detail,), fusion_widths=(87,))


@pytest.mark.parametrize("spec", [variant("cn14", 11, width=2), _pruned()], ids=["twice as wide", "pruned by hand"])
def test_wide_and_pruned_networks_are_rebuilt_from_their_own_file(tmp_path: Path, spec: ContextNetSpec) -> None:
    path = tmp_path / "network.safetensors"
    torch.manual_seed(5)
    network = ContextNet(spec).eval()
    write_weights(path, Weights(spec, CAMVID, network.state_dict()))
    rebuilt = read_weights(path).build()
    assert rebuilt.spec == spec
    image = torch.randint(0, 256, (1, 3, 45, 70), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(rebuilt.full_size_scores(image), network.full_size_scores(image))
    counted = sum(p.numel() for p in network.parameters())
    assert summarize_weights(path).parameters == counted
    with pytest.raises(WeightsError, match="has shape"):
        load_strictly(ContextNet(variant("cn14", 11)), network.state_dict(), str(path))


# PyTorch is not installed.


def test_the_command_line_without_pytorch_names_the_extra(tmp_path: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; from contextnet.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "info", "cn14"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: 'contextnet info' needs PyTorch, which is not installed; pip install 'contextnet[train]'\n"
    )


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_torch("train")
    found = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> Any:
        return None if name == "torch" else found(name, package)

    monkeypatch.setattr("contextnet.cli.optional.find_spec", without_torch)
    with pytest.raises(MissingDependencyError) as caught:
        require_torch("train")
    assert str(caught.value) == (
        "'contextnet train' needs PyTorch, which is not installed; pip install 'contextnet[train]'"
    )
