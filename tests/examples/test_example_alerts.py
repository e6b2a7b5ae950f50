from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import alerts
import av
import numpy as np
import pytest
from alerts import Alert, Alerts, AlertSink, Region, Rule, RuleWatch, main, read_rules
from example_images import image_folder
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, StreamError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.runtime import Segmentation, trace_polygons
from contextnet.streaming.frame import Frame

SHIPPED_RULES = Path(alerts.__file__).with_name("rules.yaml")
CAR, PEDESTRIAN = CAMVID.names.index("car"), CAMVID.names.index("pedestrian")
WHOLE: dict[str, Any] = {"name": "a", "classes": ["pedestrian"], "frames": 1, "least_px": 1}


def half_and_half() -> NDArray[np.uint8]:
    """4×6 pixels: cars in the columns 0 to 2, pedestrians in 3 to 5."""
    labels = np.full((4, 6), CAR, np.uint8)
    labels[:, 3:] = PEDESTRIAN
    return labels


def rule_with(**changes: Any) -> Rule:
    return Rule.model_validate(WHOLE | changes)


def result_of(labels: NDArray[np.uint8], frame: Frame | None = None) -> Segmentation:
    return Segmentation(labels, CAMVID, 1.0, frame=frame)


@pytest.mark.parametrize(
    ("changes", "pixels", "share"),
    [
        ({}, 12, 12 / 24),
        ({"classes": ["pedestrian", "car"]}, 24, 1.0),
        ({"classes": ["sky"]}, 0, 0.0),
        ({"polygon_px": [[2, 1], [6, 1], [6, 4], [2, 4]]}, 9, 9 / 12),
        ({"polygon": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]]}, 12, 1.0),
        # Of pixels that a slanted edge crosses, those whose centre is within: 5, 4, 2 and 1 of the rows.
        ({"polygon_px": [[0, 0], [6, 0], [0, 4]]}, 3, 3 / 12),
        # Across the picture's border only what is in the picture counts.
        ({"polygon_px": [[4, 2], [100, 2], [100, 100], [4, 100]]}, 4, 1.0),
        # One pixel in the corner.
        ({"polygon_px": [[5, 3], [6, 3], [6, 4], [5, 4]]}, 1, 1.0),
    ],
)
def test_the_classes_are_counted_within_the_region(changes: dict[str, Any], pixels: int, share: float) -> None:
    watch = RuleWatch(rule_with(**changes), CAMVID)
    assert watch.measure(half_and_half()) == (pixels, share)


@pytest.mark.parametrize(
    ("frames", "holds", "events"),
    [
        (1, "0110", [("begin", 1), ("end", 3)]),
        (3, "11011100101000", [("begin", 5), ("end", 13)]),
        (2, "1100110011", [("begin", 1), ("end", 3), ("begin", 5), ("end", 7), ("begin", 9)]),
        (2, "1010101", []),
        (5, "1111", []),
        (2, "0000", []),
    ],
)
def test_an_alert_begins_and_ends_after_frames_in_a_row(frames: int, holds: str, events: list[tuple[str, int]]) -> None:
    watching = Alerts([rule_with(frames=frames)], CAMVID)
    found = []
    for held in holds:
        labels = np.full((2, 2), PEDESTRIAN if held == "1" else CAR, np.uint8)
        found += [(alert.event, alert.index) for alert in watching.update(result_of(labels))]
    assert found == events


@pytest.mark.parametrize(
    ("least", "pixels", "begins"),
    [
        ({"least_px": 3}, 2, False),
        ({"least_px": 3}, 3, True),
        ({"least_share": 0.75}, 2, False),
        ({"least_share": 0.75}, 3, True),
    ],
)
def test_the_least_is_enough(least: dict[str, Any], pixels: int, begins: bool) -> None:
    labels = np.full((2, 2), CAR, np.uint8)
    labels.ravel()[:pixels] = PEDESTRIAN
    rule = rule_with(**({"least_px": None} | least))
    assert bool(Alerts([rule], CAMVID).update(result_of(labels))) == begins


def test_an_alert_tells_its_frame_and_its_measure() -> None:
    frame = Frame.of_image(np.zeros((4, 6, 3), np.uint8), 17, 0.5)
    rules = [rule_with(name=name, classes=[c]) for name, c in (("p", "pedestrian"), ("s", "sky"))]
    found = Alerts(rules, CAMVID).update(result_of(half_and_half(), frame))
    assert found == [Alert("begin", "p", 17, 0.5, 12, 0.5)]


def test_a_change_of_size_draws_the_polygon_anew_and_goes_on_counting() -> None:
    rule = rule_with(frames=3, polygon=[[0.5, 0], [1, 0], [1, 1], [0.5, 1]])
    watching = Alerts([rule], CAMVID)
    large = np.kron(half_and_half(), np.ones((3, 2), np.uint8))
    found = [watching.update(result_of(labels)) for labels in (half_and_half(), large, large)]
    assert found == [[], [], [Alert("begin", "a", 2, None, 72, 1.0)]]


def test_a_polygon_outside_a_smaller_picture_is_refused() -> None:
    watching = Alerts([rule_with(polygon_px=[[4, 0], [6, 0], [6, 4], [4, 4]])], CAMVID)
    watching.update(result_of(half_and_half()))
    with pytest.raises(StreamError, match=r"rule 'a': its polygon holds no pixel of a picture of 2×3 .*in shares"):
        watching.update(result_of(half_and_half()[:2, :3]))


