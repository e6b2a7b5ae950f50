"""What an export writes, compares and leaves behind when it cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, ExportError
from contextnet.export import deployment
from contextnet.export.deployment import Target, deploy, model_of, require_target
from contextnet.export.network_graph import network_graph
from contextnet.models.network import Network
from contextnet.models.storage import Weights
from contextnet.runtime.engines.engine import EngineInfo, Images, Labels
from contextnet.runtime.engines.opening import OpenedEngine
from contextnet.runtime.onnx_file import OnnxFile
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, patches, some_labels

LABELS = np.arange(100, dtype=np.uint8).reshape(10, 10)
"""What the source is made to say of every image."""


class GivenEngine:
    """Gets the first ``wrong`` of 100 pixels wrong, and counts how often it was closed."""

    closed = 0

    def __init__(self, precision: str, wrong: int = 0) -> None:
        self.info = EngineInfo("given", "1", "cpu", precision, 1)
        self._wrong = wrong

    def submit(self, images: Images) -> GivenEngine:
        return self

    def labels(self) -> Labels:
        labels = LABELS.copy()
        labels.reshape(-1)[: self._wrong] += 1
        return labels[None]

    def scores(self) -> NDArray[np.float32]:
        raise AssertionError("labels alone are compared")

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture(scope="module")
def weights() -> Weights:
    return lively_weights(variant("cn14", CLASSES, width=0.125))


@pytest.fixture(scope="module")
def model(weights: Weights) -> OnnxFile:
    return model_of(weights, network_graph(weights.build()), "fp32")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], GivenEngine]:
    """Engines by name and by the precision that they are asked for; there are no others."""
    engines: dict[tuple[str, str | None], GivenEngine] = {}
    spec, labels = variant("cn14", CLASSES), some_labels(CLASSES)
    monkeypatch.setattr(GivenEngine, "closed", 0)
    monkeypatch.setattr(deployment, "source_labels", lambda _, images: [LABELS] * len(images))
    monkeypatch.setattr(deployment, "installed_engines", lambda _: tuple(dict.fromkeys(name for name, _ in engines)))
    monkeypatch.setattr(
        deployment,
        "open_engine",
        lambda _, engine, device, precision: OpenedEngine(engines[engine, precision], spec, labels, "given"),
    )
    return engines


Engines = dict[tuple[str, str | None], GivenEngine]
IMAGES = [patches((10, 10), 1), patches((10, 10), 2)]


def test_each_engine_is_compared_in_float32_and_in_its_own_choice(
    weights: Weights, model: OnnxFile, tmp_path: Path, given: Engines
) -> None:
    given["a", "fp32"], given["a", None] = GivenEngine("int8+fp32", 1), GivenEngine("int8+bf16", 3)
    given["b", "fp32"], given["b", None] = GivenEngine("int8+fp32"), GivenEngine("int8+fp32", 100)
    stored = replace(model, metadata=replace(model.metadata, precision="int8"))
    found = deploy(stored, weights.build(), Target(tmp_path / "m.onnx", "onnx"), IMAGES).parities
    assert [(p.engine, p.precision, p.equal_share, p.tolerance, p.images) for p in found] == [
        ("a", "int8+fp32", 0.99, 0.97, 2),
        ("a", "int8+bf16", 0.97, 0.97, 2),
        ("b", "int8+fp32", 1.0, 0.97, 2),
    ]
    assert GivenEngine.closed == 4


def test_float32_has_to_agree(weights: Weights, model: OnnxFile, tmp_path: Path, given: Engines) -> None:
    given["a", "fp32"], given["a", None] = GivenEngine("fp32", 1), GivenEngine("bf16", 0)
    message = r"in a \(fp32\) 99\.0000% .* expected at least 99\.99%; nothing was written"
    with pytest.raises(ExportError, match=message):
        deploy(model, weights.build(), Target(tmp_path / "m.onnx", "onnx"), IMAGES)
    assert list(tmp_path.iterdir()) == []
    assert GivenEngine.closed == 1


@pytest.mark.parametrize(("wrong", "is_within"), [(20, True), (21, False)])
def test_a_network_that_rounding_changes_may_differ_twice_as_often(
    weights: Weights,
    model: OnnxFile,
    tmp_path: Path,
    given: Engines,
    monkeypatch: pytest.MonkeyPatch,
    wrong: int,
    is_within: bool,
) -> None:
    labels = np.zeros((100, 100), np.uint8)
    reordered = labels.copy()
    reordered[0, :10] = 1

    def source_labels(network: Network, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        weight = next(
            parameter for parameter in network.parameters() if parameter.dim() == 4 and parameter.shape[1] > 1
        )
        is_reordered = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
        return [reordered if is_reordered else labels] * len(images)

    monkeypatch.setattr("test_deployment.LABELS", labels)
    monkeypatch.setattr(deployment, "source_labels", source_labels)
    given["a", "fp32"] = given["a", None] = GivenEngine("fp32", wrong)
    target = Target(tmp_path / "m.onnx", "onnx")
    if is_within:
        (found,) = deploy(model, weights.build(), target, IMAGES).parities
        assert found.equal_share == 0.998
        assert found.tolerance == pytest.approx(0.998)
    else:
        with pytest.raises(ExportError, match=r"99\.7900% .* expected at least 99\.80%; nothing was written"):
            deploy(model, weights.build(), target, IMAGES)


def test_what_the_engine_chooses_itself_is_told(
    weights: Weights, model: OnnxFile, tmp_path: Path, given: Engines
) -> None:
    given["a", "fp32"], given["a", None] = GivenEngine("fp32", 0), GivenEngine("bf16", 1)
    deployment = deploy(model, weights.build(), Target(tmp_path / "m.onnx", "onnx"), IMAGES)
    assert [(p.precision, p.is_within) for p in deployment.parities] == [("fp32", True), ("bf16", False)]
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert GivenEngine.closed == 2


def test_without_an_image_nothing_is_written(weights: Weights, model: OnnxFile, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="there is no image for that; give at least one"):
        deploy(model, weights.build(), Target(tmp_path / "m.onnx", "onnx"), [])
    assert list(tmp_path.iterdir()) == []


def test_a_fault_while_comparing_is_no_fault_of_writing(
    weights: Weights, model: OnnxFile, tmp_path: Path, given: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    given["a", "fp32"] = GivenEngine("fp32")

    def fail(self: GivenEngine, images: Images) -> GivenEngine:
        raise OSError(errno.EIO, "the device is gone")

    monkeypatch.setattr(GivenEngine, "submit", fail)
    with pytest.raises(OSError, match="the device is gone"):
        deploy(model, weights.build(), Target(tmp_path / "m.onnx", "onnx"), IMAGES)
    assert GivenEngine.closed == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [("m.bin", "m.xml"), ("m.xml",), ()])
@pytest.mark.parametrize("failing", ["m.bin", "m.xml"])
def test_a_file_that_cannot_be_moved_leaves_the_pair_of_before(
    weights: Weights,
    model: OnnxFile,
    tmp_path: Path,
    given: Engines,
    monkeypatch: pytest.MonkeyPatch,
    before: Sequence[str],
    failing: str,
) -> None:
    given["a", "fp32"] = given["a", None] = GivenEngine("fp32")
    for name in before:
        (tmp_path / name).write_text(f"the {name} of before")
    replace_file = Path.replace

    def move(self: Path, target: Path) -> Path:
        if (self.parent.parent, self.name, target.name) == (tmp_path, failing, failing):
            raise OSError(errno.EPERM, "Operation not permitted")
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", move)
    with pytest.raises(ExportError, match=r"m\.xml: cannot be written: Operation not permitted; choose another folder"):
        deploy(model, weights.build(), Target(tmp_path / "m.xml", "openvino"), IMAGES)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {n: f"the {n} of before" for n in before}


def test_a_new_pair_replaces_that_of_before(weights: Weights, model: OnnxFile, tmp_path: Path, given: Engines) -> None:
    given["a", "fp32"] = given["a", None] = GivenEngine("fp32")
    for name in ("m.bin", "m.xml"):
        (tmp_path / name).write_text("before")
    found = deploy(model, weights.build(), Target(tmp_path / "m.xml", "openvino"), IMAGES)
    assert found.files == (tmp_path / "m.bin", tmp_path / "m.xml")
    assert set(tmp_path.iterdir()) == set(found.files)
    assert found.file_bytes == sum(file.stat().st_size for file in found.files) > 100_000


def test_a_folder_that_takes_no_draft_is_named(
    weights: Weights, model: OnnxFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(deployment.tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(ExportError, match=r"m\.onnx: cannot be written: Read-only file system; choose another folder"):
        deploy(model, weights.build(), Target(tmp_path / "m.onnx", "onnx"), IMAGES)


@pytest.mark.parametrize(
    ("there", "name", "format_", "message"),
    [
        ([], "m.xml", "onnx", r"m\.xml: a file of this format ends in \.onnx; give --output NAME\.onnx"),
        (["m.onnx/"], "m.onnx", "onnx", r"m\.onnx: is a folder; give a file"),
        ([], "none/m.onnx", "onnx", r"none/m\.onnx: its folder does not exist; make it first"),
        (["m.bin"], "m.xml", "openvino", r"m\.bin: exists without m\.xml, so it is no model's, .*; give another"),
        (["m.bin"], "m.onnx", "onnx", None),
        (["m.bin", "m.xml"], "m.xml", "openvino", None),
        ([], "m.xml", "openvino", None),
    ],
)
def test_a_place_that_will_not_do_is_refused(
    tmp_path: Path, there: list[str], name: str, format_: str, message: str | None
) -> None:
    for file in there:
        (tmp_path / file).mkdir() if file.endswith("/") else (tmp_path / file).touch()
    target = Target(tmp_path / name, format_)
    if message is None:
        require_target(target)
        return
    with pytest.raises(ContextNetError, match=message):
        require_target(target)


def test_a_size_that_no_image_has_is_refused(tmp_path: Path) -> None:
    require_target(Target(tmp_path / "m.onnx", "onnx", (8192, 8192)))
    with pytest.raises(ContextNetError, match=r"^size 8193×8192: an image has at most 67108864 pixels; give a smaller"):
        require_target(Target(tmp_path / "m.onnx", "onnx", (8193, 8192)))
