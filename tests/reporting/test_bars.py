from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from contextnet.reporting.bars import BarAxis, BarPanel, BarRow, bars_svg
from svg_texts import SVG, assert_legible, placed_texts

LONG = 'a network <&"> with a name-of-many-parts that no column of any picture could ever hold in only three lines'


def _drawn(*panels: BarPanel, series: tuple[str, ...] = ("here",), caption: str = "") -> ElementTree.Element:
    drawing = ElementTree.fromstring(bars_svg(panels, series, "Bars", caption))
    assert_legible(drawing)
    return drawing


def _panel(*rows: BarRow, axis: BarAxis | None = None) -> BarPanel:
    return BarPanel(axis or BarAxis("mIoU, %"), rows)


def _bars(drawing: ElementTree.Element, panel: int = 0) -> list[ElementTree.Element]:
    return drawing.findall(f"{SVG}g")[panel].findall(f"{SVG}rect")


def _lengths(drawing: ElementTree.Element, panel: int = 0) -> list[float]:
    return [float(bar.attrib["width"]) for bar in _bars(drawing, panel)]


def _keys(drawing: ElementTree.Element) -> list[ElementTree.Element]:
    return drawing.findall(f"{SVG}rect")[1:]


def _ticks(drawing: ElementTree.Element, panel: int = 0) -> dict[str, float]:
    """Give the places of the ticks' labels: the middle ones on the first line below the bars."""
    middle = [t for t in drawing.findall(f"{SVG}g")[panel].findall(f"{SVG}text") if t.get("text-anchor") == "middle"]
    line = min(float(text.attrib["y"]) for text in middle)
    return {text.text or "": float(text.attrib["x"]) for text in middle if float(text.attrib["y"]) == line}


def _values(drawing: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in drawing.iter(f"{SVG}text") if text.get("class") == "value"]


def test_bars_are_as_long_as_their_values_say() -> None:
    # A panel of 860 − 2 × 16 = 828 pixels: labels of 4 letters take 28 + 9, values of 4 letters take 28 + 9; the axis
    # goes from 0 to 80 on the 754 that are left.
    drawing = _drawn(_panel(BarRow("cn14", (40.0,)), BarRow("cn18", (60.0,)), BarRow("cn12", (80.0,))))
    assert _lengths(drawing) == [377.0, 565.5, 754.0]
    assert {bar.attrib["x"] for bar in _bars(drawing)} == {"37"}
    assert _ticks(drawing) == {"0": 37, "20": 225.5, "40": 414, "60": 602.5, "80": 791}
    grid = [line for line in drawing.iter(f"{SVG}line") if line.get("class") == "gridline"]
    assert [float(line.attrib["x1"]) for line in grid] == list(_ticks(drawing).values())


def test_values_stand_at_the_ends_of_their_bars() -> None:
    drawing = _drawn(_panel(BarRow("a", (12.34, 56.78)), BarRow("b", (None, 9.96))), series=("here", "the paper"))
    assert _values(drawing) == ["12.3", "56.8", "–", "10.0"]
    texts = [text for text in drawing.iter(f"{SVG}text") if text.get("class") == "value"]
    ends = {bar.attrib["y"]: float(bar.attrib["x"]) + float(bar.attrib["width"]) for bar in _bars(drawing)}
    start = float(_bars(drawing)[0].attrib["x"])
    for text, end in zip(texts, [*list(ends.values())[:2], start, list(ends.values())[2]], strict=True):
        assert float(text.attrib["x"]) == pytest.approx(end + 6, abs=0.02)
    middles = [float(bar.attrib["y"]) + 6 for bar in _bars(drawing)]
    feet = [float(text.attrib["y"]) - 4 for text in texts]
    assert middles == [feet[0], feet[1], feet[3]]
    assert [after - before for before, after in pairwise(feet)] == [15, 24, 15]


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(12.5, 0, "12"), (0.854, 2, "0.85"), (1234.5, 1, "1,234.5"), (0.0, 1, "0.0")]
)
def test_values_have_their_decimals(value: float, decimals: int, text: str) -> None:
    assert _values(_drawn(_panel(BarRow("a", (value,)), axis=BarAxis("x", decimals)))) == [text]


