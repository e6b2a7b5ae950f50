from __future__ import annotations

import pytest
import torch
from torch import nn

from contextnet.models.blocks import Bottleneck
from contextnet.models.fusion import FusionUnit
from contextnet.reproduce.layer_tables import block_layers, fusion_layers, layer_tables
from contextnet.reproduce.paper import BlockLayer, FusionLayer
from contextnet.reproduce.table import Row, Table
from contextnet.spec import BottleneckSpec

NO_KERNEL = "the paper gives no kernel here"
LAST_KERNEL = f"{NO_KERNEL}; 3×3 would make 0.98 M parameters, Table 4 has 0.85 M"


@pytest.fixture(scope="module")
def tables() -> tuple[Table, Table, Table]:
    return layer_tables()


def _rows(table: Table, source: str) -> list[Row]:
    return [row for row in table.rows if row.source == source]


def _values(row: Row) -> list[object]:
    return [value for key, value in row.values.items() if key != "equal"]


def test_tables_are_in_order_and_every_row_has_the_papers_beside_it(tables: tuple[Table, ...]) -> None:
    assert [table.name for table in tables] == ["table1", "table2", "table3"]
    for table, length in zip(tables, (3, 8, 4), strict=True):
        expected = [(str(i), source) for i in range(1, length + 1) for source in ("here", "paper")]
        assert [(row.network, row.source) for row in table.rows] == expected
        assert [row.values["equal"] for row in _rows(table, "here")] == ["yes"] * length
        assert all(row.values.get("equal") is None for row in _rows(table, "paper"))
        assert table.facts == {"network": "cn14", "size_hw": [1024, 2048]}
        assert Table.from_json(table.to_json()).to_markdown() == table.to_markdown()


@pytest.mark.parametrize("source", ["here", "paper"])
def test_bottleneck(tables: tuple[Table, ...], source: str) -> None:
    assert [_values(row) for row in _rows(tables[0], source)] == [
        ["h × w × c", "Conv2d 1/1, f", "h × w × tc"],
        ["h × w × tc", "DWConv 3/s, f", "h/s × w/s × tc"],
        ["h/s × w/s × tc", "Conv2d 1/1, –", "h/s × w/s × c'"],
    ]
    assert "from 32 to 48 feature maps: t = 6, s = 2" in tables[0].notes[0]


def test_context_branch(tables: tuple[Table, ...]) -> None:
    keys = ("input", "operator", "expansion", "channels", "repeats", "stride")
    assert [tuple(row.values[key] for key in keys) for row in _rows(tables[1], "here")] == [
        ("256 × 512 × 3", "Conv2d 3×3", None, 32, 1, 2),
        ("128 × 256 × 32", "bottleneck", 1, 32, 1, 1),
        ("128 × 256 × 32", "bottleneck", 6, 32, 1, 1),
        ("128 × 256 × 32", "bottleneck", 6, 48, 3, 2),
        ("64 × 128 × 48", "bottleneck", 6, 64, 3, 2),
        ("32 × 64 × 64", "bottleneck", 6, 96, 2, 1),
        ("32 × 64 × 96", "bottleneck", 6, 128, 2, 1),
        ("32 × 64 × 128", "Conv2d 1×1", None, 128, 1, 1),
    ]
    printed = _rows(tables[1], "paper")
    assert [row.values["operator"] for row in printed] == ["Conv2d", *["bottleneck"] * 6, "Conv2d"]
    assert [row.values["input"] for row in printed] == [row.values["input"] for row in _rows(tables[1], "here")]
    assert [row.remark for row in _rows(tables[1], "here")] == [NO_KERNEL, *[""] * 6, LAST_KERNEL]
    assert "38 convolutions" in tables[1].notes[1]


