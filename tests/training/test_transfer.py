from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from contextnet.labels import CAMVID, CITYSCAPES, LabelClass, LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import ContextNetSpec, variant
from contextnet.training.transfer import ShapeDifference, TransferReport, load_transfer, transfer

# A convolution with its batch norm is 6 tensors: weight, scale, shift, mean, variance, counter. cn14 has 38 of them in
# the context branch, 7 in the detail branch and 3 in the fusion unit, and a classifier of 2 tensors: 290.


def label_set(*names: str) -> LabelSet:
    return LabelSet("own", tuple(LabelClass(n, (0, 0, i), n, (i,)) for i, n in enumerate(names)))


def quarter(
    name: str, labels: LabelSet = CAMVID, *, pyramid_pooling: bool = False, auxiliary: bool = False
) -> ContextNetSpec:
    return variant(name, labels.num_classes, width=0.25, pyramid_pooling=pyramid_pooling, auxiliary=auxiliary)


def fused_at(width: int, labels: LabelSet = CAMVID) -> ContextNetSpec:
    return replace(quarter("cn14", labels), name="other fusion", fusion_widths=(width,))


def trained(spec: ContextNetSpec, labels: LabelSet = CAMVID) -> Weights:
    """Weights of which every value, counters too, is one that no fresh network has."""
    torch.manual_seed(7)
    tensors = {n: torch.rand(t.shape).add(2).to(t.dtype) for n, t in ContextNet(spec).state_dict().items()}
    return Weights(spec, labels, tensors)


def fresh(spec: ContextNetSpec) -> ContextNet:
    torch.manual_seed(1)
    return ContextNet(spec)


def counts(report: TransferReport) -> tuple[int, ...]:
    lists = (report.by_class, report.missing, report.other_shape, report.held_back, report.left_over)
    return report.whole, *(len(names) for names in lists)


RENAMED = label_set(*(f"no {name}" for name in CAMVID.names))
OTHERS = label_set("one", "two")
UPPER = label_set(*(name.upper() for name in CAMVID.names))
REVERSED = label_set(*reversed(CAMVID.names))
ONE_MORE = label_set(*CAMVID.names, "bus")
ONE_LESS = label_set(*CAMVID.names[:-1])


