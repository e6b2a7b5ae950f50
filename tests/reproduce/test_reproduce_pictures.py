from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from contextnet.reproduce.layer_tables import layer_tables
from contextnet.reproduce.pictures import picture_of
from contextnet.reproduce.table import Column, Row, Table, Value
from svg_texts import SVG, assert_legible, placed_texts

MIOU = Column("miou", "mIoU, %")
RATES = (
    Column("everything_fps", "frames/s, everything"),
    Column("network_fps", "network alone"),
    Column("pipelined_fps", "pipelined"),
    Column("latency_ms", "ms"),
)


def _table(name: str, columns: tuple[Column, ...], *rows: Row) -> Table:
    return Table(name, f"Title of <{name}>", columns, rows, (), {})


def _here(network: str, remark: str = "", **values: Value) -> Row:
    return Row(network, "here", values, remark)


def _paper(network: str, **values: Value) -> Row:
    return Row(network, "paper", values)


def _drawn(table: Table) -> ElementTree.Element:
    source = picture_of(table)
    assert source is not None
    drawing = ElementTree.fromstring(source)
    assert drawing.get("aria-label") == table.title
    assert_legible(drawing)
    return drawing


def _texts(element: ElementTree.Element, class_: str | None = None) -> list[str]:
    texts = element.iter(f"{SVG}text")
    return [text.text or "" for text in texts if class_ is None or text.get("class") == class_]


def _panels(drawing: ElementTree.Element) -> list[tuple[list[str], list[str]]]:
    """Give the names and the written values of each panel, from top to bottom."""
    return [(_texts(panel, "name"), _texts(panel, "value")) for panel in drawing.findall(f"{SVG}g")]


def _told(drawing: ElementTree.Element) -> str:
    return " ".join(text.text or "" for text in drawing.findall(f"{SVG}text"))


def _legend(drawing: ElementTree.Element) -> list[str]:
    return _texts(drawing)[: len(drawing.findall(f"{SVG}rect")) - 1]


def test_the_ablation_has_accuracy_beside_the_papers_and_rates_of_its_own() -> None:
    table = _table(
        "table4",
        (MIOU, Column("fps", "frames/s"), Column("parameters", "parameters")),
        _here("cn18", miou=58.24, fps=71.26, parameters=850_000),
        _here("cn14", "frames/s are no result: a spread of 9 %", miou=63.46, fps=58.94, parameters=850_000),
        _here("cn12", "not trained", miou=None, fps=31.0),
        _paper("cn18", miou=60.1, fps=21.0),
        _paper("cn14", miou=65.9, fps=18.3),
        _paper("cn12", miou=68.7, fps=11.4),
    )
    drawing = _drawn(table)
    assert _panels(drawing) == [
        (["cn18", "cn14", "cn12"], ["58.2", "60.1", "63.5", "65.9", "–", "68.7"]),
        (["cn18", "cn14 *", "cn12"], ["71.3", "58.9", "31.0"]),
    ]
    assert _legend(drawing) == ["here", "the paper"]
    assert "Frames/s are this project's alone; the paper's are of another machine. * No result" in _told(drawing)


def test_the_ablation_without_rates_has_one_panel() -> None:
    drawing = _drawn(
        _table("table4", (MIOU, Column("fps", "frames/s")), _here("cn18", miou=58.2), _paper("cn18", fps=2.0))
    )
    assert _panels(drawing) == [(["cn18"], ["58.2", "–"])]
    assert "machine" not in _told(drawing)


def test_classes_are_averaged_within_the_papers_groups() -> None:
    names = ("road", "pole", "fence", "pedestrian", "train", "sky")
    table = _table(
        "table5",
        tuple(Column(name, name) for name in names),
        _here("cn18", road=90.0, pole=20.0, fence=30.0, pedestrian=40.0, train=math.nan, sky=80.0),
        _here("cn12", road=94.0, pole=26.0, fence=36.0, pedestrian=50.0, train=10.0, sky=81.0),
        _here("cn124", "too large"),
        _paper("cn18", road=1.0, pole=1.0, fence=1.0),
    )
    drawing = _drawn(table)
    networks = ["cn18", "cn12", "cn124"]
    # Trains do not count, as cn18 has no figure for them; then no class of the rare ones is left.
    assert _panels(drawing) == [
        (networks, ["25.0", "31.0", "–"]),
        (networks, ["40.0", "50.0", "–"]),
        (networks, ["85.0", "87.5", "–"]),
    ]
    assert _texts(drawing, "heading") == ["Small classes", "Classes with fine detail", "Other classes"]
    assert _told(drawing) == (
        "This project's networks. Small classes: pole, fence. Classes with fine detail: pedestrian. Other classes: "
        "road, sky."
    )
    panels = drawing.findall(f"{SVG}g")
    lengths = [float(panel.findall(f"{SVG}rect")[0].attrib["width"]) for panel in panels]
    assert lengths[0] / lengths[2] == pytest.approx(25 / 85, abs=1e-3), "one axis for all"


