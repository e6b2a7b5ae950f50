"""Network descriptions: JSON there and back, refusals in one sentence, and the widths of the two small networks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contextnet.errors import ContextNetError, WeightsError
from contextnet.spec import (
    VARIANTS,
    BottleneckSpec,
    ContextBranchSpec,
    ContextNetSpec,
    DetailBranchSpec,
    SeparableSpec,
    variant,
)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("width", [1, 1.25, 1.5, 2])
@pytest.mark.parametrize(("pyramid_pooling", "auxiliary"), [(False, False), (True, False), (False, True), (True, True)])
def test_json_there_and_back(name: str, width: float, pyramid_pooling: bool, auxiliary: bool) -> None:
    if name == "cn14-detail" and (pyramid_pooling or auxiliary):
        with pytest.raises(ContextNetError, match="'cn14-detail' has no context branch to carry"):
            variant(name, width=width, pyramid_pooling=pyramid_pooling, auxiliary=auxiliary)
        return
    spec = variant(name, 11, width=width, pyramid_pooling=pyramid_pooling, auxiliary=auxiliary, dropout=0.25)
    assert (spec.num_classes, spec.auxiliary, spec.dropout) == (11, auxiliary, 0.25)
    assert ContextNetSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert ContextNetSpec.from_json(spec.to_json()) == spec


def test_the_full_network_is_table_2() -> None:
    context = variant("cn14").context
    assert context is not None
    widths_in = [context.stem, *(b.width for b in context.blocks)]
    rows = [(b.expansion, b.hidden // w, b.width, b.stride) for b, w in zip(context.blocks, widths_in, strict=False)]
    assert rows == [
        (1, 1, 32, 1),
        (6, 6, 32, 1),
        *[(6, 6, 48, 2), (6, 6, 48, 1), (6, 6, 48, 1)],
        *[(6, 6, 64, 2), (6, 6, 64, 1), (6, 6, 64, 1)],
        *[(6, 6, 96, 1), (6, 6, 96, 1)],
        *[(6, 6, 128, 1), (6, 6, 128, 1)],
    ]
    assert (context.scale, context.stem, context.head, context.pyramid_bins) == (4, 32, 128, ())


def test_the_detail_branch_is_section_2_2() -> None:
    (detail,) = variant("cn14").details
    assert (detail.stem, [b.width for b in detail.blocks]) == (32, [64, 128, 128])
    assert [2, *(b.stride for b in detail.blocks)] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("name", "scales", "strides", "size_multiple"),
    [
        ("cn14", [4, 1], [32, 8], 32),
        ("cn12", [2, 1], [16, 8], 16),
        ("cn18", [8, 1], [64, 8], 64),
        ("cn124", [4, 2, 1], [32, 16, 8], 32),
        ("cn14-fine", [4, 1, 1], [32, 8, 4], 32),
        ("cn12-fine", [2, 1, 1], [16, 8, 4], 16),
        ("cn14-context", [4], [32], 32),
        ("cn14-detail", [1], [8], 8),
    ],
)
def test_scales_and_strides(name: str, scales: list[int], strides: list[int], size_multiple: int) -> None:
    spec = variant(name)
    branches = [b for b in (spec.context, *spec.details) if b is not None]
    assert [b.scale for b in branches] == scales
    assert [b.stride for b in branches] == strides
    assert spec.size_multiple == size_multiple
    assert spec.output_stride == (4 if name.endswith("-fine") else 8)


@pytest.mark.parametrize("width", [1, 1.5])
def test_the_finer_output_is_that_of_the_first_layers_of_a_detail_branch(width: float) -> None:
    spec, coarse = variant("cn12-fine", width=width), variant("cn12", width=width)
    first, second = spec.details
    assert (spec.context, first) == (coarse.context, coarse.details[0])
    assert (second.scale, second.stem, second.blocks) == (1, first.stem, first.blocks[:1])
    assert spec.fusion_widths == (*coarse.fusion_widths, second.width)


@pytest.mark.parametrize(
    ("width", "name", "stem", "last_hidden"),
    [(1, "cn14", 32, 768), (1.25, "cn14-x1.25", 40, 960), (1.5, "cn14-x1.5", 48, 1152), (2, "cn14-x2", 64, 1536)],
)
def test_the_multiplier_scales_every_width(width: float, name: str, stem: int, last_hidden: int) -> None:
    spec = variant("cn14", width=width)
    assert spec.context is not None
    assert (spec.name, spec.context.stem, spec.context.blocks[-1].hidden) == (name, stem, last_hidden)
    assert (spec.details[0].width, spec.fusion_widths, spec.num_classes) == (128 * width, (128 * width,), 19)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: variant("cn41"), "no network is called 'cn41'; known: cn14, cn12,"),
        (lambda: variant("cn14", width=0.01), "width multiplier 0.01; 0.05 to 5 is possible"),
        (lambda: variant("cn14", width=5.5), "width multiplier 5.5; 0.05 to 5 is possible"),
        (lambda: variant("cn14", width=math.nan), "width multiplier nan"),
        (lambda: variant("cn14", 0), "network 'cn14': 0 classes; 1 to 254 are possible"),
        (lambda: variant("cn14", 255), "network 'cn14': 255 classes; 1 to 254 are possible"),
        (lambda: variant("cn14", dropout=1.0), "network 'cn14': dropout 1.0; expected 0 to below 1"),
    ],
)
def test_an_impossible_variant_is_refused(make: Callable[[], ContextNetSpec], expected: str) -> None:
    with pytest.raises(ContextNetError) as caught:
        make()
    assert str(caught.value).startswith(expected)


def test_the_widest_and_the_narrowest_variants_are_networks() -> None:
    assert variant("cn124", width=5).fusion_widths == (640, 640)
    assert variant("cn14-160", width=0.05).fusion_widths == (3,)


def _changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The JSON of cn14 with one value replaced or added."""
    values: dict[str, Any] = json.loads(json.dumps(variant("cn14").to_json()))
    place: Any = values
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return values


