"""The paper's figures, copied from its text a second time and row by row."""

from __future__ import annotations

import pytest

from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.reproduce.paper import (
    ENSEMBLE,
    ENSEMBLE_NOTE,
    EXACT_PARAMETERS,
    GROUPS,
    PRUNING,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_5_CLASSES,
    TABLE_5_NOTE,
    TABLE_6,
    TABLE_6_NOTE,
    TABLE_7,
    TABLE_7_SIZES,
    Ablation,
    Benchmark,
    BlockLayer,
    BranchLayer,
    FusionLayer,
    Runtime,
    group_of,
)
from contextnet.spec import VARIANTS

TABLE_4_TEXT = """
cn18 cn14 cn12 cn124 cn14-500 cn14-160
60.1 65.9 68.7 67.3 62.1 57.7
21.0 18.3 11.4 7.6 20.6 22.0
0.85 0.85 0.85 0.93 0.49 0.16
"""

TABLE_5_TEXT = """
cn18  96.2 72.4 87.4 45.9 44.1 32.1 38.4 54.3 87.9 54.1 91.0 62.3 36.1 88.3 57.6 59.1 34.2 41.2 58.4
cn14  96.8 76.6 88.6 46.4 49.7 38.0 45.3 60.5 89.0 59.3 91.4 67.5 41.7 90.0 63.5 71.7 57.1 41.5 64.6
cn12  97.2 78.9 89.2 47.2 54.4 39.5 55.3 63.8 89.4 59.8 91.5 70.2 47.5 91.1 70.2 76.2 63.7 51.36 67.8
cn124 97.4 79.6 89.5 44.1 49.8 45.5 50.6 64.6 90.2 59.4 93.4 70.9 43.1 91.8 65.2 71.9 64.5 41.95 66.1
"""


def test_table_1() -> None:
    assert (
        BlockLayer(input="h × w × c", operator="Conv2d 1/1, f", output="h × w × tc"),
        BlockLayer(input="h × w × tc", operator="DWConv 3/s, f", output="h/s × w/s × tc"),
        BlockLayer(input="h/s × w/s × tc", operator="Conv2d 1/1, –", output="h/s × w/s × c'"),
    ) == TABLE_1


def test_table_2() -> None:
    rows = """
    256 512 3   Conv2d     - 32  1 2
    128 256 32  bottleneck 1 32  1 1
    128 256 32  bottleneck 6 32  1 1
    128 256 32  bottleneck 6 48  3 2
    64  128 48  bottleneck 6 64  3 2
    32  64  64  bottleneck 6 96  2 1
    32  64  96  bottleneck 6 128 2 1
    32  64  128 Conv2d     - 128 1 1
    """
    expected = []
    for row in rows.strip().splitlines():
        h, w, c, operator, expansion, width, repeats, stride = row.split()
        t = None if expansion == "-" else int(expansion)
        layer = BranchLayer(
            input_hwc=(int(h), int(w), int(c)),
            operator=operator,
            expansion=t,
            output_channels=int(width),
            repeats=int(repeats),
            stride=int(stride),
        )
        expected.append(layer)
    assert tuple(expected) == TABLE_2


def test_table_3() -> None:
    assert (
        FusionLayer(branch_1=None, branch_4="Upsample × 4"),
        FusionLayer(branch_1=None, branch_4="DWConv (dilation 4) 3/1, f"),
        FusionLayer(branch_1="Conv2d 1/1, –", branch_4="Conv2d 1/1, –"),
        FusionLayer(branch_1="add, f", branch_4="add, f"),
    ) == TABLE_3


def test_table_4() -> None:
    names, *lines = (line.split() for line in TABLE_4_TEXT.strip().splitlines())
    mious, rates, millions = ([float(figure) for figure in line] for line in lines)
    assert list(TABLE_4) == names
    assert set(names) <= set(VARIANTS)
    for name, miou, fps, parameters in zip(names, mious, rates, millions, strict=True):
        assert TABLE_4[name] == Ablation(miou=miou, fps=fps, parameters_m=parameters)


def test_exact_counts_are_those_that_table_4_rounds() -> None:
    assert EXACT_PARAMETERS == {"cn14-160": 159387, "cn14-500": 490459}
    for name, count in EXACT_PARAMETERS.items():
        assert round(count / 1e6, 2) == TABLE_4[name].parameters_m


