"""SegNet, ENet and ERFNet, which decode to full size: their layers against their papers."""

from __future__ import annotations

import pytest
import torch
from baseline_bodies import convolutions_of, meta_image, modules_of, outline_of
from torch import Tensor, nn

from contextnet.models.baselines.enet import DownBottleneck, ENet, PadChannels, UpBottleneck
from contextnet.models.baselines.erfnet import ERFNet, NonBottleneck1D
from contextnet.models.baselines.pooled_downsampler import PooledDownsampler

pytestmark = pytest.mark.usefixtures("one_thread")


def test_segnet_mirrors_vgg16() -> None:
    network = outline_of("segnet")
    convolutions = convolutions_of(network)
    assert len(convolutions) == 26
    assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) for c in convolutions)
    encoder = [[u.conv.out_channels for u in level] for level in network.get_submodule("encoder")]
    assert encoder == [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
    decoder = [[u.conv.out_channels for u in level] for level in network.get_submodule("decoder")]
    assert decoder == [[64], [128, 64], [256, 256, 128], [512, 512, 256], [512] * 3]


def test_segnet_unpools_with_the_choice_of_its_own_level() -> None:
    network = outline_of("segnet")
    seen: list[tuple[str, tuple[int, ...]]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, Tensor]) -> None:
        seen.append(("unpool", tuple(inputs[1].shape)))

    network.get_submodule("unpool").register_forward_pre_hook(note)
    network(meta_image(64, 96))
    widths = (512, 512, 256, 128, 64)
    sizes = ((4, 6), (8, 12), (16, 24), (32, 48), (64, 96))
    assert seen == [("unpool", (2, w, *s)) for w, s in zip(widths, sizes, strict=True)]


def test_enet_has_the_bottlenecks_of_table_1() -> None:
    network = ENet(19)
    for stage in (network.stage2, network.stage3):
        assert [b.middle.conv.dilation[0] for b in stage] == [1, 2, 1, 4, 1, 8, 1, 16]
        assert [b.middle.conv.kernel_size for b in stage] == [(3, 3), (3, 3), (1, 5), (3, 3)] * 2
        assert [getattr(b.column, "kernel_size", None) for b in stage] == [None, None, (5, 1), None] * 2
    assert [len(s) for s in (network.stage1, network.stage2, network.stage3, network.stage4)] == [4, 8, 8, 2]
    assert (network.initial.learned.conv.out_channels, network.initial.learned.conv.stride) == (13, (2, 2))
    downs = [
        (b.reduce.conv.kernel_size, b.reduce.conv.stride, b.pad.extra) for b in modules_of(network, DownBottleneck)
    ]
    assert downs == [((2, 2), (2, 2), 48), ((2, 2), (2, 2), 64)]
    ups = [(b.reduce.conv.in_channels, b.middle.conv.in_channels) for b in modules_of(network, UpBottleneck)]
    assert ups == [(128, 16), (64, 4)]
    assert isinstance(network.classifier, nn.ConvTranspose2d)


def test_enets_encoder_has_prelu_and_dropout_and_its_decoder_neither() -> None:
    network = ENet(19)
    encoder = nn.ModuleList([network.initial, network.down1, network.stage1, network.down2])
    encoder.extend([network.stage2, network.stage3])
    decoder = nn.ModuleList([network.up4, network.stage4, network.up5, network.stage5])
    assert [m.p for m in modules_of(network, nn.Dropout2d)] == [0.01] * 5 + [0.1] * 17
    assert not [*modules_of(encoder, nn.ReLU), *modules_of(decoder, nn.PReLU), *modules_of(decoder, nn.Dropout2d)]
    assert all(m.eps == 1e-3 for m in modules_of(network, nn.BatchNorm2d))


def test_padding_appends_maps_of_zeros() -> None:
    features = torch.ones(1, 2, 1, 1)
    assert PadChannels(3)(features).flatten().tolist() == [1, 1, 0, 0, 0]


def test_a_downsampling_bottleneck_adds_the_pooled_input_to_its_first_maps() -> None:
    block = DownBottleneck(2, 4, dropout=0.1).eval()
    nn.init.zeros_(block.expand.conv.weight)
    features = torch.arange(8.0).view(1, 2, 2, 2)
    out, choice = block(features)
    assert out.flatten().tolist() == [3, 7, 0, 0]
    assert choice.flatten().tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


def test_an_upsampling_bottleneck_unpools_the_projected_input() -> None:
    block = UpBottleneck(4, 4).eval()
    nn.init.zeros_(block.expand.conv.weight)
    nn.init.dirac_(block.project.conv.weight)
    block.project.norm.eps = 0.0
    choice = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 1, 2, 2).repeat(1, 4, 1, 1)
    out = block(torch.tensor([5.0, -5.0, 1.0, 0.0]).view(1, 4, 1, 1), choice)
    assert out.flatten(2)[0].tolist() == [[0, 0, 5, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_erfnet_has_the_blocks_of_table_i() -> None:
    network = ERFNet(19)
    blocks = list(modules_of(network.encoder, NonBottleneck1D))
    assert [b.second_row.conv.dilation for b in blocks] == [(1, 1)] * 5 + [(1, d) for d in (2, 4, 8, 16)] * 2
    assert [b.second_column.conv.dilation for b in blocks] == [(1, 1)] * 5 + [(d, 1) for d in (2, 4, 8, 16)] * 2
    assert [b.first_row.conv.dilation for b in blocks] == [(1, 1)] * 13
    assert [b.dropout.p for b in blocks] == [0.03] * 5 + [0.3] * 8
    assert [d.learned.conv.out_channels for d in modules_of(network.encoder, PooledDownsampler)] == [13, 48, 64]
    decoder = [(type(m), m.conv.out_channels if isinstance(m, nn.Sequential) else None) for m in network.decoder]
    block = (NonBottleneck1D, None)
    assert decoder == [(nn.Sequential, 64), block, block, (nn.Sequential, 16), block, block]
    assert not list(modules_of(network.decoder, nn.Dropout2d))
    assert all(m.eps == 1e-3 for m in modules_of(network, nn.BatchNorm2d))