def _without(key: str) -> dict[str, Any]:
    values = variant("cn14").to_json()
    del values[key]
    return values


_BLOCK = {"expansion": 6, "hidden": 192, "width": 32, "stride": 1}
_DETAIL = variant("cn14").to_json()["details"][0]
_CONTEXT = variant("cn14").to_json()["context"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Keys.
        (_changed("depth", to=3), "'depth' is no part of it; remove it"),
        (_changed("context", "blocks", 0, "kernel", to=5), "'context.blocks.0.kernel' is no part of it; remove it"),
        (_without("num_classes"), "'num_classes' is missing"),
        (_without("context"), "'context' is missing"),
        # Types: nothing is converted.
        (_changed("num_classes", to="19"), "'num_classes' is '19': Input should be a valid integer"),
        (_changed("num_classes", to=19.0), "'num_classes' is 19.0: Input should be a valid integer"),
        (_changed("num_classes", to=True), "'num_classes' is True: Input should be a valid integer"),
        (_changed("name", to=None), "'name' is None: Input should be a valid string"),
        (_changed("context", to=[]), "'context' is []: Input should be an object"),
        (_changed("details", 0, "blocks", 1, "width", to="64"), "'details.0.blocks.1.width' is '64': Input should be"),
        (_changed("context", "pyramid_bins", to=3), "'context.pyramid_bins' is 3: Input should be a valid array"),
        (_changed("auxiliary", to=1), "'auxiliary' is 1: Input should be a valid boolean"),
        (_changed("dropout", to="none"), "'dropout' is 'none': Input should be a valid number"),
        ([1, 2], "'the whole' is [1, 2]: Input should be an object"),
        (None, "'the whole' is None: Input should be an object"),
        ({1, 2}, "not JSON values: "),
        # Widths.
        (_changed("context", "stem", to=0), "network 'cn14': widths 0 to 768; 1 to 4096 are possible"),
        (_changed("context", "head", to=-128), "network 'cn14': widths -128 to 768; 1 to 4096 are possible"),
        (_changed("fusion_widths", 0, to=4097), "network 'cn14': widths 1 to 4097; 1 to 4096 are possible"),
        (_changed("context", "blocks", 3, "hidden", to=10**6), "network 'cn14': widths 1 to 1000000;"),
        (_changed("details", 0, "stem", to=0), "network 'cn14': widths 0 to 768;"),
        (_changed("context", "stem", to=10**4000), "network 'cn14': widths 1 to 1000000000"),
        (_changed("num_classes", to=10**4000), "network 'cn14': 1000000000"),
        (_changed("num_classes", to=10**5000), "not JSON values: "),
        (_changed("num_classes", to=-1), "network 'cn14': -1 classes; 1 to 254 are possible"),
        (_changed("dropout", to=-0.5), "network 'cn14': dropout -0.5; expected 0 to below 1"),
        (_changed("dropout", to=math.nan), "network 'cn14': dropout nan; expected 0 to below 1"),
        (_changed("dropout", to=math.inf), "network 'cn14': dropout inf; expected 0 to below 1"),
        # Strides and scales.
        (_changed("context", "blocks", 0, "stride", to=3), "network 'cn14': input scales must be 1, 2, 4 or 8, and"),
        (_changed("context", "blocks", 0, "stride", to=0), "network 'cn14': input scales must be 1, 2, 4 or 8, and"),
        (_changed("context", "blocks", 0, "stride", to=10**100), "network 'cn14': input scales must be 1, 2, 4 or 8"),
        (_changed("context", "scale", to=3), "network 'cn14': input scales must be 1, 2, 4 or 8, and"),
        (_changed("details", 0, "scale", to=2), "network 'cn14': the finest branch must put out 1/8 or 1/4 of the"),
        (_changed("details", 0, "blocks", to=[]), "network 'cn14': the finest branch must put out 1/8 or 1/4 of the"),
        (
            _changed("context", to={**_CONTEXT, "scale": 1, "blocks": [{**_BLOCK, "stride": 1}]}),
            "network 'cn14': branches must run from the coarsest to the finest; their strides are [2, 8]",
        ),
        (_changed("details", 0, "scale", to=8), "network 'cn14': branches must run from the coarsest to the finest;"),
        (_changed("context", "scale", to=1), "network 'cn14': branches must run from the coarsest to the finest;"),
        (_changed("context", "blocks", to=[{**_BLOCK, "stride": 2}] * 7), "network 'cn14': the strides are [1024, 8]"),
        # Numbers of parts.
        (_changed("context", "blocks", to=[_BLOCK] * 65), "network 'cn14': more than 64 blocks in a branch"),
        (_changed("details", to=[]), "network 'cn14': each detail branch beside a context branch needs one fusion"),
        (_changed("fusion_widths", to=[128, 128]), "network 'cn14': each detail branch beside a context branch needs"),
        (_changed("context", to=None), "network 'cn14': each detail branch beside a context branch needs one"),
        (
            {**_changed("context", to=None), "details": [_DETAIL, _DETAIL], "fusion_widths": []},
            "network 'cn14': without a context branch there must be exactly one detail branch",
        ),
        (
            {**_changed("fusion_widths", to=[8] * 5_000), "details": [_DETAIL] * 5_000},
            "network 'cn14': branches must run from the coarsest to the finest; their strides are [32, 8, 8, 8, 8, 8, ",
        ),
        (_changed("context", "pyramid_bins", to=[0]), "network 'cn14': pyramid bins (0,); at most 8 of 1 to 64 are"),
        (_changed("context", "pyramid_bins", to=[65]), "network 'cn14': pyramid bins (65,); at most 8 of 1 to 64 are"),
        (_changed("context", "pyramid_bins", to=[1] * 10**5), "network 'cn14': pyramid bins (1, 1, 1, 1, 1, 1, ...);"),
        # Names reach file names, tables and terminals.
        (_changed("name", to=""), "network '': its name must be 1 to 100 printable characters"),
        (_changed("name", to="a\nb"), r"network 'a\nb': its name must be 1 to 100 printable characters"),
        (_changed("name", to="\x1b[2J"), r"network '\x1b[2J': its name must be 1 to 100 printable characters"),
        (_changed("name", to="x" * 10**6), "network 'xxxxxxxxxxxx...xxxxxxxxxxxxx': its name must be 1 to 100"),
    ],
)
def test_a_wrong_description_is_refused_in_one_sentence(values: Any, expected: str) -> None:
    with pytest.raises(WeightsError) as caught:
        ContextNetSpec.from_json(values)
    message = str(caught.value)
    assert message.startswith(f"network description: {expected}")
    assert len(message) < 240
    assert "\n" not in message