@pytest.mark.parametrize(
    ("given", "given_labels", "needed", "labels", "expected"),
    [
        # whole, by class, missing, other shape, held back, left over
        (quarter("cn14"), CAMVID, quarter("cn14"), CAMVID, (290, 0, 0, 0, 0, 0)),
        (quarter("cn18"), CAMVID, quarter("cn14"), CAMVID, (290, 0, 0, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14", auxiliary=True), CAMVID, (290, 0, 2, 0, 0, 0)),
        (quarter("cn14", auxiliary=True), CAMVID, quarter("cn14"), CAMVID, (290, 0, 0, 0, 0, 2)),
        # A second detail branch and its fusion unit: 42 + 18. Pyramid pooling: 4 grids and the mix.
        (quarter("cn14"), CAMVID, quarter("cn124"), CAMVID, (290, 0, 60, 0, 0, 0)),
        (quarter("cn124"), CAMVID, quarter("cn14"), CAMVID, (290, 0, 0, 0, 0, 60)),
        (quarter("cn14"), CAMVID, quarter("cn14", pyramid_pooling=True), CAMVID, (290, 0, 30, 0, 0, 0)),
        # The branches have nothing in common but the width of the features that the classifier reads.
        (quarter("cn14-context"), CAMVID, quarter("cn14-detail"), CAMVID, (2, 0, 42, 0, 0, 228)),
        # Another fusion width: two convolutions and the classifier's weight; two counters and the classifier's bias
        # would fit, but stay with them.
        (fused_at(24), CAMVID, quarter("cn14"), CAMVID, (276, 0, 0, 11, 3, 0)),
        (fused_at(24, CITYSCAPES), CITYSCAPES, quarter("cn14"), CAMVID, (276, 0, 0, 12, 2, 0)),
        (quarter("cn14", CITYSCAPES), CITYSCAPES, quarter("cn14"), CAMVID, (288, 2, 0, 0, 0, 0)),
        (
            quarter("cn14", CITYSCAPES, auxiliary=True),
            CITYSCAPES,
            quarter("cn14", auxiliary=True),
            CAMVID,
            (288, 4, 0, 0, 0, 0),
        ),
        (quarter("cn14", CITYSCAPES), CITYSCAPES, quarter("cn14", auxiliary=True), CAMVID, (288, 2, 2, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14"), UPPER, (290, 0, 0, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14"), REVERSED, (288, 2, 0, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14", ONE_MORE), ONE_MORE, (288, 2, 0, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14", ONE_LESS), ONE_LESS, (288, 2, 0, 0, 0, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14", RENAMED), RENAMED, (288, 0, 0, 0, 2, 0)),
        (quarter("cn14"), CAMVID, quarter("cn14", OTHERS), OTHERS, (288, 0, 0, 2, 0, 0)),
    ],
)
def test_every_tensor_is_counted_once_and_holds_what_the_report_says(
    given: ContextNetSpec,
    given_labels: LabelSet,
    needed: ContextNetSpec,
    labels: LabelSet,
    expected: tuple[int, ...],
) -> None:
    network, weights, untouched = fresh(needed), trained(given, given_labels), fresh(needed).state_dict()
    report = transfer(network, labels, weights)
    assert counts(report) == expected
    assert report.total == len(untouched)
    assert sorted(report.classes + report.fresh_classes) == sorted(labels.names)
    kept = {*report.missing, *report.held_back, *(difference.name for difference in report.other_shape)}
    for name, tensor in network.state_dict().items():
        if name not in report.by_class:
            assert torch.equal(tensor, untouched[name] if name in kept else weights.tensors[name]), name


# Train ids of the six classes that both have: road, building, fence, pole, sky, car.
IN_CITYSCAPES, IN_CAMVID = [0, 2, 4, 5, 10, 13], [3, 1, 7, 2, 0, 8]


@pytest.mark.parametrize(
    ("given_labels", "labels", "rows", "given_rows", "fresh_rows"),
    [
        (CAMVID, CITYSCAPES, IN_CITYSCAPES, IN_CAMVID, [1, 3, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 18]),
        (CITYSCAPES, CAMVID, IN_CAMVID, IN_CITYSCAPES, [4, 5, 6, 9, 10]),
        (label_set("a", "b", "c"), label_set("C", "a", "B"), [0, 1, 2], [2, 0, 1], []),
        # Where a name stands in two cases, its own case goes first, then the one that stands first.
        (label_set("Car", "car", "CAR"), label_set("CAR", "car", "caR"), [0, 1, 2], [2, 1, 0], []),
        (label_set("a", "b"), label_set("a", "b", "c"), [0, 1], [0, 1], [2]),
    ],
)
def test_classifiers_get_the_rows_of_the_classes_of_the_same_name(
    given_labels: LabelSet, labels: LabelSet, rows: list[int], given_rows: list[int], fresh_rows: list[int]
) -> None:
    spec = quarter("cn14", labels, auxiliary=True)
    network, untouched = fresh(spec), fresh(spec).state_dict()
    weights = trained(quarter("cn14", given_labels, auxiliary=True), given_labels)
    report = transfer(network, labels, weights)
    assert report.classes == tuple(labels.names[i] for i in sorted(rows))
    assert report.fresh_classes == tuple(labels.names[i] for i in fresh_rows)
    for name in ("classifier.weight", "classifier.bias", "auxiliary.weight", "auxiliary.bias"):
        tensor = network.state_dict()[name]
        assert torch.equal(tensor[rows], weights.tensors[name][given_rows])
        assert torch.equal(tensor[fresh_rows], untouched[name][fresh_rows])


def test_classes_are_fresh_where_no_classifier_fits() -> None:
    report = transfer(fresh(quarter("cn14")), CAMVID, trained(fused_at(24)))
    assert (report.classes, report.fresh_classes) == ((), CAMVID.names)


def test_shapes_are_told() -> None:
    report = transfer(fresh(quarter("cn14")), CAMVID, trained(fused_at(24)))
    assert report.other_shape[0] == ShapeDifference("fusions.0.context.conv.weight", (24, 32, 1, 1), (32, 32, 1, 1))


@pytest.mark.parametrize("lacking", ["weight", "running_mean", "running_var", "num_batches_tracked"])
def test_batch_norm_travels_whole_or_not_at_all(lacking: str) -> None:
    spec, norm = quarter("cn14"), "context.blocks.3.expand.norm"
    weights = trained(spec)
    tensors = {n: t for n, t in weights.tensors.items() if n != f"{norm}.{lacking}"}
    network, untouched = fresh(spec), fresh(spec).state_dict()
    report = transfer(network, CAMVID, replace(weights, tensors=tensors))
    assert counts(report) == (285, 0, 1, 0, 4, 0)
    assert all(torch.equal(t, untouched[n]) for n, t in network.state_dict().items() if n.startswith(norm))


def test_network_with_every_tensor_answers_like_its_source() -> None:
    source, network = fresh(quarter("cn14")), ContextNet(quarter("cn14"))
    transfer(network, CAMVID, Weights(source.spec, CAMVID, source.state_dict()))
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(network.eval()(image).scores, source.eval()(image).scores)


def test_weights_of_less_precision_fill_a_network_of_its_own_precision() -> None:
    weights = trained(quarter("cn14", CITYSCAPES), CITYSCAPES)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in weights.tensors.items()}
    network = fresh(quarter("cn14"))
    assert counts(transfer(network, CAMVID, replace(weights, tensors=halves))) == (288, 2, 0, 0, 0, 0)
    found = network.state_dict()
    assert {t.dtype for t in found.values()} == {torch.float32, torch.int64}
    assert torch.equal(found["context.stem.conv.weight"], halves["context.stem.conv.weight"].float())
    assert torch.equal(found["classifier.bias"][3], halves["classifier.bias"][0].float())


def test_memory_layout_is_kept() -> None:
    network = fresh(quarter("cn14")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    transfer(network, CAMVID, trained(quarter("cn14", CITYSCAPES), CITYSCAPES))
    weight: Tensor = network.context.stem.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_report_is_told_in_a_few_lines() -> None:
    network = fresh(quarter("cn124", CITYSCAPES, pyramid_pooling=True))
    given = replace(fused_at(24), auxiliary=True)
    assert transfer(network, CITYSCAPES, trained(given)).lines() == (
        "weights of 'other fusion': 276 of the 380 tensors of 'cn124-x0.25' loaded",
        "fresh classes: road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, "
        "sky, person, rider, car, truck, bus, train, motorcycle, bicycle",
        "fresh, not in the file: context.pyramid (30), details.1 (42), fusions.1 (18)",
        "fresh, of another shape: fusions.0 (10), classifier (2), as 'fusions.0.context.conv.weight' with shape "
        "(24, 32, 1, 1) in the file and (32, 32, 1, 1) in the network",
        "fresh with the rest of their layer: fusions.0 (2)",
        "left over in the file: auxiliary (2)",
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (CAMVID, ("weights of 'cn14-x0.25': 290 of the 290 tensors of 'cn14-x0.25' loaded",)),
        (
            ONE_MORE,
            (
                "weights of 'cn14-x0.25': 290 of the 290 tensors of 'cn14-x0.25' loaded",
                "11 of 12 classes from the file: " + ", ".join(CAMVID.names),
                "fresh classes: bus",
            ),
        ),
        (
            label_set("sky", *(f"class {i}" for i in range(30))),
            (
                "weights of 'cn14-x0.25': 290 of the 290 tensors of 'cn14-x0.25' loaded",
                "1 of 31 classes from the file: sky",
                "fresh classes: " + ", ".join(f"class {i}" for i in range(20)) + ", and 10 more",
            ),
        ),
    ],
)
def test_lines_say_no_more_than_there_is(labels: LabelSet, expected: tuple[str, ...]) -> None:
    assert transfer(fresh(quarter("cn14", labels)), labels, trained(quarter("cn14"))).lines() == expected


def test_report_as_json() -> None:
    network = fresh(quarter("cn14", ONE_MORE, auxiliary=True))
    report = transfer(network, ONE_MORE, trained(fused_at(24)))
    values = report.to_json()
    assert json.loads(json.dumps(values)) == values
    assert values["other_shape"]["classifier.bias"] == {"file": [11], "network": [12]}
    del values["other_shape"]
    assert values == {
        "file_network": "other fusion",
        "network": "cn14-x0.25",
        "whole": 276,
        "by_class": [],
        "missing": ["auxiliary.weight", "auxiliary.bias"],
        "held_back": ["fusions.0.context.norm.num_batches_tracked", "fusions.0.detail.norm.num_batches_tracked"],
        "left_over": [],
        "classes": [],
        "fresh_classes": [*CAMVID.names, "bus"],
    }


def test_shipped_network_is_found_by_name() -> None:
    report = load_transfer("cn14-camvid", ContextNet(variant("cn14", 19)), CITYSCAPES)
    assert counts(report) == (288, 2, 0, 0, 0, 0)


def test_weights_file_is_found_by_path(tmp_path: Path) -> None:
    path = tmp_path / "trained.safetensors"
    write_weights(path, trained(quarter("cn14")))
    network = fresh(quarter("cn14"))
    assert counts(load_transfer(str(path), network, CAMVID)) == (290, 0, 0, 0, 0, 0)
    assert torch.equal(network.state_dict()["classifier.bias"], trained(quarter("cn14")).tensors["classifier.bias"])