def test_all_networks_have_their_class_miou_and_the_papers() -> None:
    columns = (Column("class_miou", "class mIoU, %"), Column("category_miou", "category mIoU, %"))
    drawing = _drawn(
        _table(
            "table6",
            columns,
            _here("cn14", class_miou=63.4, category_miou=80.0),
            _here("dabnet", class_miou=60.14, category_miou=78.0),
            _paper("pspnet", class_miou=78.4, category_miou=90.6),
            _paper("cn14", class_miou=66.1, category_miou=82.7),
        )
    )
    assert _panels(drawing) == [(["cn14", "dabnet", "pspnet"], ["63.4", "66.1", "60.1", "–", "–", "78.4"])]
    assert "class mIoU, %" in _texts(drawing)
    assert "Cityscapes' test images" in _told(drawing)


def test_rates_of_one_machine_stand_on_a_logarithmic_axis() -> None:
    drawing = _drawn(
        _table(
            "table7",
            RATES,
            _here("cn14", everything_fps=18.4, network_fps=22.1, pipelined_fps=55.0, latency_ms=54.0),
            _here("segnet", "no result: a spread of 9 %", everything_fps=1.0, network_fps=1.1, pipelined_fps=1.2),
            _here("icnet", "does not run: no memory"),
            _paper("cn14", everything_fps=18.3),
            _paper("erfnet", everything_fps=11.2),
        )
    )
    (panel,) = _panels(drawing)
    assert panel == (["cn14", "segnet *", "icnet"], ["18.4", "22.1", "55.0", "1.0", "1.1", "1.2", "–", "–", "–"])
    assert _legend(drawing) == ["frames/s, everything", "network alone", "pipelined"]
    assert "frames/s, logarithmic" in _texts(drawing)
    assert "The paper's rates are left out: they are of another machine. * No result" in _told(drawing)


def test_rates_without_the_papers_say_nothing_of_them() -> None:
    drawing = _drawn(_table("table7", RATES, _here("cn14", everything_fps=18.4)))
    assert _panels(drawing) == [(["cn14"], ["18.4", "–", "–"])]
    assert "paper" not in _told(drawing)
    assert "*" not in _told(drawing)


@pytest.mark.parametrize("name", ["ensemble", "pruning"])
def test_ensemble_and_pruning_stand_beside_the_paper(name: str) -> None:
    rows = (_here("cn14-x2", miou=64.44), _here("cn14", miou=63), _paper("cn14", miou=0.0))
    drawing = _drawn(_table(name, (Column("width", "width"), MIOU), *rows))
    assert _panels(drawing) == [(["cn14-x2", "cn14"], ["64.4", "–", "63.0", "0.0"])]
    assert f"Cityscapes' {'test' if name == 'pruning' else 'validation'} images" in _told(drawing)