def test_deeply_nested_values_are_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(WeightsError, match=r"^network description: not JSON values: "):
        ContextNetSpec.from_json(_changed("context", to=nested))


def test_a_description_made_in_code_is_checked_too() -> None:
    with pytest.raises(WeightsError, match=r"widths 0 to 128"):
        replace(variant("cn14-detail"), details=(DetailBranchSpec(1, 0, variant("cn14").details[0].blocks),))


def test_strides_multiply() -> None:
    blocks = tuple(BottleneckSpec(1, 8, 8, s) for s in (2, 1, 2))
    assert ContextBranchSpec(4, 8, blocks, 8).stride == 4 * 2 * 2 * 2
    assert DetailBranchSpec(2, 8, (SeparableSpec(16, 2),)).stride == 2 * 2 * 2
    assert DetailBranchSpec(1, 8, (SeparableSpec(16, 2),)).width == 16
    assert DetailBranchSpec(1, 8, ()).width == 8


# The search for the two small networks, by a count of its own: convolution weights, and two per channel of batch norm.

_FULL = (32, 48, 64, 96, 128, 128)


def _unit(kernel_weights: Any, width: Any) -> Any:
    return kernel_weights + 2 * width


def _parameters(widths: Sequence[Any]) -> Any:
    """Count cn14's parameters for the widths that are 32, 48, 64, 96, 128 (bottlenecks), 128 (head, detail, fusion)."""
    w32, w48, w64, w96, w128, joint = widths
    total = _unit(27 * w32, w32)
    rows = [(w32, w32, 1), (w32, w32, 6)]
    rows += [(w32, w48, 6), (w48, w48, 6), (w48, w48, 6)]
    rows += [(w48, w64, 6), (w64, w64, 6), (w64, w64, 6)]
    rows += [(w64, w96, 6), (w96, w96, 6), (w96, w128, 6), (w128, w128, 6)]
    for before, after, expansion in rows:
        hidden = before * expansion
        total = total + _unit(before * hidden, hidden) + _unit(9 * hidden, hidden) + _unit(hidden * after, after)
    total = total + _unit(w128 * joint, joint)
    total = total + _unit(27 * w32, w32)
    for before, after in [(w32, w64), (w64, joint), (joint, joint)]:
        total = total + _unit(9 * before, before) + _unit(before * after, after)
    total = total + _unit(9 * joint, joint) + 2 * _unit(joint * joint, joint)
    return total + joint * 19 + 19


