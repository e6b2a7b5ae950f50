from __future__ import annotations

import re

import pytest

from contextnet.reporting.axes import Scale
from contextnet.reporting.curves import Better, Curve, Plot, broken_path, plot_card, spread

UNIT = Scale(0, 10, 0, 100)
DOWN = Scale(0, 1, 100, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([(1, 0.5)], "M10 50"),
        ([(1, 0.5), (2, 1.0), (3, 0.0)], "M10 50L20 0L30 100"),
        ([(1, 0.5), (2, None), (3, 0.0), (4, 0.25)], "M10 50M30 100L40 75"),
    ],
)
def test_a_missing_value_breaks_the_line(values: list[tuple[int, float | None]], expected: str) -> None:
    assert broken_path(values, UNIT, DOWN) == expected


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([], []),
        ([10, 50], [10, 50]),
        ([10, 10], [5, 15]),
        ([20, 10], [20, 10]),
        ([14, 10, 12], [22, 2, 12]),
        ([0, 4, 30], [-3, 7, 30]),
        ([0, 4, 13], [-4.333, 5.667, 15.667]),
    ],
)
def test_labels_move_apart(positions: list[float], expected: list[float]) -> None:
    assert spread(positions, 10) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("better", "expected"), [("high", (2, 5.0)), ("low", (3, 1.0))])
def test_best_is_the_first_of_the_best(better: Better, expected: tuple[int, float]) -> None:
    curve = Curve(0, "run", ((1, 3.0), (2, 5.0), (3, 1.0), (4, None), (5, 5.0), (6, 1.0)))
    assert curve.best(better) == expected


def test_a_chart_names_best_and_last_of_every_run() -> None:
    first = Curve(0, "a<b", ((1, 10.0), (50, 60.0), (100, 40.0)))
    second = Curve(1, "other", ((1, 20.0), (100, 55.5)))
    source = plot_card(Plot("Accuracy", (first, second), "high", "%")).source
    assert "a&lt;b: best 60.0 % (epoch 50), last 40.0 % (epoch 100)" in source
    assert "other: best and last 55.5 % (epoch 100)" in source
    values = re.findall(r'class="value">([^<]*)<', source)
    assert values == ["40.0", "55.5", "60.0"]
    assert len(re.findall(r'class="curve s\d"', source)) == 2
    # Epoch 50 of 1..100 at 49/99 of the way from 44 to 512, and 60 at the top of the ticks 10 to 60.
    assert re.search(r'<circle cx="275.64" cy="16" r="4.5" class="ring s0">', source)


def test_a_best_value_beside_the_last_is_written_once() -> None:
    curve = Curve(0, "run", ((1, 10.0), (99, 60.0), (100, 59.9)))
    values = re.findall(r'class="value">([^<]*)<', plot_card(Plot("Accuracy", (curve,), "high")).source)
    assert values == ["59.9"]


@pytest.mark.parametrize("values", [(), ((1, None),)])
def test_a_chart_without_values_says_so(values: tuple[tuple[int, float | None], ...]) -> None:
    source = plot_card(Plot("Loss", (Curve(0, "run", values),), "low")).source
    assert "No values yet." in source
    assert "<svg" not in source


@pytest.mark.parametrize("value", [0.0, 3.0, 1e-12, -2.0])
def test_a_single_point_is_drawn_inside(value: float) -> None:
    source = plot_card(Plot("Loss", (Curve(0, "run", ((1, value),)),), "low")).source
    heights = [float(y) for y in re.findall(r'cy="([^"]*)"', source)]
    assert heights
    assert all(16 <= y <= 216 for y in heights)


@pytest.mark.parametrize(
    ("value", "unit", "digits", "expected"),
    [(64.03, "%", 1, "64.0 %"), (0.526, "", 3, "0.526"), (0.0, "", 2, "0.00"), (0.00012345, "", 4, "0.00012")],
)
def test_values_are_written_with_their_unit(value: float, unit: str, digits: int, expected: str) -> None:
    assert Plot("x", (), None, unit, digits).written(value) == expected
