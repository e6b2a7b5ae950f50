from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from contextnet.errors import ContextNetError, DamagedError, ModelFileError
from contextnet.export.deployable import deployable, fix_size
from contextnet.export.network_graph import network_graph
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file, write_onnx_file
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, some_labels

SPEC = variant("cn14", CLASSES, width=0.125)


@pytest.fixture(scope="module")
def model() -> OnnxFile:
    weights = lively_weights(SPEC)
    graph = deployable(network_graph(weights.build()), SPEC.size_multiple)
    return OnnxFile(graph, ModelMetadata(SPEC, weights.labels, "fp32", {"miou": 0.5}, "free"))


@pytest.fixture
def file(tmp_path: Path, model: OnnxFile) -> Path:
    write_onnx_file(tmp_path / "small.onnx", model)
    return tmp_path / "small.onnx"


def test_what_is_written_is_read(file: Path, model: OnnxFile) -> None:
    found = read_onnx_file(file)
    assert found.metadata == model.metadata
    assert found.graph == model.graph
    assert found.size_hw is None


def test_equal_models_make_equal_files(tmp_path: Path, file: Path, model: OnnxFile) -> None:
    write_onnx_file(tmp_path / "again.onnx", model)
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_the_standard_checker_accepts_it(file: Path) -> None:
    onnx.checker.check_model(file, full_check=True)
    keys = [entry.key for entry in onnx.load(file).metadata_props]
    assert keys == ["format", "spec", "labels", "precision", "training", "licence", "checksum"]


def test_a_fixed_size_is_told(tmp_path: Path, model: OnnxFile) -> None:
    write_onnx_file(tmp_path / "fixed.onnx", OnnxFile(fix_size(model.graph, (65, 96), 32), model.metadata))
    assert read_onnx_file(tmp_path / "fixed.onnx").size_hw == (65, 96)


def test_scoring_leaves_out_what_only_labels_need(model: OnnxFile) -> None:
    scoring = onnx.ModelProto.FromString(model.scoring())
    onnx.checker.check_model(scoring, full_check=True)
    assert [output.name for output in scoring.graph.output] == ["scores"]
    assert not {"ArgMax", "Slice"} & {node.op_type for node in scoring.graph.node}
    left_out = {node.name for node in model.graph.graph.node} - {node.name for node in scoring.graph.node}
    assert left_out == {"scores.raised", "scores.full_size", "labels.wide", "labels"}
    assert [output.name for output in model.graph.graph.output] == ["labels", "scores"], "the model itself is as it was"


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_flipped_bit_is_noticed(file: Path, share: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(share * len(content))] ^= 4
    file.write_bytes(content)
    with pytest.raises(ContextNetError, match=r"small\.onnx"):
        read_onnx_file(file)


def test_every_byte_counts(file: Path) -> None:
    """Damage anywhere is either noticed or, in a few bytes that protobuf does not read, changes nothing."""
    intact, whole = file.read_bytes(), read_onnx_file(file)
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(intact), 300):
        content = bytearray(intact)
        content[position] ^= 1 << int(generator.integers(0, 8))
        file.write_bytes(content)
        try:
            found = read_onnx_file(file)
        except ContextNetError:
            continue
        assert (found.graph.graph, found.metadata) == (whole.graph.graph, whole.metadata)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused_by_name(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ContextNetError, match=r"small\.onnx"):
        read_onnx_file(file)


def outside_weights(model: onnx.ModelProto) -> None:
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def outside_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="x", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL, dims=[1])
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["x"], value=tensor))


def without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def another_format(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "contextnet-model-9"


def altered_classes(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == "labels")
    entry.value = json.dumps(some_labels(CLASSES + 1).to_json())


def without_checksum(model: onnx.ModelProto) -> None:
    del model.metadata_props[-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (outside_weights, ModelFileError, "keeps its tensors in other files; a model file is one file, export it anew"),
        (outside_constant, ModelFileError, "keeps its tensors in other files"),
        (without_metadata, ModelFileError, "a model without metadata of this project; make model files with"),
        (another_format, DamagedError, "its checksum does not match its content"),
        (altered_classes, DamagedError, "its checksum does not match its content"),
        (without_checksum, DamagedError, "its metadata lacks the checksum"),
    ],
)
def test_altered_and_foreign_models_are_refused_by_name(
    file: Path, change: Callable[[onnx.ModelProto], None], error: type[ContextNetError], message: str
) -> None:
    altered = onnx.load(file, load_external_data=False)
    change(altered)
    file.write_bytes(altered.SerializeToString())
    with pytest.raises(error, match=rf"small\.onnx: {message}"):
        read_onnx_file(file)


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "my.operators"
    model.opset_import.append(helper.make_opsetid("my.operators", 1))


def nested_graph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], [], then_branch=branch, else_branch=branch))


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "input.1"


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("my", "f", [], [], [], [helper.make_opsetid("", 19)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (custom_operator, "holds operators of 'my.operators'; export the network anew"),
        (nested_graph, "holds graphs inside graphs"),
        (other_input, "holds inputs input.1 and outputs labels, scores"),
        (function, "holds functions"),
    ],
)
def test_graphs_that_no_export_makes_are_refused_even_with_a_right_checksum(
    tmp_path: Path, model: OnnxFile, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    change(graph)
    write_onnx_file(tmp_path / "odd.onnx", OnnxFile(graph, model.metadata))
    with pytest.raises(ModelFileError, match=rf"odd\.onnx: {message}"):
        read_onnx_file(tmp_path / "odd.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no ONNX model, or an empty one"),
        (b"PK\x03\x04 a zip", "damaged or no ONNX model"),
        (b"\x80\x02}q\x00.", "damaged or no ONNX model"),
        (b"not a model at all", "damaged or no ONNX model"),
    ],
)
def test_what_is_no_onnx_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ContextNetError, match=rf"other\.onnx: {message}"):
        read_onnx_file(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.onnx", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ModelFileError, match=f"cannot be read: {reason}"):
            read_onnx_file(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": '"int4"'}, "its metadata has a precision, training or licence of another kind"),
        ({"precision": '["int8"]'}, "its metadata has a precision, training or licence of another kind"),
        ({"training": "[]"}, "its metadata has a precision, training or licence of another kind"),
        ({"spec": "{"}, "its metadata field 'spec' is not JSON"),
        ({"spec": "{}"}, "network description: 'name' is missing"),
        ({"labels": "{}"}, "label set"),
        ({"labels": json.dumps(some_labels(CLASSES + 1).to_json())}, "scores 5 classes but names 6"),
        ({"licence": None}, "its metadata lacks licence"),
    ],
)
def test_metadata_is_read_strictly(changes: dict[str, str | None], message: str) -> None:
    texts = ModelMetadata(SPEC, some_labels(CLASSES), "fp32").to_texts()
    altered = {key: value for key, value in {**texts, **changes}.items() if value is not None}
    with pytest.raises(ModelFileError, match=rf"^m\.onnx: .*{message}"):
        ModelMetadata.from_texts(Path("m.onnx"), altered)


def test_every_precision_is_known() -> None:
    for precision in ("fp32", "fp16", "int8"):
        metadata = ModelMetadata(SPEC, some_labels(CLASSES), precision)
        assert ModelMetadata.from_texts(Path("m.onnx"), metadata.to_texts()) == metadata