def test_the_count_used_for_the_search_is_that_of_the_full_network() -> None:
    assert _parameters(_FULL) == 856_851


@pytest.mark.parametrize(("name", "papers_count"), [("cn14-500", 490_459), ("cn14-160", 159_387)])
def test_the_small_networks_are_the_nearest_to_a_uniform_scaling(name: str, papers_count: int) -> None:
    spec = variant(name)
    assert spec.context is not None
    detail = spec.details[0]
    stages = [b.width for b in spec.context.blocks]
    shipped = (spec.context.stem, stages[2], stages[5], stages[8], stages[10], spec.context.head)
    assert stages == [stages[0]] * 2 + [stages[2]] * 3 + [stages[5]] * 3 + [stages[8]] * 2 + [stages[10]] * 2
    assert (stages[0], detail.stem, detail.blocks[0].width) == (shipped[0], shipped[0], shipped[2])
    assert [b.width for b in detail.blocks[1:]] == [shipped[5]] * 2
    assert spec.fusion_widths == (shipped[5],)

    multiples = [range(8, width + 1, 8) for width in _FULL]
    candidates = np.stack([axis.ravel() for axis in np.meshgrid(*multiples, indexing="ij")], axis=1)
    counts = _parameters(candidates.T)
    near = candidates[np.abs(counts / papers_count - 1) <= 0.005]
    spread = np.log(near / np.array(_FULL)).std(axis=1)
    best = int(np.argmin(spread))
    assert len(near) > 1000
    assert tuple(near[best].tolist()) == shipped
    assert np.partition(spread, 1)[1] > spread[best] + 1e-4, "two networks share the first place"
