from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.runtime.class_areas import ClassArea, ClassAreas
from contextnet.runtime.palette import with_palette
from contextnet.runtime.regrouping import regroup
from contextnet.runtime.segmentation import Segmentation

LABELS = np.array([[0, 0, 11, 11], [0, 13, 13, 255]], np.uint8)
CONFIDENCE = np.array([[0.5, 1.0, 0.25, 0.75], [0.75, 0.5, 0.5, 0.125]], np.float32)
PLAIN = Segmentation(LABELS, CITYSCAPES, 12.5)
SURE = replace(PLAIN, confidence=CONFIDENCE)


def test_areas_of_all_classes_and_of_void() -> None:
    nowhere = {name: ClassArea(0, 0.0, None) for name in CITYSCAPES.names}
    plain = {"road": ClassArea(3, 3 / 8, None), "person": ClassArea(2, 2 / 8, None), "car": ClassArea(2, 2 / 8, None)}
    assert PLAIN.areas() == ClassAreas({**nowhere, **plain}, ClassArea(1, 1 / 8, None))
    sure = {"road": ClassArea(3, 3 / 8, 0.75), "person": ClassArea(2, 2 / 8, 0.5), "car": ClassArea(2, 2 / 8, 0.5)}
    assert SURE.areas() == ClassAreas({**nowhere, **sure}, ClassArea(1, 1 / 8, 0.125))
    assert tuple(PLAIN.areas().classes) == CITYSCAPES.names


def test_confidence_of_void_is_unknown_where_there_is_none() -> None:
    result = Segmentation(LABELS[:1], CITYSCAPES, 1.0, CONFIDENCE[:1])
    assert result.areas().void == ClassArea(0, 0.0, None)


def test_areas_add_up_whatever_the_labels_hold() -> None:
    labels = np.random.default_rng(3).integers(0, 256, (40, 50)).astype(np.uint8)
    areas = Segmentation(labels, CAMVID, 1.0).areas()
    assert areas.void.pixels == np.count_nonzero(labels >= 11)
    assert sum(area.pixels for area in areas.classes.values()) + areas.void.pixels == labels.size
    assert sum(area.share for area in areas.classes.values()) + areas.void.share == pytest.approx(1)


def test_confidence_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the labels are \(2, 4\), their confidence \(2, 3\)"):
        Segmentation(LABELS, CITYSCAPES, 1.0, CONFIDENCE[:, :3])


@pytest.mark.parametrize("person", ["person", 11, np.uint8(11)])
def test_mask_by_name_or_train_id(person: str | int) -> None:
    mask = PLAIN.mask(person)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, False, True, True], [False] * 4]
    assert not PLAIN.mask("sky").any()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("persn", "label set 'cityscapes' has no class 'persn'; the nearest is 'person'; known: road, sidewalk,"),
        (19, "label set 'cityscapes' has no train id 19; its classes are 0 to 18"),
        (-1, "label set 'cityscapes' has no train id -1"),
        (255, "label set 'cityscapes' has no train id 255"),
    ],
)
def test_mask_of_an_unknown_class(asked: str | int, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        PLAIN.mask(asked)


def test_run_lengths_by_name() -> None:
    counts = {name: encoded.counts.tolist() for name, encoded in PLAIN.run_lengths().items()}
    assert counts == {"road": [0, 3, 5], "person": [4, 1, 1, 1, 1], "car": [3, 1, 1, 1, 2]}


def test_coco_itself_makes_the_same_of_the_masks(capsys: pytest.CaptureFixture[str]) -> None:
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": 7, "height": 2, "width": 4}],
        "categories": [{"id": c.file_ids[0], "name": c.name} for c in CITYSCAPES.classes],
        "annotations": [],
    }
    truth.createIndex()
    results = SURE.coco_results(image_id=7)
    # COCO works out the areas and boxes of records that bring no box.
    loaded = truth.loadRes([{k: v for k, v in r.items() if k not in {"bbox", "area"}} for r in results])
    capsys.readouterr()
    keys = ("image_id", "category_id", "area", "score")
    facts = [(*(a[k] for k in keys), a["bbox"].tolist()) for a in loaded.anns.values()]
    assert facts == [(*(r[k] for k in keys), r["bbox"]) for r in results]
    assert facts == [
        (7, 7, 3, 0.75, [0, 0, 2, 2]),
        (7, 24, 2, 0.5, [2, 0, 2, 1]),
        (7, 26, 2, 0.5, [1, 1, 2, 1]),
    ]


