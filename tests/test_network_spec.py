"""Descriptions of every network: JSON and back, what is refused, and whether the networks are as they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from contextnet.errors import ContextNetError, WeightsError
from contextnet.models.baselines.baseline import Baseline
from contextnet.models.contextnet import ContextNet
from contextnet.models.network import build_network
from contextnet.network_spec import (
    BASELINES,
    NETWORKS,
    BaselineSpec,
    NetworkSpec,
    named_spec,
    require_contextnet,
    spec_from_json,
)
from contextnet.spec import VARIANTS, ContextNetSpec, variant

ENET = {"kind": "baseline", "name": "enet", "num_classes": 11, "auxiliary": False, "dropout": 0.0}
FAST_SCNN = {"kind": "baseline", "name": "fast-scnn", "num_classes": 11, "auxiliary": True, "dropout": 0.25}
KNOWN = "segnet, enet, icnet, erfnet, pspnet, deeplab-v2, fast-scnn, dabnet"


def test_names() -> None:
    assert ", ".join(BASELINES) == KNOWN
    assert (*VARIANTS, *BASELINES) == NETWORKS


# JSON.


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (BaselineSpec("enet", 11), ENET),
        (BaselineSpec("fast-scnn", 11, auxiliary=True, dropout=0.25), FAST_SCNN),
    ],
)
def test_a_baseline_as_json(spec: BaselineSpec, values: Mapping[str, Any]) -> None:
    assert spec.to_json() == values
    assert json.loads(json.dumps(values)) == values
    assert spec_from_json(values) == spec
    assert BaselineSpec.from_json(values) == spec
    without_kind = {key: value for key, value in values.items() if key != "kind"}
    assert BaselineSpec.from_json(without_kind) == spec


@pytest.mark.parametrize("name", NETWORKS)
def test_every_description_comes_back(name: str) -> None:
    spec = named_spec(name, 7, auxiliary=name != "cn14-detail", dropout=0.0)
    read = spec_from_json(json.loads(json.dumps(spec.to_json())))
    assert (read, type(read)) == (spec, type(spec))
    assert isinstance(spec, BaselineSpec if name in BASELINES else ContextNetSpec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "contextnet"}, "network description: 'kind' is 'contextnet'; expected 'baseline'"),
        ({"kind": None}, "network description: 'kind' is None; expected 'baseline'"),
        ({"kind": ["baseline"]}, "network description: 'kind' is ['baseline']; expected 'baseline'"),
        ({"width": 2}, "network description: 'width' is no part of it; remove it"),
        ({"b": 0, "a": 0}, "network description: 'a' is no part of it; remove it"),
        ({"context": None, "details": []}, "network description: 'context' is no part of it; remove it"),
        ({3: 0, "a": 0}, "network description: '3' is no part of it; remove it"),
        ({"z" * 99: 0}, "network description: 'zzzzzzzzzzzz...zzzzzzzzzzzzz' is no part of it; remove it"),
        ({"name": ...}, "network description: 'name' is missing"),
        ({"num_classes": ...}, "network description: 'num_classes' is missing"),
        ({"auxiliary": ...}, "network description: 'auxiliary' is missing"),
        ({"dropout": ...}, "network description: 'dropout' is missing"),
        ({"name": 5}, "network description: 'name' is 5; expected str"),
        ({"name": ["enet"]}, "network description: 'name' is ['enet']; expected str"),
        ({"name": {"a": "x" * 99}}, "network description: 'name' is {'a': '" + "x" * 33 + "; expected str"),
        ({"num_classes": "11"}, "network description: 'num_classes' is '11'; expected int"),
        ({"num_classes": 11.0}, "network description: 'num_classes' is 11.0; expected int"),
        ({"num_classes": True}, "network description: 'num_classes' is True; expected int"),
        ({"auxiliary": 1}, "network description: 'auxiliary' is 1; expected bool"),
        ({"auxiliary": None}, "network description: 'auxiliary' is None; expected bool"),
        ({"dropout": "0.1"}, "network description: 'dropout' is '0.1'; expected float"),
        ({"dropout": False}, "network description: 'dropout' is False; expected float"),
        ({"name": "enet "}, f"no baseline is called 'enet '; known: {KNOWN}"),
        ({"name": "cn14"}, f"no baseline is called 'cn14'; known: {KNOWN}"),
        ({"name": "x" * 99}, f"no baseline is called 'xxxxxxxxxxxx...xxxxxxxxxxxxx'; known: {KNOWN}"),
        ({"num_classes": 0}, "network 'enet': 0 classes; 1 to 254 are possible"),
        ({"num_classes": 255}, "network 'enet': 255 classes; 1 to 254 are possible"),
        ({"num_classes": -(10**50)}, "network 'enet': -10000000000000000...0000000000000000000 classes; 1 to 254 are"),
        ({"dropout": 1}, "network 'enet': dropout 1; expected 0 to below 1"),
        ({"dropout": -0.5}, "network 'enet': dropout -0.5; expected 0 to below 1"),
        ({"dropout": float("nan")}, "network 'enet': dropout nan; expected 0 to below 1"),
        ({"dropout": float("inf")}, "network 'enet': dropout inf; expected 0 to below 1"),
        ({"dropout": 10**400}, "network 'enet': dropout 100000000000000000...0000000000000000000; expected 0 to"),
    ],
)
def test_what_describes_no_baseline_is_refused(change: Mapping[Any, Any], message: str) -> None:
    values = {key: value for key, value in (ENET | change).items() if value is not ...}
    with pytest.raises(WeightsError) as caught:
        spec_from_json(values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dropout": 0}, BaselineSpec("fast-scnn", 11, True, 0.0)),
        ({"num_classes": 1}, BaselineSpec("fast-scnn", 1, True, 0.25)),
        ({"num_classes": 254, "dropout": 0.999}, BaselineSpec("fast-scnn", 254, True, 0.999)),
    ],
)
def test_the_last_values_that_are_possible(change: Mapping[str, Any], expected: BaselineSpec) -> None:
    assert spec_from_json(FAST_SCNN | change) == expected


@pytest.mark.parametrize(
    ("name", "auxiliary", "dropout"),
    [
        ("segnet", False, 0.0),
        ("enet", False, 0.0),
        ("icnet", True, 0.0),
        ("erfnet", False, 0.0),
        ("pspnet", True, 0.1),
        ("deeplab-v2", False, 0.0),
        ("fast-scnn", True, 0.1),
        ("dabnet", False, 0.0),
    ],
)
def test_what_a_network_cannot_have_is_read_and_not_kept(name: str, auxiliary: bool, dropout: float) -> None:
    """Files of earlier versions state dropout for every network."""
    read = spec_from_json({"kind": "baseline", "name": name, "num_classes": 3, "auxiliary": True, "dropout": 0.1})
    assert read == BaselineSpec(name, 3, auxiliary, dropout)
    assert (read.auxiliary, read.dropout) == (auxiliary, dropout)
    assert read.to_json() == {
        "kind": "baseline",
        "name": name,
        "num_classes": 3,
        "auxiliary": auxiliary,
        "dropout": dropout,
    }


@pytest.mark.parametrize("values", [[], "enet", None, 3, {}, {"name": "enet", "num_classes": 11}])
def test_what_has_no_kind_is_read_as_a_contextnet(values: Any) -> None:
    with pytest.raises(WeightsError, match=r"^network description: '"):
        spec_from_json(values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("unet", 3), f"no baseline is called 'unet'; known: {KNOWN}"),
        (("segnet", 0), "network 'segnet': 0 classes; 1 to 254 are possible"),
        (("segnet", 3, False, 1.0), r"network 'segnet': dropout 1\.0; expected 0 to below 1"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_where_it_is_made(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(WeightsError, match=f"^{message}$"):
        BaselineSpec(*arguments)


# By name.


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("enet", {}, BaselineSpec("enet", 19, False, 0.0)),
        ("pspnet", {}, BaselineSpec("pspnet", 19, False, 0.1)),
        ("fast-scnn", {"num_classes": 3, "dropout": 0.3}, BaselineSpec("fast-scnn", 3, False, 0.3)),
        # Only those whose papers have an auxiliary classifier get one.
        *((name, {"auxiliary": True}, BaselineSpec(name, 19, True)) for name in ("icnet", "pspnet", "fast-scnn")),
        *(
            (name, {"auxiliary": True}, BaselineSpec(name, 19, False))
            for name in ("segnet", "enet", "erfnet", "deeplab-v2", "dabnet")
        ),
        ("icnet", {"width": 1, "pyramid_pooling": False}, BaselineSpec("icnet", 19, False)),
        ("cn14", {"num_classes": 3, "width": 0.5}, variant("cn14", 3, width=0.5)),
        (
            "cn124",
            {"pyramid_pooling": True, "auxiliary": True, "dropout": 0.3},
            variant("cn124", pyramid_pooling=True, auxiliary=True, dropout=0.3),
        ),
    ],
)
def test_networks_by_name(name: str, options: Mapping[str, Any], expected: NetworkSpec) -> None:
    assert named_spec(name, **options) == expected


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cn41", {}, f"no network is called 'cn41'; known: {', '.join(VARIANTS)}, {KNOWN}"),
        ("", {}, "no network is called ''; known: "),
        ("enet", {"width": 0.5}, "'enet' is built as its paper says; leave out width and pyramid pooling"),
        ("enet", {"width": 2}, "'enet' is built as its paper says; leave out width and pyramid pooling"),
        ("pspnet", {"pyramid_pooling": True}, "'pspnet' is built as its paper says; leave out width and pyramid"),
        ("cn14", {"width": 0}, "width multiplier 0"),
        ("cn14-detail", {"pyramid_pooling": True}, "'cn14-detail' has no context branch"),
        ("enet", {"num_classes": 0}, "network 'enet': 0 classes"),
    ],
)
def test_names_and_options_that_lead_nowhere(name: str, options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ContextNetError) as caught:
        named_spec(name, **options)
    assert message in str(caught.value)


def test_work_that_is_for_contextnet_alone() -> None:
    spec = variant("cn18", 4)
    assert require_contextnet(spec, "pruned") is spec
    with pytest.raises(ContextNetError) as caught:
        require_contextnet(BaselineSpec("erfnet", 4), "bent")
    expected = f"'erfnet' cannot be bent: that is for ContextNet's variants ({', '.join(VARIANTS)})"
    assert str(caught.value) == expected


# The table against the networks, which run without values or memory.


def outline(spec: NetworkSpec) -> ContextNet | Baseline:
    with torch.device("meta"):
        return build_network(spec)


def image(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.empty((count, 3, height, width), device="meta")


@pytest.mark.parametrize(
    ("name", "stride", "multiple"),
    [
        ("segnet", 1, 32),
        ("enet", 1, 8),
        ("icnet", 4, 32),
        ("erfnet", 1, 8),
        ("pspnet", 8, 8),
        ("deeplab-v2", 8, 8),
        ("fast-scnn", 8, 32),
        ("dabnet", 8, 8),
        ("cn14", 8, 32),
        ("cn18", 8, 64),
        ("cn14-detail", 8, 8),
        ("cn14-context", 8, 32),
    ],
)
def test_scores_lie_over_the_image_as_the_description_says(name: str, stride: int, multiple: int) -> None:
    spec = named_spec(name, 3)
    assert (spec.output_stride, spec.size_multiple) == (stride, multiple)
    network = outline(spec).eval()
    for height, width in ((multiple, multiple), (2 * multiple, 3 * multiple), (multiple + 1, 1)):
        padded = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
        output = network(image(height, width, 2))
        assert output.scores.shape == (2, 3, padded[0] // stride, padded[1] // stride)
        assert output.auxiliary is None
        assert network.full_size_scores(image(height, width)).shape == (1, 3, height, width)


BETWEEN_MULTIPLES: Mapping[str, str | tuple[int, ...]] = {
    # A pooling of three pixels leaves one over.
    "segnet": r"The expanded size of the tensor \(1\) must match the existing size \(2\)",
    "enet": r"The expanded size of the tensor \(1\) must match the existing size \(2\)",
    # The smaller maps, enlarged, are not as large as those that they are added to.
    "icnet": r"broadcast .*\[1, 128, 3, 3\].*\[1, 128, 2, 2\]",
    "fast-scnn": r"broadcast .*\[1, 128, 6, 6\].*\[1, 128, 8, 8\]",
    # Of three pixels a convolution of stride 2 makes two, the pooling beside it one.
    "erfnet": r"Sizes of tensors must match except in dimension 1",
    # No layer minds, but two cells of eight pixels reach beyond twelve.
    "pspnet": (1, 3, 2, 2),
    "deeplab-v2": (1, 3, 2, 2),
    "dabnet": (1, 3, 2, 2),
}
"""What a body does at one and a half times its multiple: the error that it raises, or its scores' shape."""


