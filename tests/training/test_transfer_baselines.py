"""Starting a compared network from weights of other classes: classifiers of every form, by the classes' names."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from contextnet.errors import WeightsError
from contextnet.labels import LabelClass, LabelSet
from contextnet.models.baselines.baseline import Baseline
from contextnet.models.initialization import scores_classes
from contextnet.models.network import build_network
from contextnet.models.storage import Weights
from contextnet.network_spec import BaselineSpec, named_spec
from contextnet.training.transfer import _layers, transfer
from lively_baselines import SMALL


def label_set(*names: str) -> LabelSet:
    return LabelSet("own", tuple(LabelClass(n, (0, 0, i), n, (i,)) for i, n in enumerate(names)))


GIVEN = label_set("road", "car", "sky", "tree")
NEEDED = label_set("sky", "Road", "train")
ROWS, GIVEN_ROWS, FRESH = [0, 1], [2, 0], [2]
CLASSIFIERS = {
    "enet": {"body.classifier.weight": 1, "body.classifier.bias": 0},
    "erfnet": {"body.classifier.weight": 1, "body.classifier.bias": 0},
    "dabnet": {"body.classifier.weight": 0},
    "fast-scnn": {
        "body.classifier.weight": 0,
        "body.classifier.bias": 0,
        "body.auxiliary.classifier.weight": 0,
        "body.auxiliary.classifier.bias": 0,
    },
    "icnet": {
        "body.classifier.weight": 0,
        "body.classifier.bias": 0,
        "body.auxiliary.classifier.weight": 0,
        "body.auxiliary.classifier.bias": 0,
    },
}
"""By a classifier's tensor, the axis along which its classes lie: a transposed kernel has its inputs first."""


def fresh(name: str, labels: LabelSet) -> Baseline:
    torch.manual_seed(1)
    spec = named_spec(name, labels.num_classes, auxiliary=True)
    assert isinstance(spec, BaselineSpec)
    return Baseline(spec)


def trained(name: str, labels: LabelSet) -> Weights:
    """Weights of which every value, counters too, is one that no fresh network has."""
    with torch.device("meta"):
        network = build_network(named_spec(name, labels.num_classes, auxiliary=True))
    torch.manual_seed(7)
    tensors = {n: torch.rand(t.shape).add(2).to(t.dtype) for n, t in network.state_dict().items()}
    return Weights(network.spec, labels, tensors)


@pytest.mark.parametrize("name", SMALL)
def test_classifiers_get_the_rows_of_the_classes_of_the_same_name(name: str) -> None:
    network, untouched, weights = fresh(name, NEEDED), fresh(name, NEEDED).state_dict(), trained(name, GIVEN)
    report = transfer(network, NEEDED, weights)
    assert set(report.by_class) == CLASSIFIERS[name].keys()
    assert report.whole == len(untouched) - len(CLASSIFIERS[name])
    assert (report.missing, report.other_shape, report.held_back, report.left_over) == ((), (), (), ())
    assert (report.classes, report.fresh_classes) == (("sky", "Road"), ("train",))
    for path, tensor in network.state_dict().items():
        if path not in CLASSIFIERS[name]:
            assert torch.equal(tensor, weights.tensors[path]), path
            continue
        axis, found = CLASSIFIERS[name][path], weights.tensors[path]
        for row, given in zip(ROWS, GIVEN_ROWS, strict=True):
            assert torch.equal(tensor.select(axis, row), found.select(axis, given)), path
        for row in FRESH:
            assert torch.equal(tensor.select(axis, row), untouched[path].select(axis, row)), path