def test_coco_results_say_no_more_than_is_known() -> None:
    assert [set(record) for record in PLAIN.coco_results()] == [{"category_id", "segmentation", "bbox", "area"}] * 3


def test_geojson_of_a_result() -> None:
    road = [[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2], [0, 0]]
    person = [[2, 0], [4, 0], [4, 1], [2, 1], [2, 0]]
    car = [[1, 1], [3, 1], [3, 2], [1, 2], [1, 1]]
    assert SURE.geojson() == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"class": name, "train_id": train_id, "area_px": area_px, "confidence": confidence},
                "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]},
            }
            for name, train_id, area_px, confidence, ring in [
                ("road", 0, 3, 0.75, road),
                ("person", 11, 2, 0.5, person),
                ("car", 13, 2, 0.5, car),
            ]
        ],
    }


def test_small_regions_are_left_out() -> None:
    labels = np.array([[0, 0, 0, 1, 0], [2, 1, 1, 2, 0]], np.uint8)
    result = Segmentation(labels, CITYSCAPES, 1.0)
    assert {name: [p.area_px for p in polygons] for name, polygons in result.polygons(2).items()} == {
        "road": [3, 2],
        "sidewalk": [2],
    }
    assert [f["properties"]["area_px"] for f in result.geojson(3)["features"]] == [3]


def test_json_holds_what_is_asked_for() -> None:
    values = SURE.to_json()
    assert values == {
        "size_hw": [2, 4],
        "latency_ms": 12.5,
        "label_set": "cityscapes",
        "classes": {
            "road": {"pixels": 3, "share": 0.375, "confidence": 0.75},
            "person": {"pixels": 2, "share": 0.25, "confidence": 0.5},
            "car": {"pixels": 2, "share": 0.25, "confidence": 0.5},
        },
        "void": {"pixels": 1, "share": 0.125, "confidence": 0.125},
    }
    full = SURE.to_json(run_lengths=True, polygons=True, min_area_px=3)
    assert json.loads(json.dumps(full)) == {
        **values,
        "run_lengths": SURE.coco_results(),
        "polygons": SURE.geojson(3),
    }


def test_json_of_numpys_own_numbers_is_plain() -> None:
    result = Segmentation(LABELS, CITYSCAPES, np.float32(2.5), CONFIDENCE)  # type: ignore[arg-type]
    assert json.loads(json.dumps(result.to_json()))["latency_ms"] == 2.5


def test_regrouped() -> None:
    regrouping = regroup(CITYSCAPES, {"vulnerable": ["person", "rider"], "drivable": ["road"]}, keep_others=False)
    result = SURE.regrouped(regrouping)
    assert result.labels.tolist() == [[1, 1, 0, 0], [1, 255, 255, 255]]
    assert result.label_set.names == ("vulnerable", "drivable")
    assert result.file_ids().tolist() == [[7, 7, 24, 24], [7, 0, 0, 0]]
    assert result.confidence is CONFIDENCE
    assert result.latency_ms == 12.5
    assert list(result.areas().classes) == ["vulnerable", "drivable"]
    with pytest.raises(DataError, match="for the classes of 'cityscapes' and the result has those of 'cityscapes reg"):
        result.regrouped(regrouping)


def test_a_result_in_other_colours_can_be_regrouped() -> None:
    regrouping = regroup(CITYSCAPES, {"vulnerable": ["person"]}, keep_others=True)
    own = replace(PLAIN, label_set=with_palette(CITYSCAPES, {"road": (1, 2, 3)}))
    assert own.colors()[0, 0].tolist() == [1, 2, 3]
    assert own.regrouped(regrouping).label_set == regrouping.target