def test_a_region_is_the_mask_that_its_outline_was_traced_from() -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        # Columns that stand on one line: one region without holes.
        mask = np.arange(16)[:, None] >= generator.integers(0, 15, 24)
        (outline,) = trace_polygons(mask)
        region = Region.of(rule_with(polygon_px=outline.rings[0].tolist()), (16, 24))
        drawn = np.zeros_like(mask)
        drawn[region.box] = region.mask
        np.testing.assert_array_equal(drawn, mask)
        assert region.pixels == outline.area_px


def test_an_unknown_class_is_told_with_the_nearest() -> None:
    with pytest.raises(ContextNetError, match=r"rule 'a': .* have no 'pedestrain'; the nearest is 'pedestrian'"):
        Alerts([rule_with(classes=["pedestrain"])], CAMVID)


def test_results_in_other_classes_are_refused() -> None:
    watching = Alerts([rule_with()], CAMVID)
    with pytest.raises(ValueError, match="the classes of 'cityscapes', not 'camvid'"):
        watching.update(Segmentation(half_and_half(), CITYSCAPES, 1.0))


def changed(**changes: object) -> str:
    return json.dumps({"rules": [{k: v for k, v in (WHOLE | changes).items() if v is not None}]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (changed(frames=0), r"rules\.0\.frames: input should be greater than or equal to 1"),
        (changed(frames="5"), r"rules\.0\.frames: input should be a valid integer"),
        (changed(frames=True), r"rules\.0\.frames: input should be a valid integer"),
        (changed(frames=None), r"rules\.0\.frames: field required"),
        (changed(clases=[]), r"rules\.0\.clases: there is no such key; a rule has name, classes, frames"),
        (changed(classes="car"), r"rules\.0\.classes: input should be a valid list"),
        (changed(classes=[]), r"rules\.0\.classes: list should have at least 1 item"),
        (changed(least_px=None), r"rules\.0: give either least_share or least_px"),
        (changed(least_share=0.5), r"rules\.0: give either least_share or least_px"),
        (changed(least_px=None, least_share=50), r"rules\.0\.least_share: input should be less than or equal to 1"),
        (changed(polygon=[[0, 0], [1, 1]]), r"rules\.0\.polygon: list should have at least 3 items"),
        (changed(polygon=[[0, 0], [1, 1], [1]]), r"rules\.0\.polygon\.2: list should have at least 2 items"),
        (changed(polygon=[[0, 0], [640, 0], [0, 1]]), r"rules\.0\.polygon\.1\.0: input should be less than or equal"),
        (
            changed(polygon=[[0, 0], [1, 0], [0, 1]], polygon_px=[[0, 0], [1, 0], [0, 1]]),
            r"rules\.0: give either poly",
        ),
        ('{"rules": []}', r"rules: list should have at least 1 item"),
        (json.dumps({"rules": [WHOLE, WHOLE]}), r"rules: the name 'a' stands twice; give each rule its own"),
        ("rules: [{polygon_px: [[.nan, 0]]}]", r"rules\.0\.name: field required"),
        ("", r"rules: input should be a valid dictionary"),
        ("rules: [", r"is neither YAML nor JSON"),
        ("rules: !!python/object:os.system {}", r"is neither YAML nor JSON"),
        ("[" * 5000, r"is neither YAML nor JSON"),
    ],
)
def test_a_wrong_file_of_rules_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContextNetError, match=f"rules.yaml: {expected}.*; examples/rules.yaml shows"):
        read_rules(path)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match=r"rules\.yaml: cannot be read: No such file"):
        read_rules(tmp_path / "rules.yaml")
    (tmp_path / "rules.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContextNetError, match="neither YAML nor JSON"):
        read_rules(tmp_path / "rules.yaml")


def test_the_rules_beside_the_examples_fit_the_shipped_network() -> None:
    rules = read_rules(SHIPPED_RULES)
    assert len(rules) == 2
    Alerts(rules, CAMVID)


def test_the_sink_writes_a_line_at_once(tmp_path: Path) -> None:
    sink = AlertSink(Alerts([rule_with()], CAMVID), tmp_path / "a.jsonl")
    frame = Frame.of_image(np.zeros((4, 6, 3), np.uint8), 3, 0.25)
    sink.write(result_of(half_and_half(), frame), None)
    expected = {"event": "begin", "rule": "a", "index": 3, "time_s": 0.25, "pixels": 12, "share": 0.5}
    assert json.loads((tmp_path / "a.jsonl").read_text()) == expected
    sink.close()


def test_the_sink_names_what_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"a\.jsonl: cannot be written: No such file"):
        AlertSink(Alerts([rule_with()], CAMVID), tmp_path / "no" / "a.jsonl")


def test_alerts_are_written_beside_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = WHOLE | {"classes": list(CAMVID.names), "frames": 2}
    (tmp_path / "rules.json").write_text(json.dumps({"rules": [rule]}))
    images, video = image_folder(tmp_path / "images"), tmp_path / "labelled.mp4"
    main([str(images), str(tmp_path / "rules.json"), "--video", str(video)])
    (line,) = capsys.readouterr().out.splitlines()
    # At 25 pictures a second, the clock's 90 000 ticks hit 0.04 s exactly.
    expected = {"event": "begin", "rule": "a", "index": 1, "time_s": 0.04, "pixels": 64 * 96, "share": 1.0}
    assert json.loads(line) == expected
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_a_fault_is_one_line_and_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), str(tmp_path / "rules.yaml")])
    assert ended.value.code == 2
    assert "rules.yaml: cannot be read" in capsys.readouterr().err.splitlines()[-1]
