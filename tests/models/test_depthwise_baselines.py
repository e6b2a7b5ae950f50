"""Fast-SCNN and DABNet, which are built of depth-wise convolutions: their layers against their papers."""

from __future__ import annotations

import pytest
import torch
from baseline_bodies import modules_of, random_image
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.baselines.dabnet import AsymmetricBottleneck, DABNet
from contextnet.models.baselines.fast_scnn import FastSCNN
from contextnet.models.blocks import Bottleneck

pytestmark = pytest.mark.usefixtures("one_thread")


def test_fast_scnn_has_the_bottlenecks_of_table_1() -> None:
    network = FastSCNN(19, dropout=0.0, auxiliary=False)
    blocks = list(modules_of(network.context, Bottleneck))
    assert [b.project.conv.out_channels for b in blocks] == [64] * 3 + [96] * 3 + [128] * 3
    assert [b.depthwise.conv.stride[0] for b in blocks] == [2, 1, 1, 2, 1, 1, 1, 1, 1]
    assert [b.expand.conv.out_channels // b.expand.conv.in_channels for b in blocks] == [6] * 9
    assert [b.residual for b in blocks] == [False, True, True] * 3
    units = [(u.conv.out_channels, u.conv.stride[0], u.conv.groups, hasattr(u, "act")) for u in network.downsample]
    assert units == [(32, 2, 1, True), (32, 2, 32, False), (48, 1, 1, True), (48, 2, 48, False), (64, 1, 1, True)]
    assert [(u.conv.groups, hasattr(u, "act")) for u in network.head] == [(128, False), (1, True)] * 2
    smooth = network.fusion.smooth.conv
    assert (smooth.dilation, smooth.groups, network.fusion.enlarge.factor) == ((4, 4), 128, 4)


def test_dabnet_has_the_modules_of_table_1() -> None:
    network = DABNet(19)
    blocks = list(modules_of(network, AsymmetricBottleneck))
    assert [b.far[0].conv.dilation for b in blocks] == [(d, 1) for d in (2, 2, 2, 4, 4, 8, 8, 16, 16)]
    assert [b.far[1].conv.dilation for b in blocks] == [(1, d) for d in (2, 2, 2, 4, 4, 8, 8, 16, 16)]
    assert {b.near[0].conv.dilation for b in blocks} == {(1, 1)}
    assert [b.reduce.conv.out_channels for b in blocks] == [32] * 3 + [64] * 6
    assert all(p.conv.groups == p.conv.in_channels for b in blocks for p in (*b.near, *b.far))
    assert network.downsample1.learned.conv.out_channels == 64 - 35
    injected = [m.norm.num_features for m in (network.stem_injection, network.injection1, network.injection2)]
    assert injected == [35, 131, 259]
    assert not list(modules_of(network, nn.ReLU))


def test_dabnet_injects_the_averaged_image_last() -> None:
    network = DABNet(2).eval()
    read: dict[str, Tensor] = {}
    for name in ("stem_injection", "injection1", "injection2"):

        def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            read[name] = inputs[0]

        network.get_submodule(name).register_forward_pre_hook(note)
    image = random_image(32, 48)
    with torch.no_grad():
        network(image)
    for name in ("stem_injection", "injection1", "injection2"):
        image = F.avg_pool2d(image, 3, 2, 1)
        assert torch.equal(read[name][:, -3:], image)
    assert read["injection2"].shape[1] == 128 + 128 + 3
    with torch.no_grad():
        before = read["injection2"][:, 128:256]
        assert torch.equal(network.block2(before), read["injection2"][:, :128])
