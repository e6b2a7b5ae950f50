from __future__ import annotations

import re
from pathlib import Path

import pytest
from reporting_runs import lines, make_run, validation

from contextnet.reporting.classes import class_sections, group_by_classes, ordered_classes, thinned
from contextnet.reporting.run_record import RunRecord, read_run


def record_of(tmp_path: Path, name: str, *validations: dict[str, float | None]) -> RunRecord:
    events = [validation(index + 1, 0.1 * (index + 1), iou) for index, iou in enumerate(validations)]
    return read_run(make_run(tmp_path / name, lines(*events)), name)


def test_bars_show_the_best_validation_of_every_run(tmp_path: Path) -> None:
    first = record_of(tmp_path, "first", {"road": 0.5, "car": 0.0}, {"road": 0.25, "car": 0.75})
    second = record_of(tmp_path, "second", {"road": 0.5, "car": None})
    source = class_sections([first, second]).source
    bars = re.findall(r'<rect x="160" y="[^"]*" width="([^"]*)"[^>]*class="bar (s\d)"><title>([^<]*)<', source)
    # A bar of 100 % is 900 wide. Road's mean is 37.5 %, car's 75 %, since its undefined IoU is left out.
    assert bars == [
        ("675", "s0", "first, car: 75.00 %"),
        ("225", "s0", "first, road: 25.00 %"),
        ("450", "s1", "second, road: 50.00 %"),
    ]
    assert source.count("not in the data") == 1


def test_panels_follow_every_run_over_the_epochs(tmp_path: Path) -> None:
    first = record_of(tmp_path, "first", {"road": 0.0}, {"road": 0.5}, {"road": 1.0})
    second = record_of(tmp_path, "second", {"road": 0.5})
    source = class_sections([first, second]).source
    # Epochs 0 to 3 span 2 to 164, and IoU 0 to 1 spans 70 up to 6.
    assert re.findall(r'<path d="([^"]*)" class="curve (s\d)">', source) == [
        ("M56 70L110 38L164 6", "s0"),
        ("M56 38", "s1"),
    ]
    assert '<b class="s0">100</b><b class="s1">50</b> %' in source


def test_runs_with_other_classes_stand_apart(tmp_path: Path) -> None:
    runs = [
        record_of(tmp_path, "a", {"road": 0.5, "car": 0.1}),
        record_of(tmp_path, "b", {"tree": 0.5}),
        record_of(tmp_path, "c", {"car": 0.5, "road": 0.1}),
        record_of(tmp_path, "d"),
    ]
    assert [[index for index, _ in group] for group in group_by_classes(runs)] == [[0, 2], [1]]


def test_classes_are_ordered_by_their_mean(tmp_path: Path) -> None:
    runs = [
        (0, record_of(tmp_path, "a", {"w": 0.25, "x": 0.5, "y": None, "z": None})),
        (1, record_of(tmp_path, "b", {"w": 0.5, "x": 0.5, "y": 0.9, "z": None})),
    ]
    assert ordered_classes(runs) == ["y", "x", "w", "z"]


def test_without_a_validation_the_section_says_so(tmp_path: Path) -> None:
    assert "No run has been validated yet." in class_sections([record_of(tmp_path, "a")]).source


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (200, 200), (201, 101), (1000, 201)])
def test_a_long_run_is_thinned_and_keeps_its_ends(count: int, kept: int) -> None:
    values = [(epoch, 0.5) for epoch in range(1, count + 1)]
    few = thinned(values)
    assert len(few) == kept
    assert few[:1] == values[:1]
    assert few[-1:] == values[-1:]