def test_table_5() -> None:
    lines = [line.split() for line in TABLE_5_TEXT.strip().splitlines()]
    assert [list(row.values()) for row in TABLE_5.values()] == [[float(iou) for iou in line[1:]] for line in lines]
    assert list(TABLE_5) == [line[0] for line in lines]
    assert CITYSCAPES.names == TABLE_5_CLASSES
    assert all(tuple(row) == CITYSCAPES.names for row in TABLE_5.values())
    assert (TABLE_5["cn18"]["train"], TABLE_5["cn12"]["traffic light"]) == (34.2, 55.3)


@pytest.mark.parametrize(("network", "mean"), [("cn18", 60.1), ("cn14", 65.2), ("cn12", 68.6), ("cn124", 67.3)])
def test_means_of_table_5(network: str, mean: float) -> None:
    assert sum(TABLE_5[network].values()) / 19 == pytest.approx(mean, abs=0.051)


def test_notes_say_where_the_paper_contradicts_itself() -> None:
    assert TABLE_5_NOTE == "The paper's row of cn14 has a mean of 65.2 %, but its Table 4 has 65.9 %."
    assert "44 (DeepLab-v2), 65.7 (PSPNet), 2.1 (ERFNet)" in TABLE_6_NOTE
    assert ENSEMBLE_NOTE == (
        "The paper says that the ensemble is 6.6 % behind cn14; its figures, 65.9 and 60.3, are 5.6 apart."
    )


@pytest.mark.parametrize(
    ("network", "class_miou", "category_miou", "parameters", "pretrained"),
    [
        ("deeplab-v2", 70.4, 86.4, 44, True),
        ("pspnet", 78.4, 90.6, 65.7, True),
        ("segnet", 56.1, 79.8, 29.46, False),
        ("enet", 58.3, 80.4, 0.37, False),
        ("icnet", 69.5, None, 6.68, True),
        ("erfnet", 68.0, 86.5, 2.1, False),
        ("cn14", 66.1, 82.7, 0.85, False),
    ],
)
def test_table_6(
    network: str, class_miou: float, category_miou: float | None, parameters: float, pretrained: bool
) -> None:
    expected = Benchmark(
        class_miou=class_miou, category_miou=category_miou, parameters_m=parameters, pretrained=pretrained
    )
    assert TABLE_6[network] == expected


def test_table_6_has_these_networks_in_this_order() -> None:
    assert list(TABLE_6) == ["deeplab-v2", "pspnet", "segnet", "enet", "icnet", "erfnet", "cn14"]


def test_table_7() -> None:
    full, half, quarter = (1024, 2048), (512, 1024), (256, 512)
    assert (full, half, quarter) == TABLE_7_SIZES
    assert (
        Runtime(network="segnet", fps={full: 1.6, half: None, quarter: None}, mark="*"),
        Runtime(network="enet", fps={full: 20.4, half: 76.9, quarter: 142.9}, mark="*"),
        Runtime(network="icnet", fps={full: 14.2, half: 46.3, quarter: 83.2}, mark=""),
        Runtime(network="erfnet", fps={full: 11.2, half: 41.7, quarter: 125.0}, mark="*"),
        Runtime(network="cn14", fps={full: 18.3, half: 65.5, quarter: 139.2}, mark=""),
        Runtime(network="cn14", fps={full: 41.9, half: 136.2, quarter: 299.5}, mark="†"),
    ) == TABLE_7


def test_ensemble() -> None:
    assert (ENSEMBLE.context, ENSEMBLE.detail, ENSEMBLE.ensemble, ENSEMBLE.cn14) == (63.3, 25.1, 60.3, 65.9)
    assert round(ENSEMBLE.cn14 - ENSEMBLE.ensemble, 1) == 5.6


def test_pruning() -> None:
    assert (PRUNING.before, PRUNING.after, PRUNING.widths) == (64.2, 66.1, (2, 1.5, 1.25, 1))


@pytest.mark.parametrize(
    ("names", "group"),
    [
        (("fence", "pole", "traffic light", "traffic sign", "sign", "sign symbol"), "small"),
        (("person", "rider", "motorcycle", "bicycle", "pedestrian", "bicyclist"), "fine"),
        (("bus", "train", "truck"), "rare"),
        (("road", "sidewalk", "building", "wall", "vegetation", "terrain", "sky", "car"), None),
        (("pavement", "tree", "", "Pole"), None),
    ],
)
def test_groups(names: tuple[str, ...], group: str | None) -> None:
    assert {group_of(name) for name in names} == {group}


def test_groups_of_both_label_sets() -> None:
    assert {name for names in GROUPS.values() for name in names} == {c for c in CITYSCAPES.names if group_of(c)}
    grouped = {name: group_of(name) for name in CAMVID.names if group_of(name)}
    assert grouped == {"pole": "small", "sign": "small", "fence": "small", "pedestrian": "fine", "bicyclist": "fine"}
