"""The layer table of the compared networks: rows by hand, and every convolution counted once."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from contextnet.models.baselines.baseline import Baseline
from contextnet.models.layer_table import LayerRow
from contextnet.models.module_table import convolution_rows, module_table
from contextnet.network_spec import BASELINES, BaselineSpec


def test_rows_of_segnet_are_its_levels() -> None:
    rows = module_table(BaselineSpec("segnet", 7), (64, 96))
    plain = [(r.part, r.input_hwc, r.operator, r.output_channels, r.repeats, r.stride) for r in rows]
    # As in the paper's tables, what follows a layer and keeps its maps is in its row, whatever it reads itself.
    assert plain == [
        ("encoder", (64, 96, 3), "Conv2d 3×3", 64, 2, 1),
        ("encoder", (32, 48, 64), "Conv2d 3×3", 128, 2, 1),
        ("encoder", (16, 24, 128), "Conv2d 3×3", 256, 3, 1),
        ("encoder", (8, 12, 256), "Conv2d 3×3", 512, 3, 1),
        ("encoder", (4, 6, 512), "Conv2d 3×3", 512, 3, 1),
        ("decoder", (4, 6, 512), "Conv2d 3×3", 512, 3, 1),
        ("decoder", (8, 12, 512), "Conv2d 3×3", 512, 2, 1),
        ("decoder", (8, 12, 512), "Conv2d 3×3", 256, 1, 1),
        ("decoder", (16, 24, 256), "Conv2d 3×3", 256, 2, 1),
        ("decoder", (16, 24, 256), "Conv2d 3×3", 128, 1, 1),
        ("decoder", (32, 48, 128), "Conv2d 3×3", 128, 1, 1),
        ("decoder", (32, 48, 128), "Conv2d 3×3", 64, 1, 1),
        ("decoder", (64, 96, 64), "Conv2d 3×3", 64, 1, 1),
        ("classifier", (64, 96, 64), "Conv2d 3×3", 7, 1, 1),
    ]
    assert {row.expansion for row in rows} == {None}


def test_kinds_of_layers_are_told_apart() -> None:
    dabnet = module_table(BaselineSpec("dabnet", 7), (64, 96))
    assert dabnet[0] == LayerRow("stem", (64, 96, 3), "Conv2d 3×3", None, 32, 3, 2), "the first of three halves"
    assert dabnet[1] == LayerRow("downsample1", (32, 48, 35), "Conv2d 3×3", None, 29, 1, 2)
    assert LayerRow("block2", (8, 12, 64), "DWConv 3×1, dilation 16", None, 64, 1, 1) in dabnet
    assert LayerRow("block2", (8, 12, 64), "DWConv 1×3", None, 64, 1, 1) in dabnet
    assert dabnet[-1] == LayerRow("classifier", (8, 12, 259), "Conv2d 1×1", None, 7, 1, 1)
    erfnet = module_table(BaselineSpec("erfnet", 7), (64, 96))
    assert LayerRow("decoder", (8, 12, 128), "ConvTranspose2d 3×3", None, 64, 1, 2) in erfnet
    assert erfnet[-1] == LayerRow("classifier", (32, 48, 16), "ConvTranspose2d 2×2", None, 7, 1, 2)


def test_a_transposed_convolution_is_followed_by_one_that_reads_its_enlarged_maps() -> None:
    """Not by one that reads maps of half the size, as what follows any other convolution of stride 2 does."""
    kind = "ConvTranspose2d 3×3"
    with torch.device("meta"):
        double, keep = nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), nn.ConvTranspose2d(4, 4, 3, 1, 1)
        features = torch.empty((1, 4, 6, 8))
        enlarged = nn.Sequential(OrderedDict(decoder=nn.Sequential(double, keep)))
        halved = nn.Sequential(OrderedDict(decoder=nn.Sequential(double, nn.MaxPool2d(4), keep)))
    assert convolution_rows(enlarged, features) == (LayerRow("decoder", (6, 8, 4), kind, None, 4, 2, 2),)
    assert convolution_rows(halved, features) == (
        LayerRow("decoder", (6, 8, 4), kind, None, 4, 1, 2),
        LayerRow("decoder", (3, 4, 4), kind, None, 4, 1, 1),
    )


@pytest.mark.parametrize("name", BASELINES)
def test_every_convolution_is_in_one_row_and_the_image_is_padded(name: str) -> None:
    spec = BaselineSpec(name, 7)
    with torch.device("meta"):
        network = Baseline(spec)
    kinds = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    rows = module_table(spec, (50, 90))
    assert sum(row.repeats for row in rows) == len(kinds)
    multiple = spec.size_multiple
    padded = (-(-50 // multiple) * multiple, -(-90 // multiple) * multiple)
    assert rows == module_table(spec, padded)
    assert (*padded, 3) in {row.input_hwc for row in rows} or name == "icnet"
