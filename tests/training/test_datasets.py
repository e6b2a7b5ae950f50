"""The data sets of a recipe, opened in one label set: decoded ids worked out by hand, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contextnet.data.camvid import CAMVID_LICENCE
from contextnet.data.decoding import decode_split, join_splits
from contextnet.data.relabel import Relabelled
from contextnet.data.sources import open_data
from contextnet.data.verification import verify_split
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet
from contextnet.recipes import find_recipe
from contextnet.training.datasets import TrainingSource, open_training_data, open_validation_data
from contextnet.training.recipe.data import DataOptions
from contextnet.training.recipe.recipe import read_recipe

# The ids of this file are far from those of any mask below: they do not matter.
COMMON = """\
name: common
classes:
  - {name: ground, ids: [140]}
  - {name: nature, ids: [141]}
  - {name: human, ids: [142]}
  - {name: Car, ids: [143]}
void: [144]
"""
YARD = """\
name: yard
classes:
  - {name: lawn, ids: [10]}
  - {name: GROUND, ids: [1, 2]}
  - {name: worker, ids: [7]}
  - {name: shed, ids: [3]}
void: [0, 255]
"""
# Sky, building, road, pavement, tree, pedestrian, void, car.
CAMVID_ROW = [0, 1, 3, 4, 5, 9, 11, 8]
YARD_ROW = [10, 1, 2, 7, 3, 0, 255, 10]
MAIN = {"road": "ground", "pavement": "ground", "tree": "nature", "pedestrian": "human", "bicyclist": "human"}
EXTRA = {"lawn": "nature", "worker": "human", "shed": "void"}


def write_pair(image: Path, mask: Path, row: list[int]) -> None:
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_png(image, np.full((1, len(row), 3), row[0], np.uint8))
    write_png(mask, np.array([row], np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        write_pair(tmp_path / f"camvid/{split}/a.png", tmp_path / f"camvid/{split}annot/a.png", CAMVID_ROW)
    write_pair(tmp_path / "yard/train/images/b.png", tmp_path / "yard/train/masks/b.png", YARD_ROW)
    (tmp_path / "yard/labels.yaml").write_text(YARD)
    (tmp_path / "common.yaml").write_text(COMMON)
    (tmp_path / "broken.yaml").write_text("name: broken\n")
    return tmp_path


def options(root: Path, **changes: Any) -> DataOptions:
    return DataOptions.model_validate({"source": f"camvid:{root}/camvid", **changes})


def extra(root: Path, **changes: Any) -> dict[str, Any]:
    return {"source": f"folder:{root}/yard", **changes}


def test_two_data_sets_are_decoded_to_one_label_set(root: Path) -> None:
    recipe = options(root, labels=f"{root}/common.yaml", classes=MAIN, extra=[extra(root, classes=EXTRA, repeat=2)])
    sources = open_training_data(recipe)
    assert [(s.data.name, s.data.labels.name, s.repeat) for s in sources] == [
        ("camvid/train", "common", 1),
        ("yard/train", "common", 2),
    ]
    assert [s.mapping for s in sources] == [
        (
            "car → the same name",
            "road, pavement → ground",
            "tree → nature",
            "pedestrian, bicyclist → human",
            "sky, building, pole, sign, fence → void",
        ),
        ("GROUND → the same name", "lawn → nature", "worker → human", "shed → void"),
    ]
    joined = join_splits([(decode_split(source.data), source.repeat) for source in sources])
    camvid, yard = [[255, 255, 0, 0, 1, 2, 255, 3]], [[1, 0, 0, 2, 255, 255, 255, 1]]
    assert [mask.tolist() for mask in joined.masks] == [camvid, yard, yard]
    assert [int(image[0, 0, 0]) for image in joined.images] == [0, 10, 10]
    assert joined.labels.names == ("ground", "nature", "human", "Car")
    assert joined.licence == CAMVID_LICENCE


def test_validation_data_is_in_the_same_classes(root: Path) -> None:
    data = open_validation_data(options(root, labels=f"{root}/common.yaml", classes=MAIN))
    verify_split(data)
    label = data[0].label
    assert label is not None
    assert (data.name, data.labels.name, label.tolist()) == ("camvid/val", "common", [[255, 255, 0, 0, 1, 2, 255, 3]])


@pytest.mark.parametrize("changes", [{}, {"labels": "camvid"}, {"classes": {"tree": "tree"}}])
def test_data_with_its_own_classes_is_opened_as_ever(root: Path, changes: dict[str, Any]) -> None:
    recipe, source = options(root, **changes), f"camvid:{root}/camvid"
    assert open_training_data(recipe) == (TrainingSource(open_data(source, "train"), 1, ()),)
    assert open_validation_data(recipe) == open_data(source, "val")


def test_main_data_stays_as_it_is_beside_an_extra_of_other_classes(root: Path) -> None:
    recipe = options(root, extra=[extra(root, classes={"lawn": "tree", "GROUND": "pavement"})])
    main, added = open_training_data(recipe)
    assert main == TrainingSource(open_data(f"camvid:{root}/camvid", "train"))
    assert isinstance(added.data, Relabelled)
    assert added.data.labels is CAMVID
    label = added.data[0].label
    assert label is not None
    assert label.tolist() == [[5, 4, 4, 255, 255, 255, 255, 5]]


@pytest.mark.parametrize(
    ("changes", "labels", "row"),
    [
        ({"labels": "cityscapes"}, CITYSCAPES, [10, 2, 0, 255, 255, 255, 255, 13]),
        ({"labels": "cityscapes", "classes": {"tree": "vegetation"}}, CITYSCAPES, [10, 2, 0, 255, 8, 255, 255, 13]),
        ({"classes": {"pavement": "road", "sky": "void"}}, CAMVID, [255, 1, 3, 3, 5, 9, 255, 8]),
    ],
)
def test_label_sets_by_name_and_classes_merged(
    root: Path, changes: dict[str, Any], labels: LabelSet, row: list[int]
) -> None:
    (source,) = open_training_data(options(root, **changes))
    label = source.data[0].label
    assert label is not None
    assert source.data.labels is labels
    assert label.tolist() == [row]


def test_instance_masks_that_would_be_left_out_are_not_read(tmp_path: Path) -> None:
    stem = "ulm/ulm_000000_000001"
    write_pair(
        tmp_path / f"leftImg8bit/val/{stem}_leftImg8bit.png",
        tmp_path / f"gtFine/val/{stem}_gtFine_labelIds.png",
        [7, 26],
    )
    instances = tmp_path / f"gtFine/val/{stem}_gtFine_instanceIds.png"
    Image.fromarray(np.array([[7, 26001]], np.uint16)).save(instances)
    unchanged = open_validation_data(DataOptions(source=f"cityscapes:{tmp_path}", labels="cityscapes"))[0]
    assert unchanged.instances is not None
    assert unchanged.instances.tolist() == [[7, 26001]]
    instances.write_bytes(b"damaged")
    changed = open_validation_data(DataOptions(source=f"cityscapes:{tmp_path}", labels="camvid"))[0]
    assert changed.label is not None
    assert (changed.label.tolist(), changed.instances) == ([[3, 8]], None)


def test_recipe_with_coarse_data_opens_fine_and_coarse_images(tmp_path: Path) -> None:
    for split, truth in (("train", "gtFine"), ("train_extra", "gtCoarse")):
        stem = f"{split}/ulm/ulm_000000_000001"
        labels = tmp_path / truth / f"{stem}_{truth}_labelIds.png"
        write_pair(tmp_path / f"leftImg8bit/{stem}_leftImg8bit.png", labels, [7, 26, 0])
    extra_data = f'data.extra=[{{source: "cityscapes-coarse:{tmp_path}", split: train_extra}}]'
    recipe = read_recipe(find_recipe("cn14-cityscapes-coarse"), [f"data.source=cityscapes:{tmp_path}", extra_data])
    sources = open_training_data(recipe.data)
    assert [(s.data.name, s.repeat, s.mapping) for s in sources] == [
        ("cityscapes/train", 1, ()),
        ("cityscapes-coarse/train_extra", 1, ()),
    ]
    joined = join_splits([(decode_split(source.data), source.repeat) for source in sources])
    assert (joined.labels, [mask.tolist() for mask in joined.masks]) == (CITYSCAPES, [[[0, 13, 255]]] * 2)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"labels": "CITYSCAPES"},
            r"^'data\.labels' is 'CITYSCAPES', which is neither a file nor a built-in label set \(camvid, "
            r"cityscapes\); did you mean 'cityscapes'\?$",
        ),
        ({"labels": "nowhere/x.yaml"}, r"^'data\.labels' is 'nowhere/x\.yaml', .*\(camvid, cityscapes\)$"),
        ({"labels": "{root}"}, r"^'data\.labels' is '.*', which is neither a file nor"),
        ({"labels": "{root}/broken.yaml"}, r"broken\.yaml: classes: field required"),
        ({"classes": {"tre": "tree"}}, r"^'data\.classes' names 'tre', .* nearest is 'tree'"),
        ({"extra": [{"source": "folder:{root}/yard"}]}, r"^'data\.extra\.0\.classes': every class of label set 'yard'"),
        (
            {
                "extra": [
                    {"source": "camvid:{root}/camvid"},
                    {"source": "folder:{root}/yard", "classes": {"lawn": "grass"}},
                ]
            },
            r"^'data\.extra\.1\.classes' turns 'lawn' into 'grass', which is no class of label set 'camvid'",
        ),
        ({"extra": [{"source": "folder:{root}/yard", "split": "night"}]}, "has no folder split 'night'"),
        ({"train_split": "night"}, "has no CamVid split 'night'"),
    ],
)
def test_mistakes_are_named(root: Path, changes: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError, match=error):
        open_training_data(options(root, **_rooted(changes, root)))


def _rooted(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return {key: _rooted(inner, root) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rooted(inner, root) for inner in value]
    return value.replace("{root}", str(root)) if isinstance(value, str) else value


def test_an_extra_whose_pixels_all_become_void_is_named_with_its_classes(root: Path) -> None:
    recipe = options(root, labels="cityscapes", extra=[extra(root, classes={"shed": "building"})])
    write_pair(root / "yard/train/images/b.png", root / "yard/train/masks/b.png", [10, 1, 7])
    with pytest.raises(DataError, match=r"^'yard/train' holds no pixel of a class that becomes one of .*'cityscapes'"):
        verify_split(open_training_data(recipe)[1].data)


def test_home_folder_of_a_label_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    (source,) = open_training_data(options(root, labels="~/common.yaml", classes=MAIN))
    assert source.data.labels.name == "common"