def test_a_wide_span_makes_the_axis_logarithmic_where_it_may_be() -> None:
    # From 0.5, the round number below 1, to 500: three decades on 828 − (7 + 9) − (35 + 9) = 768 pixels.
    axis = BarAxis("frames/s", log=True)
    drawing = _drawn(_panel(BarRow("a", (1.0,)), BarRow("b", (10.0,)), BarRow("c", (300.0,)), axis=axis))
    expected = [256 * math.log10(value / 0.5) for value in (1, 10, 300)]
    assert _lengths(drawing) == pytest.approx(expected, abs=0.01)
    ticks = _ticks(drawing)
    assert list(ticks) == ["0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500"]
    assert (ticks["0.5"], ticks["500"]) == (16, 784)
    assert ticks["50"] == 16 + 512
    assert "frames/s, logarithmic" in [text.text for text in drawing.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("values", "log", "is_log"),
    [
        ((1.0, 50.0), True, False),
        ((1.0, 50.1), True, True),
        ((1.0, 300.0), False, False),
        ((0.0, 300.0), True, False),
        ((None, 300.0), True, False),
        ((None, None), True, False),
    ],
)
def test_the_axis_is_logarithmic_only_where_that_helps(
    values: tuple[float | None, ...], log: bool, is_log: bool
) -> None:
    rows = (BarRow(str(index), (value,)) for index, value in enumerate(values))
    drawing = _drawn(_panel(*rows, axis=BarAxis("x", log=log)))
    titles = [text.text for text in drawing.iter(f"{SVG}text") if text.get("class") is None]
    assert ("x, logarithmic" in titles, "x" in titles) == (is_log, not is_log)
    assert ("0" in _ticks(drawing)) == (not is_log)


def test_a_logarithmic_bar_of_a_round_value_has_a_length() -> None:
    drawing = _drawn(_panel(BarRow("a", (0.1,)), BarRow("b", (100.0,)), axis=BarAxis("x", log=True)))
    shortest, longest = _lengths(drawing)
    # From 0.05 to 100.
    assert shortest / longest == pytest.approx(math.log10(2) / math.log10(2000), abs=1e-4)
    assert (min(_ticks(drawing), key=float), max(_ticks(drawing), key=float)) == ("0.05", "100")


def test_many_decades_leave_out_ticks_that_would_touch() -> None:
    few = _panel(BarRow("a", (0.015, 2000.0)), axis=BarAxis("x", log=True))
    many = _panel(BarRow("a", (0.015, 123456.0)), axis=BarAxis("x", log=True))
    drawing = _drawn(few, many, series=("one", "two"))
    assert list(_ticks(drawing)) == ["0.01", "0.1", "1", "10", "100", "1000"]
    assert list(_ticks(drawing, 1)) == ["0.01", "1", "100", "10000"]


def test_panels_can_share_an_axis() -> None:
    narrow = _panel(BarRow("cn14", (10.0,)), axis=BarAxis("x", reach=80.0))
    wide = _panel(BarRow("cn14", (80.0,)), axis=BarAxis("x", reach=80.0))
    drawing = _drawn(narrow, wide)
    assert _lengths(drawing, 0)[0] / _lengths(drawing, 1)[0] == pytest.approx(1 / 8, abs=1e-4)
    assert _ticks(drawing, 0) == _ticks(drawing, 1)


def test_panels_stand_two_in_a_line_and_their_rows_in_one_height() -> None:
    both = _panel(BarRow("a", (1.0, 2.0)), BarRow("b", (3.0, 4.0)))
    alone = _panel(BarRow("a", (5.0,)), BarRow("b", (6.0,)))
    drawing = _drawn(both, alone, alone, series=("here", "the paper"))
    moves = [
        tuple(map(float, re.findall(r"[\d.]+", group.attrib["transform"]))) for group in drawing.findall(f"{SVG}g")
    ]
    assert [x for x, _ in moves] == [16, 445, 16]
    assert moves[0][1] == moves[1][1] < moves[2][1]
    feet = {
        panel: [text.get("y") for text in drawing.findall(f"{SVG}g")[panel].findall(f"{SVG}text[@class='name']")]
        for panel in (0, 1)
    }
    assert feet[0] == feet[1]
    middles = [float(bar.attrib["y"]) for bar in _bars(drawing, 0)]
    assert [float(bar.attrib["y"]) for bar in _bars(drawing, 1)] == [
        (middles[0] + middles[1]) / 2,
        (middles[2] + middles[3]) / 2,
    ]


def test_series_have_their_colours_and_a_legend() -> None:
    drawing = _drawn(_panel(BarRow("a", (1.0, 2.0, 3.0))), series=("one", "two", "three"))
    assert [bar.get("class") for bar in _bars(drawing)] == ["bar s0", "bar s1", "bar s2"]
    keys = _keys(drawing)
    assert [key.get("class") for key in keys] == ["s0", "s1", "s2"]
    named = [text.text for text in drawing.findall(f"{SVG}text")]
    assert named == ["one", "two", "three"]
    style = drawing.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert ".s0{fill:#2a78d6}" in light
    assert ".s0{fill:#4f97ea}" in dark


def test_one_series_needs_no_legend() -> None:
    drawing = _drawn(_panel(BarRow("a", (1.0,))))
    assert len(drawing.findall(f"{SVG}rect")) == 1
    assert not drawing.findall(f"{SVG}text")


def test_a_legend_that_is_too_long_goes_on_below() -> None:
    series = tuple(f"a series with a long name, number {number}" for number in range(4))
    drawing = _drawn(_panel(BarRow("a", (1.0, 2.0, 3.0, 4.0))), series=series)
    keys = [(key.get("x"), key.get("y")) for key in _keys(drawing)]
    assert [y for _, y in keys] == ["16", "16", "16", "36"]
    assert keys[3][0] == "16"