def test_the_block_is_drawn_with_the_way_around_it() -> None:
    drawing = _drawn(layer_tables()[0])
    by_height = [text.text for text in sorted(placed_texts(drawing), key=lambda text: text.foot)]
    assert [text for text in by_height if "×" in text or "Conv" in text][:7] == [
        *("h × w × c", "Conv2d 1/1, f", "h × w × tc", "DWConv 3/s, f", "h/s × w/s × tc", "Conv2d 1/1, –"),
        "h/s × w/s × c'",
    ]
    assert _texts(drawing, "name") == ["Conv2d 1/1, f", "DWConv 3/s, f", "Conv2d 1/1, –"]
    # Lines of 14, arrows of 20 with 2 before them and before a line, boxes of 32; the sum's circle has a radius of 11.
    assert [float(box.attrib["y"]) for box in drawing.findall(f"{SVG}rect")[1:]] == [50, 138, 226]
    shapes = [text for text in placed_texts(drawing) if text.text.count("×") == 2]
    assert [text.foot for text in shapes] == [27, 115, 203, 333]
    arrows = [(line.get("y1"), line.get("y2")) for line in drawing.findall(f"{SVG}line") if line.get("x1") == "190"]
    assert arrows[:3] == [("32", "45"), ("82", "97"), ("120", "133")]
    (plus,) = drawing.findall(f"{SVG}circle")
    assert (plus.get("cx"), plus.get("cy"), plus.get("r")) == ("190", "289", "11")
    (way,) = drawing.findall(f"{SVG}path")
    # From 8 behind the 9 letters past the boxes, which end at 300, to the head of an arrow that ends at the circle.
    assert way.get("d") == "M229.5 23H350V289H206"
    heads = [head.get("points") for head in drawing.findall(f"{SVG}polygon")]
    assert heads[0] == "190,50 194,42 186,42"
    assert "201,289 209,285 209,293" in heads
    assert heads[-1] == "190,320 194,312 186,312"
    beside = {text.text: (text.left, text.foot) for text in placed_texts(drawing)}
    assert beside["added where input and"] == (360, 153)
    assert beside["output have one shape"] == (360, 167)
    assert beside["Convolutions: kernel/stride, nonlinearity. f: ReLU6; –: none."] == (16, 363)
    assert drawing.get("viewBox") == "0 0 540 382"


def test_the_branchs_boxes_are_as_wide_as_its_maps_are_many() -> None:
    drawing = _drawn(layer_tables()[1])
    boxes = drawing.findall(f"{SVG}rect")[1:]
    channels = [32, 32, 32, 48, 64, 96, 128, 128]
    assert [float(box.attrib["width"]) for box in boxes] == [340 * count / 128 for count in channels]
    assert {float(box.attrib["x"]) + float(box.attrib["width"]) / 2 for box in boxes} == {285}
    tops = [float(box.attrib["y"]) for box in boxes]
    assert tops == [52 + 46 * index for index in range(8)]
    assert drawing.findall(f"{SVG}line")[0].get("y1") == "32"
    assert drawing.get("viewBox") == "0 0 720 446"
    sizes = {text.text: text.foot for text in placed_texts(drawing) if text.left == 16 and "×" in text.text[:8]}
    # A box is 26 high, a text's foot 4 below the middle; the stages with stride 2 are the 1st, 4th and 5th.
    assert sizes == {"128 × 256": tops[0] + 17, "64 × 128": tops[3] + 17, "32 × 64": tops[4] + 17}
    told = [text.text for text in placed_texts(drawing) if text.left == 465]
    assert told == [
        *("32 maps, stride 2", "32 maps, t = 1", "32 maps, t = 6", "48 maps, t = 6, 3 times, stride 2"),
        *("64 maps, t = 6, 3 times, stride 2", "96 maps, t = 6, 2 times", "128 maps, t = 6, 2 times", "128 maps"),
    ]
    operators = [text for text in _texts(drawing, "name") if "×" not in text[:8]]
    assert operators == ["Conv2d 3×3", *["bottleneck"] * 6, "Conv2d 1×1"]
    assert "256 × 512 × 3" in _texts(drawing)


def test_odd_sizes_are_rounded_up_and_narrow_boxes_named_beside() -> None:
    columns = tuple(Column(key, key) for key in ("input", "operator", "expansion", "channels", "repeats", "stride"))
    drawing = _drawn(
        _table(
            "table2",
            columns,
            _here("1", input="45 × 61 × 3", operator="Conv2d", channels=8, repeats=1, stride=2),
            _here("2", input="23 × 31 × 8", operator="Conv2d", channels=80, repeats=1, stride=1),
        )
    )
    assert [text for text in _texts(drawing) if text.startswith("23")] == ["23 × 31"]
    assert "Conv2d, 8 maps, stride 2" in _texts(drawing)
    assert _texts(drawing, "name") == ["23 × 31", "Conv2d"]


