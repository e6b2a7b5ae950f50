"""The compared networks against their papers: parameters, shapes, classifiers, dropout and activations."""

from __future__ import annotations

import pytest
from baseline_bodies import convolutions_of, meta_image, modules_of, outline_of, parameter_count, shape_of
from torch import Tensor, nn

from contextnet.models.folding import fold_batch_norm
from contextnet.network_spec import BASELINES, BaselineSpec

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "count", "folded", "quoted"),
    [
        ("segnet", 29_446_035, 29_438_099, 29.46e6),
        ("enet", 363_618, 359_445, 0.37e6),
        ("icnet", 6_699_987, 6_685_715, 6.68e6),
        ("erfnet", 2_060_978, 2_057_765, 2.1e6),
        ("pspnet", 65_707_475, 65_652_051, 65.7e6),
        ("deeplab-v2", 43_901_068, 43_848_396, 44e6),
        ("fast-scnn", 1_137_795, 1_125_955, 1.11e6),
        ("dabnet", 756_643, 753_990, 0.76e6),
    ],
)
def test_parameters_beside_table_6_and_the_papers(name: str, count: int, folded: int, quoted: float) -> None:
    network = outline_of(name, auxiliary=False)
    assert parameter_count(network) == count
    assert parameter_count(fold_batch_norm(network)) == folded
    # Fast-SCNN's 1.11 M leave out batch norm's scale and shift: see the test of its kernels.
    nearest = folded if name == "fast-scnn" else count
    assert abs(nearest / quoted - 1) < 0.02


def test_the_kernels_of_fast_scnn_are_the_papers_1_11_million() -> None:
    network = outline_of("fast-scnn", auxiliary=False)
    kernels = sum(c.weight.numel() for c in convolutions_of(network))
    assert kernels + 19 == 1_114_115, "nothing but the classifier has a bias"


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("segnet", 0),
        ("enet", 0),
        ("icnet", 128 * 19 + 19),
        ("erfnet", 0),
        ("pspnet", 1024 * 256 * 9 + 2 * 256 + 256 * 19 + 19),
        ("deeplab-v2", 0),
        ("fast-scnn", 128 * 19 + 19),
        ("dabnet", 0),
    ],
)
def test_the_auxiliary_head_is_all_that_auxiliary_adds(name: str, added: int) -> None:
    with_head, without = outline_of(name), outline_of(name, auxiliary=False)
    names = {n for n, _ in with_head.named_parameters()} - {n for n, _ in without.named_parameters()}
    assert parameter_count(with_head) - parameter_count(without) == added
    assert all(n.startswith("auxiliary.") for n in names)
    assert ("auxiliary.classifier.weight" in names) == bool(added) == BaselineSpec(name, 19, auxiliary=True).auxiliary


@pytest.mark.parametrize(
    ("name", "auxiliary_stride"),
    [
        ("segnet", None),
        ("enet", None),
        ("icnet", 8),
        ("erfnet", None),
        ("pspnet", 8),
        ("deeplab-v2", None),
        ("fast-scnn", 32),
        ("dabnet", None),
    ],
)
def test_in_training_auxiliary_scores_lie_over_the_image_at_a_stride_of_their_own(
    name: str, auxiliary_stride: int | None
) -> None:
    spec = BaselineSpec(name, 5)
    network, stride = outline_of(name, 5), spec.output_stride
    for rows, columns in ((1, 1), (3, 2)):
        height, width = rows * spec.size_multiple, columns * spec.size_multiple
        scores, auxiliary = network.train()(meta_image(height, width))
        assert shape_of(scores) == (2, 5, height // stride, width // stride)
        grid = None if auxiliary_stride is None else (2, 5, height // auxiliary_stride, width // auxiliary_stride)
        assert shape_of(auxiliary) == grid
        assert network.eval()(meta_image(height, width))[1] is None


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_called_classifier_yields_one_map_for_each_class(name: str) -> None:
    network = outline_of(name, 7)
    found = 0
    for path, _ in network.named_parameters():
        if "classifier" in path.split("."):
            layer = network.get_submodule(path.rpartition(".")[0])
            assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
            assert layer.out_channels == 7
            found += 1
    assert found > 0
    others = [m for p, m in network.named_modules() if "classifier" not in p.split(".")]
    assert not [m for m in others if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.out_channels == 7]


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("segnet", []),
        ("enet", []),
        ("icnet", []),
        ("erfnet", []),
        ("pspnet", [0.3, 0.1]),
        ("deeplab-v2", []),
        ("fast-scnn", [0.3]),
        ("dabnet", []),
    ],
)
def test_dropout_stands_before_the_classifier_where_the_paper_has_it(name: str, rates: list[float]) -> None:
    network = outline_of(name, 2, dropout=0.3)
    assert (BaselineSpec(name, 2, dropout=0.3).dropout > 0) == bool(rates), "what lacks dropout states none"
    assert [m.p for m in modules_of(network, nn.Dropout)] == rates
    if rates:
        passed: list[Tensor] = []
        network.get_submodule("dropout").register_forward_hook(lambda module, inputs, output: passed.append(output))
        network.get_submodule("classifier").register_forward_hook(lambda module, inputs, output: passed.extend(inputs))
        network(meta_image(32, 32))
        assert network.get_submodule("dropout").p == 0.3
        assert len(passed) == 2
        assert passed[0] is passed[1]


@pytest.mark.parametrize(
    ("name", "relus", "prelus"),
    [
        ("segnet", 25, 0),
        ("enet", 5 * 3, 2 + 22 * 3),
        ("icnet", 3 + 16 * 3 + 1 + 3 + 2, 0),
        ("erfnet", 3 * 2 + 17 * 4 + 2, 0),
        ("pspnet", 3 + 33 * 3 + 4 + 1, 0),
        ("deeplab-v2", 1 + 33 * 3, 0),
        ("fast-scnn", 3 + 9 * 2 + 5 + 2 + 2, 0),
        ("dabnet", 0, 3 + 9 * 7 + 2 + 1 + 3),
    ],
)
def test_activations_stand_where_the_papers_have_them(name: str, relus: int, prelus: int) -> None:
    network = outline_of(name, auxiliary=False)
    assert (len(list(modules_of(network, nn.ReLU))), len(list(modules_of(network, nn.PReLU)))) == (relus, prelus)
