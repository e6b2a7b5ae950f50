"""From masks without a label set to a training: the check proposes, the YAML is written, the folder trains."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from contextnet.data import open_data
from contextnet.images import write_png
from contextnet.labels import CITYSCAPES
from mask_folders import fields, write_folder

Run = Callable[..., tuple[int, str, str]]

# Areas as in a street: sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist, void.
STREET = [17, 23, 1, 32, 5, 10, 1, 1, 6, 1, 1, 2]
CAMVID_NAMES = [
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    None,
]
SEGNET_COLORS = [
    *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)),
    *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0)),
]
# Of the 32: Sky, Building, Column_Pole, LaneMkgsDriv, Sidewalk, VegetationMisc, TrafficLight, Fence, Truck_Bus, Child,
# Bicyclist, Void, by colour, by line of label_colors.txt and by name.
COLORS_32 = [
    *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 0, 192), (0, 0, 192), (192, 192, 0)),
    *((0, 64, 64), (64, 64, 128), (192, 128, 192), (192, 128, 64), (0, 128, 192), (0, 0, 0)),
]
IDS_32 = [21, 4, 8, 10, 19, 29, 24, 9, 27, 7, 2, 30]
NAMES_32 = [
    *("Sky", "Building", "Column_Pole", "LaneMkgsDriv", "Sidewalk", "VegetationMisc", "TrafficLight", "Fence"),
    *("Truck_Bus", "Child", "Bicyclist", None),
]
# Road, sidewalk, building, vegetation, sky, person, car, pole, and void.
CITY = [37, 6, 23, 16, 4, 1, 7, 1, 5]
CITY_NAMES = ["road", "sidewalk", "building", "vegetation", "sky", "person", "car", "pole", None]
CITY_COLORS = [
    *((128, 64, 128), (244, 35, 232), (70, 70, 70), (107, 142, 35), (70, 130, 180), (220, 20, 60)),
    *((0, 0, 142), (153, 153, 153), (81, 0, 81)),
]
ODD_COLORS = [(10, 20, 30), (200, 1, 2), (0, 0, 0)]
CLASS_DICT = "name,r,g,b\nmud,10,20,30\nfire,200,1,2\nvoid,0,0,0\nsnow,255,255,255\n"


@dataclass(frozen=True)
class Masks:
    """Masks of one kind: their areas, what each is painted as, and what each must mean by which proposal."""

    areas: Sequence[int]
    values: Sequence[object]
    names: Sequence[str | None]
    first: str
    chosen: str | None = None
    form: str = "plain"
    beside: tuple[str, str] | None = None


KINDS = {
    "camvid-11": Masks(STREET[:11], range(11), CAMVID_NAMES[:11], "camvid-11"),
    "camvid-11-void": Masks(STREET, range(12), CAMVID_NAMES, "camvid-11"),
    "camvid-12": Masks(STREET, range(12), [*CAMVID_NAMES[:11], "void"], "camvid-11", "camvid-12"),
    "camvid-11-colors": Masks(STREET, SEGNET_COLORS, CAMVID_NAMES, "camvid-11-colors"),
    "camvid-32-colors": Masks(STREET, COLORS_32, NAMES_32, "camvid-32-colors"),
    "camvid-32-colors-as-11": Masks(STREET, COLORS_32, CAMVID_NAMES, "camvid-32-colors", "camvid-11-colors"),
    "camvid-32-ids": Masks(STREET, IDS_32, NAMES_32, "camvid-32"),
    "camvid-32-ids-as-11": Masks(STREET, IDS_32, CAMVID_NAMES, "camvid-32", "camvid-32-as-11"),
    "black-and-white": Masks([3, 1], [0, 255], ["background", "foreground"], "binary"),
    "black-and-white-rgb": Masks([3, 1], [(0,) * 3, (255,) * 3], ["background", "foreground"], "binary"),
    "black-and-white-listed": Masks(
        [3, 1], [0, 255], ["ground", "snow"], "named", beside=("class_dict.csv", "name\nground\nsnow\n")
    ),
    "unknown-colors": Masks(
        [5, 3, 1], ODD_COLORS, ["colour 10 20 30", "colour 200 1 2", "colour 0 0 0"], "colors", None
    ),
    "listed-colors": Masks(
        [5, 3, 1], ODD_COLORS, ["mud", "fire", None], "named", beside=("class_dict.csv", CLASS_DICT)
    ),
    "cityscapes-colors": Masks(CITY, CITY_COLORS, CITY_NAMES, "cityscapes-colors"),
    "cityscapes-colors-rgba": Masks(CITY, CITY_COLORS, CITY_NAMES, "cityscapes-colors", form="rgba"),
    "labelids": Masks(CITY, [7, 8, 11, 21, 23, 24, 26, 17, 6], CITY_NAMES, "cityscapes-labelids"),
    "trainids": Masks(CITY, [0, 1, 2, 8, 10, 11, 13, 5, 255], CITY_NAMES, "cityscapes-trainids"),
    "palette": Masks([2, 1, 1], [0, 5, 255], ["class 0", "class 5", None], "palette", form="palette"),
    "listed-palette": Masks(
        *([2, 1], [4, 5], ["mud", "ice"], "named"),
        form="palette",
        beside=("label_colors.txt", "5 250 7 ice\n4 251 7 mud\n9 246 7 fog\n"),
    ),
}


def _train(shell: Run, root: Path) -> tuple[int, str]:
    recipe = {
        "name": "one-step",
        "network": {"variant": "cn14-160", "width": 0.25},
        "data": {"source": "folder:nowhere"},
        "augmentation": {"crop_hw": [32, 64]},
        "optimizer": {"kind": "adamw", "learning_rate": 0.001},
        "batch_size": 2,
        "epochs": 1,
    }
    path = root.parent / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    output = root.parent / "run"
    code, _, err = shell("train", str(path), "--data", f"folder:{root}", "--output", str(output))
    return code, err if code else "".join(p.name for p in output.glob("best.safetensors"))


@pytest.mark.parametrize("masks", KINDS.values(), ids=KINDS.keys())
def test_from_masks_to_a_training(shell: Run, tmp_path: Path, masks: Masks) -> None:
    root = write_folder(tmp_path / "yard", masks.areas, masks.values, masks.form)
    if masks.beside:
        (root / masks.beside[0]).write_text(masks.beside[1])
    source, labels = f"folder:{root}", root / "labels.yaml"

    code, out, err = shell("data", "check", source)
    assert (code, err) == (1, "")
    assert f"proposal '{masks.first}': " in out
    assert "nothing is applied: --write-labels FILE.yaml writes the first proposal" in out
    assert not labels.exists(), "a proposal is never applied by itself"

    words = ["--proposal", masks.chosen] if masks.chosen else []
    code, out, err = shell("data", "check", source, "--write-labels", str(labels), *words)
    assert (code, err) == (0, "")
    assert f"by proposal '{masks.chosen or masks.first}'" in out
    assert "nothing is applied" not in out

    code, out, err = shell("data", "check", source, "--json", "-")
    assert (code, err) == (0, "")
    assert [report["problems"] for report in json.loads(out)] == [[], []]

    for split in ("train", "val"):
        data = open_data(source, split)
        for index in range(len(data)):
            sample = data[index]
            assert sample.label is not None
            field = fields(masks.areas)[split, sample.image_path.stem]
            meant = [255 if name is None else data.labels.names.index(name) for name in masks.names]
            np.testing.assert_array_equal(sample.label, np.array(meant, np.uint8)[field])
    assert _train(shell, root) == (0, "best.safetensors")


def test_another_layout_gets_a_proposal_too(shell: Run, tmp_path: Path) -> None:
    """Masks in the colours of the original where CamVid's ids are expected."""
    write_folder(tmp_path / "yard", STREET, COLORS_32)
    camvid = tmp_path / "camvid"
    camvid.mkdir()
    (tmp_path / "yard" / "train" / "images").rename(camvid / "train")
    (tmp_path / "yard" / "train" / "masks").rename(camvid / "trainannot")
    labels = tmp_path / "labels.yaml"
    code, out, err = shell("data", "check", f"camvid:{camvid}", "--write-labels", str(labels))
    assert (code, err) == (1, "")
    assert "rgb mask" in out
    assert "proposal 'camvid-32-colors'" in out
    assert "or 'camvid-11-colors'" in out
    assert "encoding: color" in labels.read_text()


