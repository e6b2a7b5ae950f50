"""Costs counted by hand, the layer table beside the paper's tables, and the receptive field by gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from contextnet.models.contextnet import ContextNet
from contextnet.models.cost import count_macs, measure_cost
from contextnet.models.layer_table import layer_table
from contextnet.models.network import build_network
from contextnet.models.receptive_field import receptive_field
from contextnet.network_spec import NETWORKS, named_spec
from contextnet.spec import (
    VARIANTS,
    BottleneckSpec,
    ContextBranchSpec,
    ContextNetSpec,
    DetailBranchSpec,
    SeparableSpec,
    variant,
)

# 3 → 2 at 1/2, one bottleneck 2 → 8 → 4 at 1/4, head 5 at 1/8; detail 3 → 3 → 6 at 1/8; fusion to 7; 3 classes.
TINY = ContextNetSpec(
    "tiny",
    3,
    ContextBranchSpec(4, 2, (BottleneckSpec(4, 8, 4, 2),), 5),
    (DetailBranchSpec(1, 3, (SeparableSpec(4, 2), SeparableSpec(6, 2))),),
    (7,),
)

# The same without a context branch, where the sizes of all activations are easily followed.
TINY_DETAIL = ContextNetSpec(
    "tiny-detail", 3, None, (DetailBranchSpec(1, 4, (SeparableSpec(8, 2), SeparableSpec(6, 2))),), ()
)


# Multiply-adds and parameters.


def test_macs_of_cn14_at_full_resolution() -> None:
    assert measure_cost(variant("cn14"), (1024, 2048)).macs == pytest.approx(5.63e9, rel=0.01)


def test_macs_and_parameters_of_a_tiny_network_by_hand() -> None:
    # At 64 × 96 the context branch reads 16 × 24: stem 8 × 12, block 8 × 12 → 4 × 6, so its stride is 16.
    context = 96 * 27 * 2 + (96 * 2 * 8 + 24 * 9 * 8 + 24 * 8 * 4) + 24 * 4 * 5
    # Detail: stem 32 × 48, then 16 × 24, then 8 × 12.
    detail = 1536 * 27 * 3 + (384 * 9 * 3 + 384 * 3 * 4) + (96 * 9 * 4 + 96 * 4 * 6)
    fusion = 96 * (9 * 5 + 5 * 7 + 6 * 7)
    cost = measure_cost(TINY, (64, 96))
    assert cost.macs == context + detail + fusion + 96 * 7 * 3
    kernels = [27 * 2, 2 * 8, 9 * 8, 8 * 4, 4 * 5, 27 * 3, 9 * 3, 3 * 4, 9 * 4, 4 * 6, 9 * 5, 5 * 7, 6 * 7]
    channels = [2, 8, 8, 4, 5, 3, 3, 4, 4, 6, 5, 7, 7]
    assert cost.parameters == sum(kernels) + 2 * sum(channels) + 7 * 3 + 3
    assert cost.parameters_folded == sum(kernels) + sum(channels) + 7 * 3 + 3


@pytest.mark.parametrize(
    ("layer", "size_hw", "expected"),
    [
        # A transposed convolution multiplies every value that it reads by all the weights of the value's map.
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (4, 6), 24 * 3 * 5 * 4),
        (nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1), (4, 6), 24 * 3 * 5 * 9),
        (nn.ConvTranspose2d(4, 6, (1, 3), groups=2), (2, 7), 14 * 4 * 3 * 3),
        (nn.ConvTranspose2d(2, 2, 1, bias=False), (1, 1), 4),
        # The same kernels as plain convolutions, by what they put out.
        (nn.Conv2d(3, 5, 2, stride=2), (4, 6), 6 * 5 * 3 * 4),
        (nn.Conv2d(4, 6, (1, 3), groups=2), (2, 7), 2 * 5 * 6 * 2 * 3),
    ],
)
def test_macs_of_a_layer_by_hand(layer: nn.Module, size_hw: tuple[int, int], expected: int) -> None:
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    with torch.no_grad():
        assert count_macs(nn.Sequential(nn.Identity(), layer), torch.zeros(1, layer.in_channels, *size_hw)) == expected
    assert not layer._forward_hooks, "nothing stays behind"


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_are_half_the_operations_that_pytorch_counts(name: str) -> None:
    spec = named_spec(name, 7)
    with torch.device("meta"):
        network, image = build_network(spec).eval(), torch.empty(1, 3, 64, 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    assert measure_cost(spec, (64, 128)).macs == counter.get_total_flops() // 2


@pytest.mark.parametrize("name", ["icnet", "pspnet", "fast-scnn"])
def test_an_auxiliary_head_costs_nothing(name: str) -> None:
    with_head, without = (measure_cost(named_spec(name, auxiliary=auxiliary), (64, 96)) for auxiliary in (True, False))
    assert with_head == without


def test_the_image_is_padded_before_it_is_counted() -> None:
    assert measure_cost(TINY, (49, 81)).macs == measure_cost(TINY, (64, 96)).macs


@pytest.mark.parametrize(
    ("name", "parameters", "parameters_folded"),
    [("cn14", 856_851, 846_179), ("cn12", 856_851, 846_179), ("cn18", 856_851, 846_179)],
)
def test_parameters_leave_the_auxiliary_classifier_out(name: str, parameters: int, parameters_folded: int) -> None:
    cost = measure_cost(variant(name, auxiliary=True), (64, 64))
    assert (cost.parameters, cost.parameters_folded) == (parameters, parameters_folded)


# Memory.


@pytest.mark.parametrize("size_hw", [(64, 96), (128, 32)])
def test_peak_activations_of_a_tiny_network_by_hand(size_hw: tuple[int, int]) -> None:
    pixels = size_hw[0] * size_hw[1]
    image = normalized = 3 * pixels
    stem, depthwise, pointwise = 4 * pixels // 4, 4 * pixels // 16, 8 * pixels // 16
    # The most is alive when the first separable layer returns: it holds its input until then, and ReLU6 works in place.
    values = image + normalized + stem + depthwise + pointwise
    assert measure_cost(TINY_DETAIL, size_hw).peak_activation_bytes == 4 * values


def test_peak_activations_of_cn14_lie_in_the_detail_branch() -> None:
    pixels = 1024 * 2048
    context, stem, first = 128 * pixels // 1024, 32 * pixels // 4, 64 * pixels // 16
    least = 4 * (6 * pixels + stem + 32 * pixels // 16 + first)
    # The second separable layer runs while the stem's output is still an argument of the branch's call.
    most = 4 * (6 * pixels + context + stem + first + 64 * pixels // 64 + 128 * pixels // 64)
    assert least <= measure_cost(variant("cn14"), (1024, 2048)).peak_activation_bytes <= most


def test_peak_activations_grow_with_the_image_and_need_no_memory_themselves() -> None:
    small, large = (measure_cost(TINY, (side, side)).peak_activation_bytes for side in (512, 65_536))
    assert large == small * 128**2


# The layer table.


def test_layers_of_cn14_are_table_2() -> None:
    rows = [row for row in layer_table(variant("cn14"), (1024, 2048)) if row.part == "context 1/4"]
    assert [(r.input_hwc, r.operator, r.expansion, r.output_channels, r.repeats, r.stride) for r in rows] == [
        ((256, 512, 3), "Conv2d 3×3", None, 32, 1, 2),
        ((128, 256, 32), "bottleneck", 1, 32, 1, 1),
        ((128, 256, 32), "bottleneck", 6, 32, 1, 1),
        ((128, 256, 32), "bottleneck", 6, 48, 3, 2),
        ((64, 128, 48), "bottleneck", 6, 64, 3, 2),
        ((32, 64, 64), "bottleneck", 6, 96, 2, 1),
        ((32, 64, 96), "bottleneck", 6, 128, 2, 1),
        ((32, 64, 128), "Conv2d 1×1", None, 128, 1, 1),
    ]


def test_layers_of_cn14_are_section_2_2_and_table_3() -> None:
    rows = [row for row in layer_table(variant("cn14"), (1024, 2048)) if row.part != "context 1/4"]
    assert [(r.part, r.input_hwc, r.operator, r.output_channels, r.stride) for r in rows] == [
        ("detail 1/1", (1024, 2048, 3), "Conv2d 3×3", 32, 2),
        ("detail 1/1", (512, 1024, 32), "DSConv 3×3", 64, 2),
        ("detail 1/1", (256, 512, 64), "DSConv 3×3", 128, 2),
        ("detail 1/1", (128, 256, 128), "DSConv 3×3", 128, 1),
        ("fusion 1/8", (32, 64, 128), "upsample ×4", 128, 1),
        ("fusion 1/8", (128, 256, 128), "DWConv 3×3, dilation 4", 128, 1),
        ("fusion 1/8", (128, 256, 128), "Conv2d 1×1 (context)", 128, 1),
        ("fusion 1/8", (128, 256, 128), "Conv2d 1×1 (detail)", 128, 1),
        ("fusion 1/8", (128, 256, 128), "add", 128, 1),
        ("classifier", (128, 256, 128), "Conv2d 1×1", 19, 1),
    ]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_row_of_the_table_is_what_the_network_does(name: str) -> None:
    """The convolutions' real input shapes, in order, are those of the rows that hold them."""
    spec = variant(name, 5, width=0.25)
    network = ContextNet(spec).eval()
    shapes: dict[str, list[tuple[int, int, int]]] = {"context": [], "detail": [], "fusion": [], "classifier": []}

    def note(part: str, inputs: torch.Tensor) -> None:
        _, channels, height, width = inputs.shape
        shapes[part].append((height, width, channels))

    for path, module in network.named_modules():
        part = {"context": "context", "details": "detail", "fusions": "fusion", "classifier": "classifier"}.get(
            path.split(".", maxsplit=1)[0], ""
        )
        starts_row = path.endswith(("stem.conv", "head.conv", "expand.conv", "depthwise.conv", "classifier"))
        starts_row |= part == "fusion" and path.endswith(".conv")
        starts_row &= not (part == "context" and path.endswith("depthwise.conv"))
        if isinstance(module, nn.Conv2d) and starts_row:
            module.register_forward_pre_hook(lambda _, inputs, part=part: note(part, inputs[0]))
    with torch.no_grad():
        network(torch.zeros(1, 3, 120, 250))
    rows = layer_table(spec, (120, 250))
    for part, seen in shapes.items():
        listed = [r for r in rows if r.part.startswith(part) and not r.operator.startswith(("upsample", "add"))]
        assert [row.input_hwc for row in listed] == _first_of_each_run(seen, [row.repeats for row in listed])


