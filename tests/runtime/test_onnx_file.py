from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import contextnet.export.network_graph as network_graph_module
from contextnet.errors import ContextNetError, DamagedError, ModelFileError
from contextnet.export.deployable import deployable, fix_size
from contextnet.export.network_graph import network_graph
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import OnnxFile, read_onnx_file, write_onnx_file
from contextnet.runtime.onnx_vocabulary import IR_VERSION, OPSET
from contextnet.spec import variant
from contextnet.weights.catalogue import find_model_file, model_names
from lively_networks import CLASSES, lively_weights, some_labels

SPEC = variant("cn14", CLASSES, width=0.125)


@pytest.fixture(scope="module")
def model() -> OnnxFile:
    weights = lively_weights(SPEC)
    graph = deployable(network_graph(weights.build()), SPEC.size_multiple, stride=SPEC.output_stride)
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
    write_onnx_file(tmp_path / "fixed.onnx", OnnxFile(fix_size(model.graph, (65, 96), 32, stride=8), model.metadata))
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


def without_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def another_format(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "contextnet-model-9"


def altered_classes(model: onnx.ModelProto) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == "labels")
    entry.value = json.dumps(some_labels(CLASSES + 1).to_json())


def another_producer(model: onnx.ModelProto) -> None:
    model.producer_name = "someone"


def another_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def without_checksum(model: onnx.ModelProto) -> None:
    del model.metadata_props[-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (outside_weights, ModelFileError, "keeps its tensors in other files; a model file is one file, export it anew"),
        (without_metadata, ModelFileError, "a model without metadata of this project; make model files with"),
        (another_format, DamagedError, "its checksum does not match its content"),
        (altered_classes, DamagedError, "its checksum does not match its content"),
        (another_producer, DamagedError, "its checksum does not match its content"),
        (another_opset, DamagedError, "its checksum does not match its content"),
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


def outside_tensor() -> TensorProto:
    tensor = TensorProto(name="x", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL, dims=[1])
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["x"], value=outside_tensor()))


def sparse_constant(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(values=outside_tensor(), indices=outside_tensor(), dims=[1])
    model.graph.node.append(helper.make_node("Constant", [], ["x"], sparse_value=sparse))


def sparse_initializer(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(values=outside_tensor(), indices=outside_tensor(), dims=[1])


def tensor_in_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("value", outside_tensor()))


def tensors_in_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("values", [outside_tensor()]))


def tensor_that_passes_for_an_integer(model: onnx.ModelProto) -> None:
    odd = onnx.AttributeProto(name="axis", type=onnx.AttributeProto.INT, i=1, t=outside_tensor())
    model.graph.node[0].attribute.append(odd)


def text_that_passes_for_a_tensor(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR, s=b"x")


def real_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", 0.5))


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "my.operators"
    model.opset_import.append(helper.make_opsetid("my.operators", 1))


def nested_graph(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], [], then_branch=branch, else_branch=branch))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("my", "f", [], [], [], [helper.make_opsetid("", 19)]))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.name = "steps"