def test_a_name_that_is_too_long_for_the_legend_is_cut() -> None:
    drawing = _drawn(_panel(BarRow("a", (1.0, 2.0))), series=("x" * 200, "the paper"))
    # Behind its colour, 828 − 12 − 6 pixels hold 115 letters.
    assert [text.text for text in drawing.findall(f"{SVG}text")] == ["x" * 114 + "…", "the paper"]


def test_what_a_bar_stands_for_is_told_where_it_is_pointed_at() -> None:
    row = BarRow("<a> & b", (1.25, None))
    drawing = _drawn(_panel(row, axis=BarAxis("frames/s", 2)), series=("here", 'the "paper"'))
    titles = [bar.findtext(f"{SVG}title") for bar in _bars(drawing)]
    assert titles == ["<a> & b, here: 1.25 (frames/s)"]
    dash = next(text for text in drawing.iter(f"{SVG}text") if text.text == "–")
    assert dash.findtext(f"{SVG}title") == '<a> & b, the "paper": no value'


def test_long_texts_are_broken_and_cut_and_told_in_full() -> None:
    panel = BarPanel(BarAxis(LONG, log=True), (BarRow(LONG, (1.0, 300.0)), BarRow("x" * 90, (2.0, None))), LONG * 3)
    drawing = _drawn(panel, panel, panel, series=(LONG * 2, "the paper"), caption=LONG * 20)
    names = [text for text in drawing.findall(f"{SVG}g")[0].findall(f"{SVG}text") if text.get("class") == "name"]
    # 0.38 × 399 pixels hold 21 letters.
    assert [text.text for text in names] == [
        *('a network <&"> with a', "name-of-many-parts", "that no column of an…"),
        *("x" * 21, "x" * 21, "x" * 20 + "…"),
    ]
    assert [text.findtext(f"{SVG}title") for text in names] == [LONG] * 3 + ["x" * 90] * 3
    caption = drawing.findall(f"{SVG}text")[-1]
    assert (caption.text or "")[-1] == "…"
    assert caption.findtext(f"{SVG}title") == LONG * 20


def test_a_short_label_has_no_tooltip() -> None:
    drawing = _drawn(_panel(BarRow("a label", (1.0,))))
    label = next(text for text in drawing.iter(f"{SVG}text") if text.get("class") == "name")
    assert label.text == "a label"
    assert label.find(f"{SVG}title") is None


def test_the_picture_says_what_it_shows() -> None:
    drawing = ElementTree.fromstring(bars_svg([_panel(BarRow("a", (1.0,)))], ["here"], 'Table <4> & "more"'))
    assert (drawing.get("role"), drawing.get("aria-label")) == ("img", 'Table <4> & "more"')


def test_a_whole_picture_is_laid_out_as_worked_out_by_hand() -> None:
    panel = BarPanel(BarAxis("x"), (BarRow("a", (1.0, 2.0)),), "Above")
    drawing = _drawn(panel, series=("here", "the paper"), caption="Below")
    keys = [tuple(float(key.attrib[name]) for name in ("x", "y", "width", "height")) for key in _keys(drawing)]
    assert keys == [(16, 16, 12, 12), (80, 16, 12, 12)]  # 12 + 6 + 4 × 7, and 18 between
    at = {text.text: (text.left, text.foot) for text in placed_texts(drawing)}
    assert (at["here"], at["the paper"]) == ((34, 26), (98, 26))
    # The panel begins at 44: a line of heading and 6; 39 for the row's two bars; ticks and title.
    assert at["Above"] == (16, 54)
    assert [float(bar.attrib["y"]) for bar in _bars(drawing)] == [26, 41]
    assert (at["1.0"][1], at["2.0"][1], at["a"]) == (44 + 36, 44 + 51, (16, 44 + 43.5))
    assert {foot for text, (_, foot) in at.items() if text in {"0", "0.5", "1", "1.5", "2"}} == {44 + 73}
    # The bars begin at 16 in the panel and end 30 before its end.
    assert at["x"] == (16 + (16 + 798) / 2 - 3.5, 44 + 91)
    assert at["Below"] == (16, 44 + 95 + 16 + 10)
    assert drawing.get("viewBox") == "0 0 860 185"


def test_a_label_of_several_lines_stands_around_the_middle_of_its_bars() -> None:
    drawing = _drawn(*[_panel(BarRow("word " * 10, (1.0, 2.0)))] * 2, series=("one", "two"))
    feet = [text.foot for text in placed_texts(drawing) if text.text.startswith("word")][:3]
    middle = (min(text.foot for text in placed_texts(drawing) if text.text == "1.0") + 3.5) + 4
    assert feet == [middle - 14, middle, middle + 14]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_length_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"'cn14': a bar cannot have the length {value}"):
        _panel(BarRow("cn14", (1.0, value)))