def _first_of_each_run(shapes: list[tuple[int, int, int]], repeats: list[int]) -> list[tuple[int, int, int]]:
    firsts = []
    for count in repeats:
        firsts.append(shapes[0])
        shapes = shapes[count:]
    assert not shapes
    return firsts


# The receptive field.


def _linear(spec: ContextNetSpec, seed: int) -> ContextNet:
    """The network in float64 with positive random kernels and no activation: a gradient never cancels or dies."""
    torch.manual_seed(seed)
    network = ContextNet(spec).double().eval()
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.1, 1)
            module.weight.data /= module.weight[0].numel()
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.Identity())
    return network


def _seen(network: ContextNet, size_hw: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the part of the image that moves one score."""
    image = torch.ones(1, 3, *size_hw, dtype=torch.float64, requires_grad=True)
    network(image).scores[0, 0, cell[0], cell[1]].backward()
    assert image.grad is not None
    rows, columns = image.grad[0].sum(dim=0).nonzero(as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def _silence(network: ContextNet, branch: str) -> None:
    """Zero one side of every fusion unit; with the context side go the coarser detail branches that feed it."""
    for unit in network.fusions:
        nn.init.zeros_(getattr(unit, branch).conv.weight)


@pytest.mark.parametrize(
    "spec",
    [
        TINY,
        TINY_DETAIL,
        ContextNetSpec("context", 2, ContextBranchSpec(2, 2, (BottleneckSpec(1, 2, 2, 2),) * 3, 2), (), ()),
        ContextNetSpec(
            "three",
            2,
            # Fused by enlarging 4 and then 2 times: the first cell of a period does not see the most.
            ContextBranchSpec(8, 2, (BottleneckSpec(1, 2, 2, 2),) * 2, 2),
            (
                DetailBranchSpec(2, 2, (SeparableSpec(2, 2), SeparableSpec(2, 2))),
                DetailBranchSpec(2, 2, (SeparableSpec(2, 2),)),
            ),
            (2, 2),
        ),
    ],
    ids=lambda spec: spec.name,
)
def test_receptive_field_of_small_networks_by_gradients(spec: ContextNetSpec) -> None:
    field = receptive_field(spec)
    for branch, expected in (("context", field.context), ("detail", field.detail)):
        if expected is None:
            continue
        network = _linear(spec, seed=1)
        _silence(network, "detail" if branch == "context" else "context")
        side = 2 * -(-expected // 64) * 64 + 128
        middle = side // 16
        seen = [_seen(network, (side, side), (cell, cell)) for cell in range(middle, middle + spec.size_multiple // 8)]
        assert (max(h for h, _ in seen), max(w for _, w in seen)) == (expected, expected)


@pytest.mark.parametrize(
    ("name", "branch", "expected"),
    [("cn14", "context", 634), ("cn14", "detail", 31), ("cn12", "context", 318), ("cn124", "context", 698)],
)
def test_receptive_field_of_the_papers_networks_by_gradients(name: str, branch: str, expected: int) -> None:
    spec = variant(name, 2, width=0.05)
    network = _linear(spec, seed=2)
    _silence(network, "detail" if branch == "context" else "context")
    height, width = spec.size_multiple, 2048
    cells = range(width // 16, width // 16 + spec.size_multiple // 8)
    assert max(_seen(network, (height, width), (0, cell))[1] for cell in cells) == expected
    field = receptive_field(variant(name))
    assert (field.context if branch == "context" else field.detail) == expected


def test_pyramid_pooling_sees_the_whole_image() -> None:
    spec = variant("cn14", 2, width=0.05, pyramid_pooling=True)
    assert receptive_field(spec).pooled
    assert not receptive_field(variant("cn14")).pooled
    # Shrinking by 4 reads the middle two of every four pixels, so the outermost ones are never looked at.
    assert _seen(_linear(spec, seed=3), (64, 1024), (3, 5)) == (62, 1022)