def test_both_sides_of_the_fusion_meet_in_its_sum() -> None:
    drawing = _drawn(layer_tables()[2])
    boxes = [
        (float(box.attrib["x"]), float(box.attrib["x"]) + float(box.attrib["width"]), float(box.attrib["y"]))
        for box in drawing.findall(f"{SVG}rect")[1:]
    ]
    left, right, together = (32, 248), (332, 548), (32, 548)
    assert [box[:2] for box in boxes] == [right, right, left, right, together]
    tops = [box[2] for box in boxes]
    assert tops == [52, 104, 156, 156, 208]
    assert {line.get("y1") for line in drawing.findall(f"{SVG}line")} == {"32", "84", "136", "188", "240"}
    assert _texts(drawing, "heading") == ["Branch-1", "Branch-4"]
    assert _texts(drawing, "name") == [
        *("Upsample × 4", "DWConv (dilation 4) 3/1, f", "Conv2d 1/1, –", "Conv2d 1/1, –", "add, f"),
    ]
    shapes = [(text.left, text.foot) for text in placed_texts(drawing) if text.text == "128 × 256 × 128"]
    assert shapes == [(558, top + 20) for top in (52, 104, 156, 208)]
    assert drawing.get("viewBox") == "0 0 720 320"
    ends = {}
    for line in drawing.findall(f"{SVG}line"):
        ends.setdefault(float(line.attrib["y2"]) + 5, []).append(float(line.attrib["x1"]))
    assert ends[tops[4]] == [140, 440], "an arrow from each side"


@pytest.mark.parametrize("side", ["branch_1", "branch_4"])
def test_a_sum_that_one_side_names_is_named(side: str) -> None:
    columns = (Column("branch_1", "Branch-1"), Column("branch_4", "Branch-4"))
    drawing = _drawn(_table("table3", columns, Row("1", "here", {side: "add, f"})))
    assert _texts(drawing, "name") == ["add, f"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_diagram_of_a_table_that_was_kept_is_the_same(number: int) -> None:
    table = layer_tables((360, 480))[number]
    assert picture_of(Table.from_json(json.loads(json.dumps(table.to_json())))) == picture_of(table)


@pytest.mark.parametrize(
    "table",
    [
        *(_table(f"table{number}", (MIOU,)) for number in range(1, 8)),
        *(_table(name, (MIOU,)) for name in ("ensemble", "pruning")),
        *(
            _table(f"table{number}", (Column("other", "other"),), _here("cn14", other=3.0))
            for number in (1, 2, 3, 4, 6, 7)
        ),
        _table("table4", (MIOU,), _here("cn14", "not trained"), _paper("cn14")),
        _table("table5", (), _here("cn14", "not trained")),
        _table("table6", (Column("class_miou", "class mIoU"),), _here("cn14", class_miou=math.nan)),
        _table("table7", RATES, _here("cn14", "does not run"), _paper("cn14", everything_fps=18.3)),
        _table("table1", (Column("input", "input"),), _paper("1", input="h × w × c")),
        _table(
            "table2", (Column("input", "input"), Column("channels", "c")), _here("1", input="h × w × c", channels=3)
        ),
        _table(
            "table2", (Column("input", "input"), Column("channels", "c")), _here("1", input="4 × 4 × 3", channels="c")
        ),
        _table("figure2", (MIOU,), _here("cn14", miou=60.0)),
        _table("another", (MIOU,), _here("cn14", miou=60.0)),
    ],
)
def test_there_is_no_picture_of_nothing(table: Table) -> None:
    assert picture_of(table) is None


def test_names_are_escaped_and_long_ones_cut() -> None:
    name = (
        'a network "<&>" with a name that is far too long to stand beside its bar, whatever the picture is like, ' * 4
    )
    drawing = _drawn(_table("ensemble", (MIOU,), _here(name, miou=1.0), _paper('<&"', miou=2.0)))
    names = _texts(drawing, "name")
    assert names[0].startswith('a network "<&>"')
    assert names[-1] == '<&"'
    assert next(drawing.iter(f"{SVG}title")).text in {name, f"{name}, here: 1.0 (mIoU, %)"}


def test_a_fifth_table_with_a_long_list_of_classes_is_legible() -> None:
    names = [f"class number {number}" for number in range(40)]
    table = _table("table5", tuple(Column(n, n) for n in names), Row("cn14", "here", dict.fromkeys(names, 50.0)))
    assert _panels(_drawn(table)) == [(["cn14"], ["50.0"])]
