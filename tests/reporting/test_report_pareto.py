from __future__ import annotations

import random
from itertools import combinations
from xml.etree import ElementTree

import pytest

from contextnet.reporting.pareto import Panel, Point, pareto_front, pareto_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_what_another_beats_is_not_on_the_front() -> None:
    assert pareto_front([(10, 60), (20, 70), (20, 65), (30, 70), (5, 50)]) == (0, 1, 4)


def test_equals_are_on_the_front_together() -> None:
    assert pareto_front([(10, 60), (10, 60), (11, 60)]) == (0, 1)


def test_front_is_what_its_definition_says() -> None:
    draw = random.Random(0)
    points = [(draw.randrange(8), draw.randrange(8)) for _ in range(40)]
    front = set(pareto_front(points))
    for index, (cost, quality) in enumerate(points):
        better = [(c, q) for c, q in points if (c < cost and q >= quality) or (c <= cost and q > quality)]
        assert (index in front) == (not better)


@pytest.fixture
def drawing() -> ElementTree.Element:
    points = tuple(Point(f"net {i} <wide>", ("fp32", "INT8")[i % 2], 10.0 + 3 * i, 60 + i % 4) for i in range(8))
    return ElementTree.fromstring(pareto_svg([Panel("latency, ms", points), Panel("size, MB", points)], "mIoU, %"))


def test_every_network_has_a_dot_and_a_name_in_every_panel(drawing: ElementTree.Element) -> None:
    panels = drawing.findall(f"{SVG}g")
    assert len(panels) == 2
    for panel in panels:
        assert len(panel.findall(f"{SVG}circle")) == 8
        names = [text.text for text in panel.findall(f"{SVG}text") if text.get("class") == "name"]
        assert names == [f"net {i} <wide>" for i in range(8)]
    heights = {float(dot.get("cy", "0")) for dot in panels[0].findall(f"{SVG}circle")}
    assert len(heights) == 4, "better is higher up"
    assert len({dot.get("class") for dot in panels[0].findall(f"{SVG}circle")}) == 2


def test_names_do_not_cover_each_other(drawing: ElementTree.Element) -> None:
    spans = []
    for text in drawing.findall(f"{SVG}g")[0].findall(f"{SVG}text"):
        if text.get("class") == "name":
            width, x, y = 6.6 * len(text.text or ""), float(text.get("x", "0")), float(text.get("y", "0"))
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
            spans.append((left, left + width, y))
    for (left, right, y), (other_left, other_right, other_y) in combinations(spans, 2):
        assert right <= other_left or other_right <= left or abs(y - other_y) >= 12


def test_one_network_alone_is_drawn() -> None:
    point = Point("only", "fp32", 10.0, 60.0)
    dots = ElementTree.fromstring(pareto_svg([Panel("ms", (point,))], "mIoU")).iter(f"{SVG}circle")
    assert all(float(dot.get("cx", "nan")) > 0 for dot in dots)


def test_costs_that_span_much_are_drawn_by_their_logarithm() -> None:
    def places(*costs: float) -> tuple[list[float], bool]:
        points = tuple(Point(f"n{i}", "fp32", cost, 60 + i) for i, cost in enumerate(costs))
        root = ElementTree.fromstring(pareto_svg([Panel("latency, ms", points)], "mIoU, %"))
        is_log = any(text.text == "latency, ms, logarithmic" for text in root.iter(f"{SVG}text"))
        return [float(dot.get("cx", "0")) for dot in root.findall(f"{SVG}g/{SVG}circle")], is_log

    (first, second, third), is_log = places(1, 10, 100)
    assert is_log
    assert second - first == pytest.approx(third - second, abs=0.2), "equal ratios are equally far"
    (first, second, third), is_log = places(10, 20, 70)
    assert not is_log
    assert third - second == pytest.approx(5 * (second - first), abs=0.5)
    assert not places(0, 10, 100)[1], "zero has no logarithm"
