from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import pytest
from deployed_networks import SPEC, small_ir, small_model, unreadable_model

import contextnet.runtime.model_bytes as model_bytes
import contextnet.runtime.openvino_ir as module
from contextnet.errors import ContextNetError, DamagedError, MissingDependencyError, ModelFileError
from contextnet.runtime.onnx_file import OnnxFile
from contextnet.runtime.openvino_ir import read_openvino_ir, write_openvino_ir
from contextnet.runtime.openvino_package import openvino_core
from contextnet.spec import variant
from lively_networks import CLASSES, some_labels


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The contents of an .xml and its .bin."""
    path = tmp_path_factory.mktemp("ir") / "small.xml"
    write_openvino_ir(path, small_model())
    return path.read_bytes(), path.with_suffix(".bin").read_bytes()


@pytest.fixture
def path(tmp_path: Path, written: tuple[bytes, bytes]) -> Path:
    path = tmp_path / "small.xml"
    for suffix, content in zip((".xml", ".bin"), written, strict=True):
        path.with_suffix(suffix).write_bytes(content)
    return path


def signed(xml: bytes, weights: bytes) -> bytes:
    """An .xml as whoever knows this project could write it: its last line is right."""
    checksum = hashlib.sha256(f"{len(xml)}|".encode() + xml + weights).hexdigest()
    return xml + f"<!-- contextnet sha256:{checksum} -->\n".encode()


def without_last_line(xml: bytes) -> bytes:
    return xml[: xml.rindex(b"<!--")]


@pytest.mark.parametrize("size_hw", [None, (40, 70)])
def test_what_is_written_is_read(tmp_path: Path, size_hw: tuple[int, int] | None) -> None:
    for precision in ("fp32", "int8"):
        model = small_model(precision, size_hw)
        found = small_ir(tmp_path, model)
        assert found.metadata == model.metadata
        assert (found.path, found.size_hw) == (tmp_path / "small.xml", size_hw)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.bin", "small.xml"]


def test_weights_stay_float32(path: Path) -> None:
    graph = openvino_core().read_model(path)
    constants = [op for op in graph.get_ops() if op.get_type_name() == "Constant"]
    kernels = {op.get_element_type().get_type_name() for op in constants if len(op.shape) >= 4}
    assert kernels == {"f32"}


def test_openvino_alone_reads_it_and_its_metadata(path: Path) -> None:
    graph = openvino_core().read_model(path)
    assert graph.get_rt_info(["contextnet", "format"]).astype(str) == "contextnet-model-1"
    assert [sorted(value.get_names()) for value in graph.outputs] == [["labels"], ["scores"]]


def test_every_flipped_bit_is_noticed(path: Path, written: tuple[bytes, bytes]) -> None:
    generator = np.random.default_rng(5)
    for file, intact in zip((path, path.with_suffix(".bin")), written, strict=True):
        positions = [0, len(intact) - 1, len(intact) - 40, *generator.integers(0, len(intact), 60)]
        for position in positions:
            content = bytearray(intact)
            content[position] ^= 1 << int(generator.integers(0, 8))
            file.write_bytes(content)
            with pytest.raises(DamagedError, match=r"small\.xml: (it and its \.bin do not match|its last line, the)"):
                read_openvino_ir(path)
        file.write_bytes(intact)
    read_openvino_ir(path)


@pytest.mark.parametrize(
    ("suffix", "keep", "error", "message"),
    [
        (".xml", 0.0, ModelFileError, "small.xml: is not OpenVINO's format, or not a model of this project; make"),
        (".xml", 0.5, ModelFileError, "small.xml: is not OpenVINO's format, or not a model of this project; make"),
        (".xml", 0.9999, DamagedError, "small.xml: its last line, the checksum, is missing; fetch it and its .bin"),
        (".bin", 0.0, DamagedError, "small.xml: it and its .bin do not match their checksum; one was damaged or"),
        (".bin", 0.999, DamagedError, "small.xml: it and its .bin do not match their checksum; one was damaged or"),
        (".xml", None, ModelFileError, "small.xml: cannot be read: No such file or directory; a model is two files"),
        (".bin", None, ModelFileError, "small.bin: cannot be read: No such file or directory; a model is two files"),
    ],
)
def test_what_is_cut_off_or_missing_is_named(
    path: Path, suffix: str, keep: float | None, error: type[Exception], message: str
) -> None:
    file = path.with_suffix(suffix)
    content = file.read_bytes()
    file.unlink()
    if keep is not None:
        file.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(error) as caught:
        read_openvino_ir(path)
    assert str(caught.value).startswith(f"{path.parent}/{message}")


def test_weights_of_another_model_are_noticed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = small_ir(tmp_path / "other", small_model("fp32", (40, 70)))
    path.with_suffix(".bin").write_bytes(other.weights + b"\0")
    with pytest.raises(DamagedError, match="one was damaged or belongs to another model, fetch both again"):
        read_openvino_ir(path)


BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">' + b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 20)
)


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "without metadata": lambda plain: plain.replace(b"contextnet", b"otherworld"),
    "HTML": lambda plain: b"<html></html>",
    "a bomb": lambda plain: BOMB + b"]><net>&a19;</net>",
    "a checksum before the end": lambda plain: signed(b"<net>", b"") + b"</net>",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused_without_being_parsed(path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path.write_bytes(FOREIGN[kind](without_last_line(path.read_bytes())))
    monkeypatch.setattr(module, "openvino_core", lambda: pytest.fail("OpenVINO must not see it"))
    with pytest.raises(ModelFileError) as caught:
        read_openvino_ir(path)
    assert str(caught.value) == (
        f"{path}: is not OpenVINO's format, or not a model of this project; make model files with 'contextnet export'"
    )


def bombed(plain: bytes) -> bytes:
    return BOMB + b"]>" + plain[plain.index(b"<net") :].replace(b'value="contextnet-model-1"', b'value="&a19;"')


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda plain: plain.replace(old, new)


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no XML": (lambda plain: bytes(10), "OpenVINO cannot read it: "),
    "an empty graph": (
        lambda plain: b'<net name="x" version="11"><layers/><edges/></net>',
        "a model without metadata of this project",
    ),
    "a bomb": (bombed, "a model of format '&a19;'; make"),
    "metadata that is a tree": (
        swapped(b'<format value="contextnet-model-1" />', b'<format><a value="b" /></format>'),
        "a model without metadata of this project",
    ),
    "weights beyond the file": (swapped(b'offset="0"', b'offset="99999999999"'), "OpenVINO cannot read it: "),
    "another input": (
        swapped(b'names="image"', b'names="picture"'),
        "reads picture uint8 (?, ?, ?, 3) and gives labels uint8 (?, ?, ?), scores float32 (?, 5, ?, ?); expected ",
    ),
    "another output": (
        swapped(b'names="labels"', b'names="marks"'),
        "reads image uint8 (?, ?, ?, 3) and gives marks uint8 (?, ?, ?), scores float32 (?, 5, ?, ?); expected ",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_with_a_right_checksum_is_refused_by_name(
    path: Path, written: tuple[bytes, bytes], kind: str
) -> None:
    change, message = HOSTILE[kind]
    path.write_bytes(signed(change(without_last_line(written[0])), written[1]))
    with pytest.raises(ModelFileError) as caught:
        read_openvino_ir(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def real_image(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def wide_labels(graph: onnx.GraphProto) -> None:
    node = next(node for node in graph.node if node.output[0] == "labels")
    node.attribute[0].i = onnx.TensorProto.INT64
    next(value for value in graph.output if value.name == "labels").type.tensor_type.elem_type = onnx.TensorProto.INT64


def labels_in_planes(graph: onnx.GraphProto) -> None:
    node = next(node for node in graph.node if node.op_type == "ArgMax")
    next(attribute for attribute in node.attribute if attribute.name == "keepdims").i = 1
    output = next(value for value in graph.output if value.name == "labels")
    output.type.tensor_type.ClearField("shape")


def half_a_size(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[1].dim_value = 40


@pytest.mark.parametrize(
    ("change", "classes", "found"),
    [
        (real_image, CLASSES, "reads image float32 (?, ?, ?, 3) and gives labels uint8 (?, ?, ?), scores float32 (?, "),
        (wide_labels, CLASSES, "reads image uint8 (?, ?, ?, 3) and gives labels i64 (?, ?, ?), scores float32 (?, "),
        (labels_in_planes, CLASSES, "reads image uint8 (?, ?, ?, 3) and gives labels uint8 (?, 1, ?, ?), scores float"),
        (half_a_size, CLASSES, "reads image uint8 (?, 40, ?, 3) and gives labels uint8 (?, "),
        (
            lambda graph: None,
            6,
            "reads image uint8 (?, ?, ?, 3) and gives labels uint8 (?, ?, ?), scores float32 (?, 5",
        ),
    ],
)
def test_other_ends_are_refused_by_name(
    tmp_path: Path, change: Callable[[onnx.GraphProto], None], classes: int, found: str
) -> None:
    model = small_model()
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    change(graph.graph)
    metadata = replace(model.metadata, spec=variant("cn14-160", classes), labels=some_labels(classes))
    with pytest.raises(ModelFileError) as caught:
        small_ir(tmp_path, OnnxFile(graph, metadata))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'small.xml'}: {found}")
    assert message.endswith(
        f"; expected image uint8 (?, ?, ?, 3) and labels uint8 (?, ?, ?), scores float32 (?, {classes}, ?, ?); "
        "export the network anew"
    )


def test_the_checksum_is_the_one_that_is_documented(path: Path, written: tuple[bytes, bytes]) -> None:
    assert written[0] == signed(without_last_line(written[0]), written[1])


def test_a_file_over_the_limit_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_bytes, "MAX_BYTES", 1000)
    with pytest.raises(
        ModelFileError, match=rf"is a file of {path.stat().st_size} bytes; a model file has at most 1000"
    ):
        read_openvino_ir(path)


def test_a_graph_that_cannot_be_converted_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"bad\.xml: cannot be made: [^\n]*Fold"):
        write_openvino_ir(tmp_path / "bad.xml", unreadable_model())
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "TemporaryDirectory", fail)
    with pytest.raises(ModelFileError, match=r"a\.xml: cannot be made: .*No space left on device; check the network"):
        write_openvino_ir(tmp_path / "a.xml", small_model())


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"a\.bin: is no name for OpenVINO's format; give one that ends in \.xml"):
        write_openvino_ir(tmp_path / "a.bin", small_model())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match=r"none/a\.xml: cannot be written: .*; make the folder first"):
        write_openvino_ir(tmp_path / "none" / "a.xml", small_model())


@pytest.mark.parametrize("before", [False, True])
def test_weights_that_cannot_be_written_leave_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    path = tmp_path / "a.xml"
    if before:
        write_openvino_ir(path, small_model())
    contents = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(file: BinaryIO, content: bytes) -> None:
        file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write", fail)
    with pytest.raises(ContextNetError, match=r"a\.bin: cannot be written: No space left on device; free some space"):
        write_openvino_ir(path, small_model("fp32", (40, 70)))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == contents


def test_what_was_there_is_replaced_and_nothing_else_stays(tmp_path: Path) -> None:
    small_ir(tmp_path)
    assert small_ir(tmp_path, small_model("fp32", (40, 70))).size_hw == (40, 70)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["small.bin", "small.xml"]


@pytest.mark.parametrize("before", [False, True])
def test_a_graph_that_cannot_be_renamed_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    path = tmp_path / "a.xml"
    if before:
        write_openvino_ir(path, small_model())
    contents = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    renamed: list[Path] = []
    rename = Path.replace

    def fail_last(source: Path, target: Path) -> Path:
        if target == path:
            assert path.with_suffix(".bin").read_bytes() != contents.get("a.bin"), "the new weights stand by then"
            raise OSError(5, "Input/output error")
        renamed.append(target)
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", fail_last)
    with pytest.raises(ContextNetError, match=r"a\.xml: cannot be written: Input/output error"):
        write_openvino_ir(path, small_model("fp32", (40, 72)))
    assert path.with_suffix(".bin") in renamed
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == contents


def test_a_graph_that_cannot_take_its_name_takes_its_weights_along(tmp_path: Path) -> None:
    (tmp_path / "a.xml").mkdir()
    with pytest.raises(ContextNetError, match=r"a\.xml: cannot be written: Is a directory"):
        write_openvino_ir(tmp_path / "a.xml", small_model())
    assert [file.name for file in tmp_path.iterdir()] == ["a.xml"]


def test_without_openvino_it_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match="pip install openvino"):
        read_openvino_ir(path)
    with pytest.raises(MissingDependencyError, match="pip install openvino"):
        write_openvino_ir(path, small_model())


def test_the_network_is_the_one_that_was_asked_for(path: Path) -> None:
    assert read_openvino_ir(path).metadata.spec == SPEC