@pytest.mark.parametrize("name", BASELINES)
def test_between_two_multiples_no_body_gives_scores_that_fit_the_image(name: str) -> None:
    spec, expected = BaselineSpec(name, 3), BETWEEN_MULTIPLES[name]
    body, side = outline(spec).body.eval(), spec.size_multiple * 3 // 2
    if isinstance(expected, str):
        with pytest.raises(RuntimeError, match=expected):
            body(image(side, side))
    else:
        scores, _ = body(image(side, side))
        assert scores.shape == expected
        assert scores.shape[-1] * spec.output_stride > side


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("auxiliary", [False, True])
def test_an_auxiliary_classifier_is_there_exactly_where_the_description_says(name: str, auxiliary: bool) -> None:
    spec = named_spec(name, 3, auxiliary=auxiliary)
    assert isinstance(spec, BaselineSpec)
    network = outline(spec)
    given = network.train()(image(64, 96, 2)).auxiliary
    assert (given is not None) == spec.auxiliary == (auxiliary and name in {"icnet", "pspnet", "fast-scnn"})
    assert any("auxiliary" in path.split(".") for path in network.state_dict()) == spec.auxiliary
    if given is not None:
        assert given.shape[:2] == (2, 3)
    assert network.eval()(image(64, 96)).auxiliary is None


