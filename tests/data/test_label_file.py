"""The label-set YAML: ids and colours, what is wrong with it, and writing it so that it reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contextnet.data.label_file import LabelFile, parse_label_file, read_label_file
from contextnet.data.label_yaml import label_file_yaml
from contextnet.data.mask_colors import MaskColors
from contextnet.data.numbering import train_id_numbering
from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES, LabelClass, LabelSet
from contextnet.plain_yaml import parse_plain_yaml

YAML = """
name: yard
classes:
  - {name: ground, ids: [1, 4]}
  - {name: person, ids: [2], color: [220, 20, 60], category: human, instances: true}
  - {name: box, ids: [3]}
void: [0]
"""


def test_yaml_fills_in_colours_and_categories(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(YAML)
    # PASCAL VOC's colour map begins (128, 0, 0), (0, 128, 0), (128, 128, 0); the second is overridden here.
    assert read_label_file(path) == LabelFile(
        LabelSet(
            "yard",
            (
                LabelClass("ground", (128, 0, 0), "ground", (1, 4)),
                LabelClass("person", (220, 20, 60), "human", (2,), True),
                LabelClass("box", (128, 128, 0), "box", (3,)),
            ),
            (0,),
        )
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: x\nclasses: [{name: a, ids: [0]}]\ncolour: 3\n", "colour: extra inputs"),
        ("name: x\nclasses: [{name: a, id: [0]}]\n", r"classes\.0\.ids: field required"),
        ("name: x\nclasses: [{name: a, ids: zero}]\n", r"classes\.0\.ids: input should be a valid list"),
        ("name: x\nclasses: [{name: a, ids: []}]\n", r"classes\.0\.ids: list should have at least 1"),
        ("name: x\nclasses: []\n", "classes: list should have at least 1"),
        ("classes: [{name: a, ids: [0]}]\n", "name: field required"),
        ("name: x\nclasses: [{name: a, ids: [0]}, {name: a, ids: [1]}]\n", "class name 'a' stands twice"),
        ("name: x\nclasses: [{name: a, ids: [7]}, {name: b, ids: [7]}]\n", "file id 7 stands twice"),
        ("name: x\nclasses: [{name: a, ids: [0]}]\nvoid: [0]\n", "file id 0 stands twice"),
        ("name: x\nclasses: [{name: a, ids: [256]}]\n", r"file ids \[256\]; masks hold 0 to 255"),
        ("- a\n- b\n", "a label set is a mapping"),
        ("name: [x\n", "not a YAML label set"),
        ("name: x\nclasses: [{name: a, ids: [0], color: [0, 256, 0]}]\n", r"'a' has the colour \[0, 256, 0\]; red"),
        ("name: x\nclasses: [{name: a, ids: [0], color: [0, -1, 0]}]\n", r"'a' has the colour \[0, -1, 0\]; red"),
        ("name: x\nclasses: [{name: a, ids: [0], color: [9, 9]}]\n", r"classes\.0\.color: list should have at least 3"),
        ('name: x\nclasses: [{name: a, ids: ["1"]}]\n', r"classes\.0\.ids\.0: input should be a valid integer"),
        ("name: x\nclasses: [{name: a, ids: [true]}]\n", r"classes\.0\.ids\.0: input should be a valid integer"),
        ("name: x\nclasses: [{name: a, ids: [1.0]}]\n", r"classes\.0\.ids\.0: input should be a valid integer"),
        ("name: x\nclasses: [{name: a, ids: [1], instances: 1}]\n", r"classes\.0\.instances: .* boolean"),
        ("name: 2024-01-01\nclasses: [{name: a, ids: [1]}]\n", "name: input should be a valid string"),
        ("name: 2024-13-45\n", "not a YAML label set: month must be in 1..12"),
        ("[" * 20_000, "not a YAML label set: nested too deeply"),
        (f"name: {'7' * 5000}\n", "not a YAML label set: Exceeds the limit"),
        ("name: x\nencoding: colour\nclasses: [{name: a, ids: [0]}]\n", "encoding: 'colour' is none of id, color"),
        ("name: x\nencoding: [id]\nclasses: [{name: a, ids: [0]}]\n", r"encoding: \['id'\] is none of id, color"),
        ("name: x\nclasses: [{name: a, ids: [0], colors: [[1, 2, 3]]}]\n", "colors: .*only under 'encoding: color'"),
        ("name: x\nclasses: [{name: a, ids: [0]}]\nvoid_colors: []\n", "void_colors: .*only under 'encoding: color'"),
        ("name: x\nname: y\n", "not a YAML label set: key 'name' stands twice .*line 2"),
        ("name: x\nclasses: [{name: a, ids: [0], ids: [1]}]\n", "not a YAML label set: key 'ids' stands twice"),
        ("!!python/object/apply:os.getcwd []\n", "not a YAML label set"),
    ],
)
def test_yaml_errors_name_the_field(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=error) as caught:
        read_label_file(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_yaml_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.yaml: cannot be read: No such file"):
        read_label_file(tmp_path / "labels.yaml")


COLOR_YAML = """
name: yard
encoding: color
classes:
  - {name: ground, color: [128, 64, 128], category: flat}
  - {name: person, color: [220, 20, 60], colors: [[255, 0, 0], [1, 2, 3]], instances: true}
