"""Sizes, missing backends, exports that differ, foreign files: what a user of the runtime may meet."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from contextnet.errors import ContextNetError, DamagedError, ExportError, MissingDependencyError, ModelFileError
from contextnet.export.deployment import Target, deploy, model_of
from contextnet.export.network_graph import network_graph
from contextnet.models.storage import Weights
from contextnet.runtime.onnx_file import OnnxFile, write_onnx_file
from contextnet.runtime.segmenter import Segmenter
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, patches


@pytest.fixture(scope="module")
def weights() -> Weights:
    return lively_weights(variant("cn14", CLASSES, width=0.125))


@pytest.fixture(scope="module")
def model(weights: Weights) -> OnnxFile:
    return model_of(weights, network_graph(weights.build()), "fp32")


@pytest.fixture(scope="module")
def model_file(model: OnnxFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    write_onnx_file(path, model)
    return path


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5000), (5000, 1), (7, 9), (31, 33), (127, 131), (257, 263)])
def test_every_size_comes_back_as_it_went_in(model_file: Path, engine: str, size_hw: tuple[int, int]) -> None:
    with Segmenter.load(model_file, engine=engine, device="cpu") as segmenter:
        result = segmenter.predict(patches(size_hw))
    assert result.labels.shape == size_hw
    assert result.labels.max() < CLASSES


def test_the_largest_image_is_labelled(model_file: Path) -> None:
    corner = patches((512, 512))
    image = np.zeros((8192, 8192, 3), np.uint8)
    image[-512:, -512:] = corner
    with Segmenter.load(model_file) as segmenter:
        labels = segmenter.predict(image).labels
    assert labels.shape == (8192, 8192)
    assert len(np.unique(labels[-256:, -256:])) > 1
    assert len(np.unique(labels[2000:4000, 2000:4000])) == 1


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [("onnxruntime", "onnxruntime", "onnxruntime"), ("openvino", "openvino", "openvino")],
)
def test_an_engine_that_is_not_installed_is_named(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, engine: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=f"pip install .*{extra}"):
        Segmenter.load(model_file, engine=engine)


def shifted_weights(graph: onnx.GraphProto) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name == "context.head.bias")
    values = onnx.numpy_helper.to_array(tensor) + 3
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))


def shifted_resize(graph: onnx.GraphProto) -> None:
    node = next(node for node in graph.node if node.name == "fusions.0.raised")
    mode = next(attribute for attribute in node.attribute if attribute.name == "coordinate_transformation_mode")
    mode.s = b"asymmetric"


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("damage", [shifted_weights, shifted_resize])
def test_an_export_that_differs_leaves_nothing_behind(
    weights: Weights,
    model: OnnxFile,
    tmp_path: Path,
    damage: Callable[[onnx.GraphProto], None],
    suffix: str,
) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(model.graph)
    damage(other.graph)
    target = Target(tmp_path / f"bad{suffix}", "onnx" if suffix == ".onnx" else "openvino")
    with pytest.raises(ExportError, match=r"differs from its source: .* nothing was written"):
        deploy(OnnxFile(other, model.metadata), weights.build(), target, [patches((128, 128), 1)])
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_leaves_the_file_of_before(weights: Weights, model: OnnxFile, tmp_path: Path) -> None:
    target = Target(tmp_path / "kept.onnx", "onnx")
    write_onnx_file(target.path, model)
    before = target.path.read_bytes()
    other = onnx.ModelProto()
    other.CopyFrom(model.graph)
    shifted_weights(other.graph)
    with pytest.raises(ExportError):
        deploy(OnnxFile(other, model.metadata), weights.build(), target, [patches((128, 128), 1)])
    assert target.path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["kept.onnx"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.zip", b"PK\x03\x04", r"x\.zip"),
        ("x.tar.gz", b"\x1f\x8b", r"x\.tar\.gz"),
        ("x.pt", b"\x80\x02", r"x\.pt"),
        ("x.onnx", b"PK\x03\x04", r"x\.onnx: damaged or no ONNX model"),
        ("x.xml", b"<?xml version='1.0'?><net/>", r"x\.xml"),
        ("x.safetensors", b"", r"x\.safetensors"),
    ],
)
def test_what_is_no_network_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContextNetError, match=message):
        Segmenter.load(tmp_path / name)


def test_a_model_of_another_project_is_refused_by_name(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [value(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    foreign = onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:]))
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ModelFileError, match=r"foreign\.onnx: a model without metadata of this project"):
        Segmenter.load(tmp_path / "foreign.onnx")


def test_weights_outside_the_file_are_never_opened(tmp_path: Path, model: OnnxFile) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 1_000_000)
    other = onnx.ModelProto()
    other.CopyFrom(model.graph)
    tensor = max(other.graph.initializer, key=lambda t: len(t.raw_data))
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, text in (("location", "../secret"), ("length", str(size))):
        tensor.external_data.add(key=key, value=text)
    folder = tmp_path / "inner"
    folder.mkdir()
    write_onnx_file(folder / "m.onnx", OnnxFile(other, model.metadata))
    with pytest.raises(ModelFileError, match=r"m\.onnx: keeps its tensors in other files"):
        Segmenter.load(folder / "m.onnx")


def test_a_damaged_model_file_is_refused_by_name(tmp_path: Path, model_file: Path) -> None:
    content = bytearray(model_file.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "cut.onnx").write_bytes(content)
    with pytest.raises(DamagedError, match=r"cut\.onnx: its checksum does not match its content"):
        Segmenter.load(tmp_path / "cut.onnx")


def outside(size: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name="x", data_type=onnx.TensorProto.FLOAT, dims=[size])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    return tensor


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("place", ["value", "sparse_value"])
def test_constants_outside_the_file_are_never_opened_wherever_they_stand(
    tmp_path: Path, model: OnnxFile, engine: str, place: str
) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 1000)
    values = outside(1)
    constant = values if place == "value" else onnx.SparseTensorProto(values=values, indices=outside(1), dims=[1])
    other = onnx.ModelProto()
    other.CopyFrom(model.graph)
    other.graph.node.append(onnx.helper.make_node("Constant", [], ["x"], **{place: constant}))
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "m.onnx"
    write_onnx_file(path, OnnxFile(other, model.metadata))
    with pytest.raises(ModelFileError, match=rf"m\.onnx: holds operators Constant, attributes Constant\.{place}"):
        Segmenter.load(path, engine=engine, device="cpu")


def test_a_version_that_no_export_writes_is_refused_before_an_engine_sees_it(tmp_path: Path, model: OnnxFile) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(model.graph)
    other.opset_import[0].version = 21
    write_onnx_file(tmp_path / "m.onnx", OnnxFile(other, model.metadata))
    with pytest.raises(ModelFileError, match=r"m\.onnx: holds opset 21 in place of 19; export the network anew"):
        Segmenter.load(tmp_path / "m.onnx")
