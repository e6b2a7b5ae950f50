"""Class lists that lie beside a data set, in the forms they come in, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.data.doctor.class_list import ListedClass, find_class_list
from contextnet.errors import DataError

CAR, SKY = ListedClass("Car", (64, 0, 128)), ListedClass("Sky", (128, 128, 128))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("class_dict.csv", "name,r,g,b\nCar,64,0,128\nSky,128,128,128\n", (CAR, SKY)),
        ("class_dict.csv", "\ufeffname, r, g, b\r\nCar, 64, 0, 128\r\n\r\nSky, 128, 128, 128\r\n", (CAR, SKY)),
        ("labels.csv", "Red,Green,Blue,Class\n64,0,128,Car\n", (CAR,)),
        ("labels.csv", "id,name\n7,Car\n2,Sky\n", (ListedClass("Car", None, 7), ListedClass("Sky", None, 2))),
        ("labels.csv", "name\nCar\nSky\n", (ListedClass("Car"), ListedClass("Sky"))),
        ("labels.csv", 'id,name,r,g,b\n4,"Car, red",1,2,3\n', (ListedClass("Car, red", (1, 2, 3), 4),)),
        ("label_colors.txt", "64 0 128\t\tCar\n128 128 128\tSky\n", (CAR, SKY)),
        ("label_colors.txt", "# all\n\n 64,0,128 Traffic Light \n", (ListedClass("Traffic Light", (64, 0, 128)),)),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nCar:64,0,128::\nSky:128,128,128::\n", (CAR, SKY)),
    ],
)
@pytest.mark.parametrize("folder", [".", "labels"])
def test_every_form_is_read(
    tmp_path: Path, folder: str, name: str, text: str, expected: tuple[ListedClass, ...]
) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / name).write_text(text, encoding="utf-8")
    found = find_class_list(tmp_path)
    assert found is not None
    assert (found.path, found.classes) == (tmp_path / folder / name, expected)


def test_no_list_is_none_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    assert find_class_list(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("class_dict.csv", b"title,r,g,b\nCar,1,2,3\n", "has the columns title, r, g, b; one must be called 'name'"),
        ("class_dict.csv", b"", "has the columns none"),
        ("class_dict.csv", b"name,r,g,b\n", "lists no class"),
        ("class_dict.csv", b"name,r,g,b\nCar,1,2,256\n", "line 2 holds '256'; expected a number from 0 to 255"),
        ("class_dict.csv", b"name,r,g,b\nCar,1,2\n", "line 2 holds ''; expected a number"),
        ("class_dict.csv", b"name,r,g,b\nCar,1,2,-3\n", "line 2 holds '-3'"),
        ("class_dict.csv", b"name,r,g,b\nCar,1,2,3\nCar,4,5,6\n", "lists the name 'Car' twice"),
        ("class_dict.csv", b"name,r,g,b\nCar,1,2,3\nSky,1,2,3\n", r"lists the colour \(1, 2, 3\) twice"),
        ("labels.csv", b"id,name\n1,Car\n1,Sky\n", "lists the id 1 twice"),
        ("label_colors.txt", b"1 2 3 Car\nCar 1 2 3\n", "line 2 is 'Car 1 2 3'; expected RED GREEN BLUE NAME"),
        ("label_colors.txt", b"1 2 999 Car\n", "line 1 holds '999'"),
        ("labelmap.txt", b"Car 1,2,3\n", "line 1 is 'Car 1,2,3'; expected NAME:RED,GREEN,BLUE::"),
        ("label_colors.txt", b"\xff\xfe1", "is not UTF-8 text"),
        ("label_colors.txt", b"#" * (2 << 20), "is larger than 1 MiB"),
    ],
)
def test_faults_name_the_file_and_the_line(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=error) as caught:
        find_class_list(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("name", "void"), [("Void", True), ("unlabelled", True), ("Car", False), ("avoid", False)])
def test_names_that_mean_void(name: str, void: bool) -> None:
    assert ListedClass(name).is_void is void