void_colors: [[0, 0, 0]]
"""


def test_colours_are_a_value_beside_a_label_set_numbered_by_train_id(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(COLOR_YAML)
    assert read_label_file(path) == LabelFile(
        LabelSet(
            "yard",
            (
                LabelClass("ground", (128, 64, 128), "flat", (0,)),
                LabelClass("person", (220, 20, 60), "person", (1,), True),
            ),
            (255,),
        ),
        MaskColors((((128, 64, 128),), ((220, 20, 60), (255, 0, 0), (1, 2, 3))), ((0, 0, 0),)),
    )


def test_encoding_id_is_what_stands_without_it() -> None:
    values = parse_plain_yaml(YAML)
    assert parse_label_file({**values, "encoding": "id"}, "x") == parse_label_file(values, "x")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("color: [128, 64, 128], ", "", r"classes\.0\.color: field required"),
        ("name: ground,", "name: ground, ids: [1],", r"classes\.0\.ids: ids have no place under 'encoding: color'"),
        ("void_colors: [[0, 0, 0]]", "void: [0]", "void: ids have no place under 'encoding: color'"),
        ("[1, 2, 3]", "[1, 2]", r"classes\.1\.colors\.1: list should have at least 3"),
        ("[1, 2, 3]", "[1, 2, 256]", r"classes\.1\.colors\.1\.2: input should be less than or equal to 255"),
        ("[1, 2, 3]", "[1, 2, -1]", r"classes\.1\.colors\.1\.2: input should be greater than or equal to 0"),
        ("[1, 2, 3]", "[1, 2, 3.0]", r"classes\.1\.colors\.1\.2: input should be a valid integer"),
        ("[1, 2, 3]", "[128, 64, 128]", r"mask colour \[128, 64, 128\] stands twice"),
        ("[[0, 0, 0]]", "[[255, 0, 0]]", r"mask colour \[255, 0, 0\] stands twice"),
        ("name: person", "name: ground", "class name 'ground' stands twice"),
        ("void_colors:", "void_colours:", "void_colours: extra inputs"),
    ],
)
def test_faults_of_colours_name_the_field(tmp_path: Path, old: str, new: str, error: str) -> None:
    path = tmp_path / "labels.yaml"
    assert old in COLOR_YAML
    path.write_text(COLOR_YAML.replace(old, new, 1))
    with pytest.raises(DataError, match=error) as caught:
        read_label_file(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_written_text_is_plain_to_read() -> None:
    labels = LabelSet(
        "yard", (LabelClass("ground", (1, 2, 3), "flat", (4, 5)), LabelClass("no", (6, 7, 8), "no", (9,)))
    )
    assert label_file_yaml(LabelFile(labels), ["by hand"], ["12 %"]) == (
        "# by hand\n"
        "name: yard\n"
        "classes:\n"
        "  - {name: ground, ids: [4, 5], color: [1, 2, 3], category: flat}  # 12 %\n"
        '  - {name: "no", ids: [9], color: [6, 7, 8]}\n'
        "void: [255]\n"
    )


@pytest.mark.parametrize("labels", [CAMVID, CITYSCAPES], ids=lambda labels: labels.name)
def test_built_in_label_sets_are_written_and_read_back(labels: LabelSet) -> None:
    colors = MaskColors(tuple((c.color,) for c in labels.classes), ((0, 0, 0), (9, 9, 9)))
    for file in (LabelFile(labels), LabelFile(train_id_numbering(labels), colors)):
        assert parse_label_file(parse_plain_yaml(label_file_yaml(file)), "x") == file


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12), min_size=1, max_size=5, unique=True
    ),
    st.sets(st.integers(0, (1 << 24) - 1), min_size=12, max_size=12),
    st.booleans(),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_any_names_and_colours_are_written_and_read_back(names: list[str], packed: set[int], by_color: bool) -> None:
    colors = [(p >> 16, p >> 8 & 255, p & 255) for p in sorted(packed)]
    classes = tuple(LabelClass(name, colors[i], names[-1], (i,), i % 2 == 1) for i, name in enumerate(names))
    labels = LabelSet(names[0], classes)
    by_class = tuple((colors[i], colors[i + 5]) if i % 2 else (colors[i],) for i in range(len(names)))
    file = LabelFile(labels, MaskColors(by_class, (colors[10], colors[11])) if by_color else None)
    text = label_file_yaml(file, ["a\nb"], [f"{n} %" for n in names])
    assert parse_label_file(parse_plain_yaml(text), "x") == file