def without_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def another_format_version(model: onnx.ModelProto) -> None:
    model.ir_version = 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (constant, "holds operators Constant, attributes Constant.value, which are neither integers nor texts;"),
        (sparse_constant, "holds operators Constant, attributes Constant.sparse_value, which are neither integers nor"),
        (sparse_initializer, "holds sparse tensors; export the network anew"),
        (tensor_in_a_known_operator, "holds attributes Shape.value, which are neither integers nor texts; export"),
        (tensors_in_a_known_operator, "holds attributes Shape.values, which are neither integers nor texts; export"),
        (
            tensor_that_passes_for_an_integer,
            "holds attributes Shape.axis, which are neither integers nor texts; export",
        ),
        (text_that_passes_for_a_tensor, "holds attributes Shape.value, which are neither integers nor texts; export"),
        (real_attribute, "holds attributes Shape.alpha, which are neither integers nor texts; export"),
        (custom_operator, "holds opset 19 and my.operators 1 in place of 19, operators of 'my.operators'; export the"),
        (nested_graph, "holds operators If, attributes If.else_branch, If.then_branch, which are neither"),
        (function, "holds functions; export the network anew"),
        (training, "holds training information; export the network anew"),
        (another_opset, "holds opset 18 in place of 19; export the network anew"),
        (without_opset, "holds opset none in place of 19; export the network anew"),
        (another_format_version, "holds IR version 10 in place of 9; export the network anew"),
    ],
)
def test_graphs_that_no_export_makes_are_refused_even_with_a_right_checksum(
    tmp_path: Path, model: OnnxFile, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    assert_refused(tmp_path / "odd.onnx", model, change, message)


def assert_refused(path: Path, model: OnnxFile, change: Callable[[onnx.ModelProto], None], message: str) -> None:
    """Change a model's graph, write it with its checksum, and have it refused."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    change(graph)
    write_onnx_file(path, OnnxFile(graph, model.metadata))
    with pytest.raises(ModelFileError) as caught:
        read_onnx_file(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def end_of(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    return next(value for value in (*model.graph.input, *model.graph.output) if value.name == name)


Sizes = list[int | str] | None
"""Numbers, or names of what is free; None is no shape at all."""

N, H, W = "N", "H", "W"
IMAGE, LABELS = "image uint8 (?, ?, ?, 3)", "labels uint8 (?, ?, ?)"
SCORES = f"scores float32 (?, {CLASSES}, ?, ?)"
EXPECTED = f"; expected {IMAGE} and {LABELS}, {SCORES}; export the network anew"


@pytest.mark.parametrize(
    ("name", "becomes", "kind", "sizes", "message"),
    [
        ("image", "input.1", TensorProto.UINT8, [N, H, W, 3], f"reads input.1 uint8 (?, ?, ?, 3) and gives {LABELS},"),
        ("image", "image", TensorProto.FLOAT, [N, H, W, 3], f"reads image float32 (?, ?, ?, 3) and gives {LABELS},"),
        ("image", "image", TensorProto.UINT8, [N, 3, H, W], "reads image uint8 (?, 3, ?, ?) and gives"),
        ("image", "image", TensorProto.UINT8, [N, H, W, 4], "reads image uint8 (?, ?, ?, 4) and gives"),
        ("image", "image", TensorProto.UINT8, [H, W, 3], "reads image uint8 (?, ?, 3) and gives"),
        ("image", "image", TensorProto.UINT8, [2, H, W, 3], "reads image uint8 (2, ?, ?, 3) and gives"),
        ("image", "image", TensorProto.UINT8, [N, 40, W, 3], "reads image uint8 (?, 40, ?, 3) and gives"),
        ("image", "image", TensorProto.UINT8, None, "reads image uint8 () and gives"),
        ("image", "image", 99, [N, H, W, 3], "reads image type 99 (?, ?, ?, 3) and gives"),
        ("labels", "marks", TensorProto.UINT8, [N, H, W], f"reads {IMAGE} and gives marks uint8 (?, ?, ?), {SCORES}"),
        ("labels", "labels", TensorProto.INT64, [N, H, W], f"reads {IMAGE} and gives labels int64 (?, ?, ?), {SCORES}"),
        ("labels", "labels", TensorProto.UINT8, [N, 1, H, W], f"reads {IMAGE} and gives labels uint8 (?, 1, ?, ?), "),
        ("scores", "scores", TensorProto.FLOAT16, [N, CLASSES, H, W], f"reads {IMAGE} and gives {LABELS}, scores floa"),
        ("scores", "scores", TensorProto.FLOAT, [N, CLASSES + 1, H, W], f"reads {IMAGE} and gives {LABELS}, scores fl"),
        ("scores", "scores", TensorProto.FLOAT, [N, "C", H, W], f"reads {IMAGE} and gives {LABELS}, scores float32 (?"),
    ],
)
def test_other_ends_are_refused_even_with_a_right_checksum(
    tmp_path: Path, model: OnnxFile, name: str, becomes: str, kind: int, sizes: Sizes, message: str
) -> None:
    def change(graph: onnx.ModelProto) -> None:
        end = end_of(graph, name)
        end.name = becomes
        end.type.tensor_type.elem_type = kind
        end.type.tensor_type.ClearField("shape")
        for size in sizes or []:
            named = {"dim_value": size} if isinstance(size, int) else {"dim_param": size}
            end.type.tensor_type.shape.dim.add(**named)

    path = tmp_path / "odd.onnx"
    assert_refused(path, model, change, message)
    with pytest.raises(ModelFileError) as caught:
        read_onnx_file(path)
    assert str(caught.value).endswith(EXPECTED)


def more_outputs(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more_outputs, f"reads {IMAGE} and gives {LABELS}, {SCORES}, more float32 (1){EXPECTED}"),
        (no_input, f"reads nothing and gives {LABELS}, {SCORES}{EXPECTED}"),
    ],
)
def test_more_or_fewer_ends_are_refused(
    tmp_path: Path, model: OnnxFile, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    assert_refused(tmp_path / "odd.onnx", model, change, message)


def test_every_kind_of_export_writes_what_is_read(tmp_path: Path) -> None:
    for pyramid, precision in product((False, True), ("fp32", "fp16")):
        spec = variant("cn14", CLASSES, width=0.125, pyramid_pooling=pyramid)
        weights = lively_weights(spec)
        graph = deployable(network_graph(weights.build(), precision), spec.size_multiple, stride=8)
        for each in (graph, fix_size(graph, (65, 96), spec.size_multiple, stride=8)):
            write_onnx_file(tmp_path / "a.onnx", OnnxFile(each, ModelMetadata(spec, weights.labels, precision)))
            assert read_onnx_file(tmp_path / "a.onnx").graph == each
    assert (OPSET, IR_VERSION) == (network_graph_module.OPSET, network_graph_module.IR_VERSION)


@pytest.mark.parametrize("name", model_names())
def test_shipped_files_are_read(name: str) -> None:
    assert read_onnx_file(find_model_file(name)).metadata.precision == ("int8" if name.endswith("-int8") else "fp32")


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