def test_a_network_whose_classes_are_swapped_gives_swapped_scores() -> None:
    """Of a transposed kernel the wrong axis would fit as well where there are as many classes as maps."""
    names = tuple(f"class {i}" for i in range(16))
    labels, swapped = label_set(*names), label_set(*names[8:], *names[:8])
    source, network = fresh("enet", labels), fresh("enet", swapped)
    report = transfer(network, swapped, Weights(source.spec, labels, source.state_dict()))
    assert len(report.by_class) == 2
    image = torch.randint(0, 256, (1, 3, 32, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        scores, expected = network.eval()(image).scores, source.eval()(image).scores
    torch.testing.assert_close(scores, torch.cat([expected[:, 8:], expected[:, :8]], dim=1))


class ManyBranches(nn.Module):
    """DeepLab-v2's classifier in place of its network: four convolutions whose scores are summed."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        from contextnet.models.baselines.deeplab_v2 import AtrousPyramid

        self.spec = BaselineSpec("deeplab-v2", num_classes)
        self.body = nn.ModuleDict({"backbone": nn.Conv2d(3, 4, 1), "classifier": AtrousPyramid(4, num_classes)})


def test_every_branch_of_a_classifier_is_taken_by_class() -> None:
    torch.manual_seed(3)
    source, network = ManyBranches(4), ManyBranches(3)
    untouched = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights = Weights(source.spec, GIVEN, source.state_dict())
    report = transfer(network, NEEDED, weights)  # type: ignore[arg-type]
    branches = [f"body.classifier.branches.{i}.{part}" for i in range(4) for part in ("weight", "bias")]
    assert sorted(report.by_class) == sorted(branches)
    assert report.whole == 2
    for path in branches:
        tensor = network.state_dict()[path]
        assert torch.equal(tensor[ROWS], weights.tensors[path][GIVEN_ROWS])
        assert torch.equal(tensor[FRESH], untouched[path][FRESH])


def test_the_whole_deeplab_has_the_classifier_that_is_taken_by_class() -> None:
    with torch.device("meta"):
        names = {n for n in build_network(BaselineSpec("deeplab-v2", 3)).state_dict() if "classifier" in n}
    assert names == {f"body.classifier.branches.{i}.{part}" for i in range(4) for part in ("weight", "bias")}


def test_the_head_before_an_auxiliary_classifier_is_taken_whole() -> None:
    """PSPNet's auxiliary head has a 3×3 convolution whose maps are no classes."""
    with torch.device("meta"):
        names = list(build_network(named_spec("pspnet", 3, auxiliary=True)).state_dict())
    layers = {layer for layer in _layers(names) if scores_classes(layer)}
    assert layers == {"body.classifier", "body.auxiliary.classifier"}


@pytest.mark.parametrize("name", ["enet", "dabnet"])
def test_the_same_classes_are_copied_whole(name: str) -> None:
    network, weights = fresh(name, GIVEN), trained(name, GIVEN)
    report = transfer(network, GIVEN, weights)
    assert (report.whole, report.by_class) == (len(weights.tensors), ())
    assert all(torch.equal(t, weights.tensors[n]) for n, t in network.state_dict().items())


@pytest.mark.parametrize("name", ["enet", "fast-scnn"])
def test_classes_of_other_names_alone_leave_the_classifiers_fresh(name: str) -> None:
    labels = label_set("a", "b", "c", "d")
    network, untouched = fresh(name, labels), fresh(name, labels).state_dict()
    report = transfer(network, labels, trained(name, GIVEN))
    assert report.by_class == ()
    assert set(report.held_back) == CLASSIFIERS[name].keys(), "they would fit"
    assert (report.classes, report.fresh_classes) == ((), labels.names)
    for path in CLASSIFIERS[name]:
        assert torch.equal(network.state_dict()[path], untouched[path])


def test_a_classifier_of_another_number_of_inputs_is_fresh() -> None:
    network, weights = fresh("enet", NEEDED), trained("enet", GIVEN)
    cut = {**weights.tensors, "body.classifier.weight": torch.ones(15, 4, 2, 2)}
    report = transfer(network, NEEDED, replace(weights, tensors=cut))
    assert report.by_class == ()
    assert {d.name: (d.found, d.needed) for d in report.other_shape} == {
        "body.classifier.weight": ((15, 4, 2, 2), (16, 3, 2, 2)),
        "body.classifier.bias": ((4,), (3,)),
    }


def test_a_contextnet_starts_no_baseline() -> None:
    with torch.device("meta"):
        other = build_network(named_spec("cn14", 4))
    tensors = {n: torch.ones(t.shape, dtype=t.dtype) for n, t in other.state_dict().items()}
    with pytest.raises(WeightsError):
        transfer(fresh("dabnet", NEEDED), NEEDED, Weights(other.spec, GIVEN, tensors))