def test_json_stays_json_beside_a_proposal(shell: Run, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "yard", [3, 1], [0, 255])
    (root / "val" / "masks" / "val0.png").unlink()
    code, out, _ = shell("data", "check", f"folder:{root}", "--json", "-", "--write-labels", str(tmp_path / "new.yaml"))
    assert code == 1
    train, val = json.loads(out)
    assert (train["name"], train["images"], train["masks"]) == ("yard/train", 2, 2)
    assert [p["kind"] for p in train["problems"]] == ["missing labels"]
    assert [p["kind"] for p in val["problems"]] == ["missing labels", "missing mask"]
    assert (tmp_path / "new.yaml").is_file()


def test_a_clean_set_gets_its_own_labels_written_when_asked(shell: Run, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "yard", [3, 1], [0, 255])
    (root / "labels.yaml").write_text("name: x\nclasses: [{name: a, ids: [0]}, {name: b, ids: [255]}]\nvoid: []\n")
    code, out, err = shell("data", "check", f"folder:{root}")
    assert (code, err) == (0, "")
    assert "proposal" not in out
    new = tmp_path / "new.yaml"
    assert shell("data", "check", f"folder:{root}", "--write-labels", str(new))[0] == 0
    assert "name: x\n" in new.read_text()


def _too_many(root: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    write_png(root / "val" / "masks" / "val0.png", noise)


def _nothing(root: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "words", "error"),
    [
        (_too_many, ["--write-labels", "{root}/labels.yaml"], "not written, as no label set reads these masks"),
        (_too_many, ["--write-labels", "{root}/labels.yaml"], "save them anew as PNG"),
        (_nothing, ["--write-labels", "{root}/class_dict.csv"], "class_dict.csv: already exists; remove it or name"),
        (_nothing, ["--write-labels", "{root}/no/labels.yaml"], "its folder does not exist; make it first"),
        (_nothing, ["--proposal", "binary"], "--proposal binary: says which proposal to write; give --write-labels"),
        (
            _nothing,
            ["--write-labels", "{root}/labels.yaml", "--proposal", "camvid"],
            "--proposal camvid: is none of those made for these masks: named, binary, ids",
        ),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    shell: Run, tmp_path: Path, spoil: Callable[[Path], None], words: list[str], error: str
) -> None:
    root = write_folder(tmp_path / "yard", [3, 1], [0, 255])
    spoil(root)
    (root / "class_dict.csv").write_text("name\nno\nyes\n")
    before = (root / "class_dict.csv").read_bytes()
    code, _, err = shell("data", "check", f"folder:{root}", *(word.format(root=root) for word in words))
    assert code == 2
    assert error in err
    assert "Traceback" not in err
    assert not (root / "labels.yaml").exists()
    assert (root / "class_dict.csv").read_bytes() == before


def test_synthetic_streets_in_their_own_layout_need_no_proposal(shell: Run, tmp_path: Path) -> None:
    words = ["--split", "val", "--drives", "1", "--frames", "1", "--size", "64x128"]
    assert shell("data", "synthesize", str(tmp_path / "streets"), *words)[0] == 0
    code, out, _ = shell("data", "check", f"cityscapes:{tmp_path / 'streets'}")
    assert code == 0
    assert "proposal" not in out
    # Their colour drawings, put in a folder, are recognised as what they are.
    root = tmp_path / "yard"
    for folder, ending in (("images", "_leftImg8bit.png"), ("masks", "_gtFine_color.png")):
        (root / folder).mkdir(parents=True)
        (path,) = (tmp_path / "streets").rglob(f"*{ending}")
        (root / folder / "a.png").write_bytes(path.read_bytes())
    labels = root / "labels.yaml"
    assert shell("data", "check", f"folder:{root}", "--write-labels", str(labels))[0] == 0
    by_color = open_data(f"folder:{root}", "all")
    by_id = open_data(f"cityscapes:{tmp_path / 'streets'}", "val")
    assert by_color.labels.names == CITYSCAPES.names
    np.testing.assert_array_equal(by_color[0].label, by_id[0].label)
