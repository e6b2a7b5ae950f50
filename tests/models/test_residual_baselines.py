"""PSPNet, DeepLab-v2 and ICNet, which are dilated residual networks: their layers against their papers."""

from __future__ import annotations

import pytest
import torch
from baseline_bodies import body_of, convolutions_of, meta_image, modules_of, outline_of, random_image, settled
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.baselines.deeplab_v2 import AtrousPyramid, DeepLabV2
from contextnet.models.baselines.icnet import CascadeFusion, ICNet, SummedPyramid
from contextnet.models.baselines.pspnet import PSPNet
from contextnet.models.baselines.pyramid_pooling import StackedPyramid
from contextnet.models.baselines.residual import ResidualBottleneck

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("name", "stem"), [("pspnet", [3, 3, 3]), ("deeplab-v2", [7])])
def test_the_backbone_is_a_dilated_resnet_101(name: str, stem: list[int]) -> None:
    network = outline_of(name)
    assert isinstance(network, PSPNet | DeepLabV2)
    backbone = network.backbone
    assert [c.kernel_size[0] for c in convolutions_of(backbone.stem)] == stem
    stages = (backbone.stage2, backbone.stage3, backbone.stage4, backbone.stage5)
    assert [len(s) for s in stages] == [3, 4, 23, 3]
    for stage, stride, dilation, width in zip(stages, (1, 2, 1, 1), (1, 1, 2, 4), (64, 128, 256, 512), strict=True):
        assert [b.reduce.conv.stride[0] for b in stage] == [stride] + [1] * (len(stage) - 1)
        assert {b.middle.conv.dilation[0] for b in stage} == {dilation}
        assert {b.middle.conv.out_channels for b in stage} == {width}
        assert [isinstance(b.shortcut, nn.Identity) for b in stage] == [False] + [True] * (len(stage) - 1)
        assert stage[0].shortcut.conv.stride[0] == stride


def test_deeplab_sums_four_dilated_convolutions() -> None:
    pyramid = AtrousPyramid(1, 1)
    rates = [(c.dilation, c.padding) for c in convolutions_of(pyramid)]
    assert rates == [((r, r), (r, r)) for r in (6, 12, 18, 24)]
    for index, conv in enumerate(convolutions_of(pyramid)):
        nn.init.constant_(conv.weight, 0.0)
        conv.weight.data[0, 0, 1, 1] = 10.0**index
        nn.init.constant_(conv.bias, 0.5)
    assert pyramid(torch.ones(1, 1, 1, 1)).item() == 1111 + 4 * 0.5


def test_pspnets_pyramid_stacks_averages_of_1_2_3_and_6_cells() -> None:
    pyramid = StackedPyramid(4).eval()
    assert [level[0].grid for level in pyramid.levels] == [1, 2, 3, 6]
    for level in pyramid.levels:
        nn.init.constant_(level[1].conv.weight, 0.25)
        level[1].norm.eps = 0.0
    features = torch.zeros(1, 4, 6, 6)
    features[..., 0, 0] = 36.0
    out = pyramid(features)[0]
    assert torch.equal(out[:4], features[0])
    # The corner's cell holds 36, 9, 4 and 1 pixels.
    assert out[4:, 0, 0].tolist() == [1, 4, 9, 36]
    assert out[4:, 5, 5].tolist() == [1, 0, 0, 0]


def test_icnets_pyramid_adds_its_averages() -> None:
    pyramid = SummedPyramid()
    assert [level.grid for level in pyramid.levels] == [1, 2, 3, 6]
    features = torch.zeros(1, 1, 6, 6)
    features[..., 0, 0] = 36.0
    out = pyramid(features)[0, 0]
    assert out[0, 0].item() == 36 + 1 + 4 + 9 + 36
    assert out[5, 5].item() == 1


def test_icnets_branches_read_three_sizes() -> None:
    network = outline_of("icnet")
    assert isinstance(network, ICNet)
    read: dict[str, tuple[int, ...]] = {}
    for name in ("shared", "quarter", "whole", "coarse_fusion", "fine_fusion", "classifier"):

        def note(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            read[name] = tuple(inputs[0].shape[1:])

        network.get_submodule(name).register_forward_pre_hook(note)
    network(meta_image(64, 128))
    assert read == {
        "shared": (3, 32, 64),
        "quarter": (256, 2, 4),
        "whole": (3, 64, 128),
        "coarse_fusion": (256, 2, 4),
        "fine_fusion": (128, 4, 8),
        "classifier": (128, 8, 16),
    }
    assert {f.coarse.conv.dilation for f in modules_of(network, CascadeFusion)} == {(2, 2)}


def test_icnet_is_half_of_pspnet50() -> None:
    network = outline_of("icnet")
    assert isinstance(network, ICNet)
    blocks = list(modules_of(network, ResidualBottleneck))
    assert [b.middle.conv.out_channels for b in blocks] == [32] * 3 + [64] * 4 + [128] * 6 + [256] * 3
    assert [b.middle.conv.dilation[0] for b in blocks] == [1] * 7 + [2] * 6 + [4] * 3
    assert [u.conv.out_channels for u in network.whole] == [32, 32, 64]
    assert isinstance(network.quarter[3], SummedPyramid)


def test_icnets_scores_are_those_of_doubled_features() -> None:
    network = settled(body_of("icnet"), random_image(64, 96, batch=2))
    assert isinstance(network, ICNet)
    fused: list[Tensor] = []
    network.fine_fusion.register_forward_hook(lambda module, inputs, output: fused.append(output))
    with torch.no_grad():
        scores, _ = network(random_image(64, 96))
        doubled = F.interpolate(fused[0], scale_factor=2.0, mode="bilinear", align_corners=False)
        expected = network.classifier(doubled)
    assert scores.std() > 0.1, "the comparison would not see a constant answer"
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