def test_fusion_unit(tables: tuple[Table, ...]) -> None:
    expected = [
        [None, "Upsample × 4"],
        [None, "DWConv (dilation 4) 3/1, f"],
        ["Conv2d 1/1, –", "Conv2d 1/1, –"],
        ["add, f", "add, f"],
    ]
    assert [_values(row) for row in _rows(tables[2], "paper")] == expected
    assert [_values(row) for row in _rows(tables[2], "here")] == [[*row, "128 × 256 × 128"] for row in expected]


def test_another_image_size_is_no_longer_the_papers() -> None:
    first, second, third = layer_tables((720, 960))  # padded to 736 × 960, multiples of 32
    own = _rows(second, "here")
    assert [row.values["input"] for row in own[:2]] == ["184 × 240 × 3", "92 × 120 × 32"]
    assert [row.values["equal"] for row in own] == ["no"] * 8
    other = "the paper's image is 1024×2048"
    assert [row.remark for row in own] == [f"{other}; {NO_KERNEL}", *[other] * 6, f"{other}; {LAST_KERNEL}"]
    assert "720×960" in second.title
    for table in (first, third):
        assert {row.values["equal"] for row in _rows(table, "here")} == {"yes"}
    assert {row.values["output"] for row in _rows(third, "here")} == {"92 × 120 × 128"}


def _changed_block(part: str, layer: nn.Conv2d | None) -> tuple[BlockLayer, ...]:
    """Read a block of 8 to 12 maps, t = 2, s = 2, with one of its convolutions exchanged or made linear."""
    spec = BottleneckSpec(expansion=2, hidden=16, width=12, stride=2)
    block = Bottleneck(8, spec)
    unit = block.get_submodule(part)
    assert isinstance(unit, nn.Sequential)
    if layer is None:
        del unit[2]
    else:
        unit[0] = layer
    return block_layers(block, 8, spec)


@pytest.mark.parametrize(
    ("part", "layer", "row", "expected"),
    [
        ("expand", None, 0, BlockLayer("h × w × c", "Conv2d 1/1, –", "h × w × tc")),
        ("expand", nn.Conv2d(8, 16, 5), 0, BlockLayer("h × w × c", "Conv2d 5/1, f", "h × w × tc")),
        ("expand", nn.Conv2d(8, 15, 1), 0, BlockLayer("h × w × c", "Conv2d 1/1, f", "h × w × 15")),
        (
            "depthwise",
            nn.Conv2d(16, 16, 3, 1, groups=16),
            1,
            BlockLayer("h × w × tc", "DWConv 3/1, f", "h × w × tc"),
        ),
        ("depthwise", nn.Conv2d(16, 16, 3, 2), 1, BlockLayer("h × w × tc", "Conv2d 3/s, f", "h/s × w/s × tc")),
        (
            "depthwise",
            nn.Conv2d(16, 16, 3, 2, dilation=3, groups=16),
            1,
            BlockLayer("h × w × tc", "DWConv (dilation 3) 3/s, f", "h/s × w/s × tc"),
        ),
        (
            "depthwise",
            nn.Conv2d(16, 16, 3, 3, groups=16),
            1,
            BlockLayer("h × w × tc", "DWConv 3/3, f", "h/3 × w/3 × tc"),
        ),
    ],
)
def test_rows_tell_what_the_block_has(part: str, layer: nn.Conv2d | None, row: int, expected: BlockLayer) -> None:
    assert _changed_block(part, layer)[row] == expected


def test_rows_tell_what_the_fusion_unit_has() -> None:
    unit = FusionUnit(8, 4, 6, factor=2)
    unit.act = nn.Identity()  # type: ignore[assignment]
    unit.detail[0] = nn.Conv2d(4, 6, 3)
    assert fusion_layers(unit) == (
        FusionLayer(None, "Upsample × 2"),
        FusionLayer(None, "DWConv (dilation 2) 3/1, f"),
        FusionLayer("Conv2d 3/1, –", "Conv2d 1/1, –"),
        FusionLayer("add, –", "add, –"),
    )


def test_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    layer_tables()
    assert torch.equal(torch.get_rng_state(), before)
