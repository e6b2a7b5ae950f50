"""Every condition: deterministic, worse with severity, pixels only; and how conditions are asked for."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from contextnet.data.conditions.catalogue import CONDITIONS, SEVERITIES, find_conditions
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.conditions.worsened import Worsened
from contextnet.errors import ContextNetError
from street_picture import StreetData

DOCUMENT = Path(__file__).parents[3] / "docs" / "robustness.md"

WORSENINGS = {
    name: tuple(change for change in changes if not isinstance(change, Scaling))
    for name, changes in CONDITIONS.items()
    if not isinstance(changes[0], Scaling)
}


@pytest.mark.parametrize("name", WORSENINGS)
def test_a_condition_changes_pixels_alone_more_with_severity_and_the_same_each_time(name: str) -> None:
    clean = StreetData()
    distances = []
    for worsening in WORSENINGS[name]:
        split = Worsened(clean, name, worsening)
        worse, again, truth = split[1], split[1], clean[1]
        assert worse.image.dtype == np.uint8
        assert worse.image.shape == truth.image.shape
        np.testing.assert_array_equal(worse.image, again.image)
        assert worse.label is not None
        assert truth.label is not None
        np.testing.assert_array_equal(worse.label, truth.label)
        assert (worse.image_path, worse.label_path) == (truth.image_path, truth.label_path)
        distances.append(np.abs(worse.image.astype(int) - truth.image).mean())
    assert 0 < distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("name", WORSENINGS)
@pytest.mark.parametrize("size_hw", [(1, 1), (3, 50), (37, 2)])
def test_any_size_can_be_worse(name: str, size_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), np.uint8)
    before = image.copy()
    for worsening in WORSENINGS[name]:
        assert worsening.worsen(image, np.random.default_rng(0)).shape == image.shape
    np.testing.assert_array_equal(image, before)


def test_what_is_drawn_comes_from_the_condition_and_the_index() -> None:
    dirt, *_ = WORSENINGS["dirt"]
    clean = StreetData()

    def spots(condition: str, index: int) -> np.ndarray:
        change = Worsened(clean, condition, dirt)[index].image.astype(int) - clean[index].image
        return np.abs(change).max(axis=2) > 20

    assert (spots("dirt", 0) & spots("dirt", 1)).sum() < spots("dirt", 0).sum() / 2
    assert (spots("dirt", 0) & spots("mud", 0)).sum() < spots("dirt", 0).sum() / 2


def test_a_worsened_split_says_what_it_is() -> None:
    split = Worsened(StreetData(3), "rain", WORSENINGS["rain"][0])
    assert (split.name, len(split), split.licence) == ("street/val (rain)", 3, "for tests")
    assert split.labels.num_classes == 11


@pytest.mark.parametrize(("name", "sign"), [("smaller", -1), ("larger", 1)])
def test_sizes_change_more_with_severity(name: str, sign: int) -> None:
    scales = [change.scale for change in CONDITIONS[name] if isinstance(change, Scaling)]
    steps = [sign * (scale - 1) for scale in scales]
    assert 0 < steps[0] < steps[1] < steps[2]


def test_conditions_are_found_by_name_in_the_catalogues_order() -> None:
    assert [c.name for c in find_conditions("weak")] == list(CONDITIONS)
    found = find_conditions("strong", ("rain", "defocus"))
    assert [(c.name, c.severity, c.change) for c in found] == [
        ("defocus", "strong", CONDITIONS["defocus"][2]),
        ("rain", "strong", CONDITIONS["rain"][2]),
    ]


@pytest.mark.parametrize(
    ("severity", "names", "message"),
    [
        ("mild", None, "severity 'mild': expected weak, medium or strong"),
        ("medium", ("rain", "Defocuss"), "conditions: 'Defocuss' is none; the nearest is 'defocus'; known: defocus, "),
        ("medium", ("fog",), "conditions: 'fog' is none; the nearest is "),
        ("medium", ("",), "conditions: '' is none; the nearest is "),
        ("medium", ("rain", "rain"), "conditions: 'rain' stands twice; name each once"),
    ],
)
def test_what_is_not_there_is_named(severity: str, names: tuple[str, ...] | None, message: str) -> None:
    with pytest.raises(ContextNetError, match=f"^{re.escape(message)}"):
        find_conditions(severity, names)


def test_the_document_has_the_figures_of_every_condition() -> None:
    rows = {
        row[0].strip("` "): row[2:]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(row := line.strip("|").split("|")) == 2 + len(SEVERITIES)
    }
    assert list(rows) == list(CONDITIONS)
    for name, changes in CONDITIONS.items():
        for change, cell in zip(changes, rows[name], strict=True):
            said = re.findall(r"\d+(?:\.\d+)?", change.describe())
            assert said[: len(re.findall(r"\d+(?:\.\d+)?", cell))] == re.findall(r"\d+(?:\.\d+)?", cell), name
            assert re.search(r"\d", cell), name
