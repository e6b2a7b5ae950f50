"""The known tables against their sources: CamVid's label_colors.txt, SegNet's merging, cityscapesscripts."""

from __future__ import annotations

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels as cityscapes_rows

from contextnet.data.doctor.known_labels import KNOWN_COLORS, KNOWN_IDS
from contextnet.labels import CAMVID

# As the data set's own file has it.
LABEL_COLORS = """
64 128 64 Animal|192 0 128 Archway|0 128 192 Bicyclist|0 128 64 Bridge|128 0 0 Building|64 0 128 Car
64 0 192 CartLuggagePram|192 128 64 Child|192 192 128 Column_Pole|64 64 128 Fence|128 0 192 LaneMkgsDriv
192 0 64 LaneMkgsNonDriv|128 128 64 Misc_Text|192 0 192 MotorcycleScooter|128 64 64 OtherMoving
64 192 128 ParkingBlock|64 64 0 Pedestrian|128 64 128 Road|128 128 192 RoadShoulder|0 0 192 Sidewalk
192 128 128 SignSymbol|128 128 128 Sky|64 128 192 SUVPickupTruck|0 0 64 TrafficCone|0 64 64 TrafficLight
192 64 128 Train|128 128 0 Tree|192 128 192 Truck_Bus|64 0 64 Tunnel|192 192 0 VegetationMisc|0 0 0 Void|64 192 0 Wall
"""
OFFICIAL = {
    name: (int(r), int(g), int(b))
    for r, g, b, name in (row.split() for row in LABEL_COLORS.replace("\n", "|").split("|") if row)
}
# The grouping that SegNet was trained with.
MERGED = {
    "sky": ["Sky"],
    "building": ["Bridge", "Building", "Wall", "Tunnel", "Archway"],
    "pole": ["Column_Pole", "TrafficCone"],
    "road": ["Road", "LaneMkgsDriv", "LaneMkgsNonDriv"],
    "pavement": ["Sidewalk", "ParkingBlock", "RoadShoulder"],
    "tree": ["Tree", "VegetationMisc"],
    "sign": ["SignSymbol", "Misc_Text", "TrafficLight"],
    "fence": ["Fence"],
    "car": ["Car", "SUVPickupTruck", "Truck_Bus", "Train", "OtherMoving"],
    "pedestrian": ["Pedestrian", "Child", "CartLuggagePram", "Animal"],
    "bicyclist": ["Bicyclist", "MotorcycleScooter"],
}
IDS = {known.name: known for known in KNOWN_IDS}
COLORS = {known.name: known.file for known in KNOWN_COLORS}


def _look_up(table: str, colors: list[tuple[int, int, int]]) -> list[int]:
    mask_colors = COLORS[table].colors
    assert mask_colors is not None
    return mask_colors.look_up(np.array([colors], np.uint8))[0].tolist()


def test_camvid_has_its_official_32_colours() -> None:
    assert len(OFFICIAL) == 32
    names = [name for name in OFFICIAL if name != "Void"]
    assert list(COLORS["camvid-32-colors"].labels.names) == names
    assert _look_up("camvid-32-colors", [OFFICIAL[n] for n in names]) == list(range(31))
    assert _look_up("camvid-32-colors", [OFFICIAL["Void"]]) == [255]


def test_camvid_is_merged_as_for_segnet_by_colours_and_by_ids() -> None:
    order = list(OFFICIAL)
    assert list(MERGED) == list(CAMVID.names)
    for train_id, members in enumerate(MERGED.values()):
        assert set(_look_up("camvid-11-colors", [OFFICIAL[m] for m in members])) == {train_id}
        ids = np.array([order.index(m) for m in members], np.uint8)
        assert set(IDS["camvid-32-as-11"].labels.encode(ids).tolist()) == {train_id}
    assert _look_up("camvid-11-colors", [(60, 40, 222), (255, 69, 0), (0, 0, 0)]) == [4, 3, 255]
    assert sorted(m for members in MERGED.values() for m in members) == sorted(set(OFFICIAL) - {"Void"})
    void = np.array([order.index("Void")], np.uint8)
    assert IDS["camvid-32-as-11"].labels.encode(void).tolist() == [255]


def test_camvid_32_ids_are_the_lines_of_the_list() -> None:
    labels = IDS["camvid-32"].labels
    assert [(c.name, c.file_ids) for c in labels.classes] == [(n, (i,)) for i, n in enumerate(OFFICIAL) if n != "Void"]


def test_camvid_12_has_void_as_its_last_class() -> None:
    labels = IDS["camvid-12"].labels
    assert labels.names == (*CAMVID.names, "void")
    assert labels.encode(np.array([0, 10, 11, 255], np.uint8)).tolist() == [0, 10, 11, 255]


def test_cityscapes_has_every_colour_of_cityscapesscripts() -> None:
    # Pole groups and licence plates share the colour of an evaluated class, so colours cannot tell them apart.
    same = {row.color for row in cityscapes_rows if 0 <= row.trainId < 255}
    for row in cityscapes_rows:
        evaluated = row.trainId if 0 <= row.trainId < 255 else 255
        if evaluated == 255 and row.color in same:
            assert row.name in {"polegroup", "license plate"}
            continue
        assert _look_up("cityscapes-colors", [row.color]) == [evaluated], row.name


@pytest.mark.parametrize("known", KNOWN_IDS, ids=lambda known: known.name)
def test_usual_shares_are_whole_and_every_class_has_its_group(known: object) -> None:
    from contextnet.data.doctor.known_labels import KnownIds

    assert isinstance(known, KnownIds)
    assert sum(known.shares) == pytest.approx(100, abs=1)
    assert len(known.groups) == known.labels.num_classes
    assert {g for g in known.groups if g is not None} == set(range(len(known.shares)))