@pytest.mark.parametrize(
    ("name", "pyramid_pooling"),
    [*((name, False) for name in NETWORKS), *((name, True) for name in VARIANTS if name != "cn14-detail")],
)
def test_where_cells_span_the_image_batch_norm_needs_more_than_one(name: str, pyramid_pooling: bool) -> None:
    spec = named_spec(name, 3, pyramid_pooling=pyramid_pooling)
    assert spec.has_pyramid == (pyramid_pooling or name in {"pspnet", "fast-scnn"})
    network, side = outline(spec).train(), 2 * spec.size_multiple
    network(image(side, side, 2))
    if spec.has_pyramid:
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            network(image(side, side))
    else:
        network(image(side, side))


@pytest.mark.parametrize("name", ["dabnet", "enet", "erfnet", "icnet", "fast-scnn", "cn14"])
def test_fresh_classifiers_are_small_and_fresh_layers_are_not(name: str) -> None:
    """Classes start alike: a loss near ln 3. The layers before carry the signal: He by fan-out, ERFNet's too."""
    torch.manual_seed(4)
    network = build_network(named_spec(name, 3, auxiliary=True))
    for path, module in network.named_modules():
        parts = path.split(".")
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            if "classifier" in parts or path == "auxiliary":
                assert float(module.weight.detach().std()) == pytest.approx(0.01, rel=0.25), path
            elif isinstance(module, torch.nn.Conv2d) and module.weight.numel() >= 1000:
                fan_out = module.out_channels * module.weight[0, 0].numel()
                assert float(module.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.2), path
            assert module.bias is None or not module.bias.any(), path
    images = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(1)).float()
    with torch.no_grad():
        assert float(network.train()(images).scores.std()) < 0.5
