"""Which images a grid of scores may be of: every one that a network pads to it, and none that another stride would."""

from __future__ import annotations

from itertools import product

import pytest

from contextnet.errors import WeightsError
from contextnet.network_spec import NETWORKS, named_spec
from contextnet.runtime.score_grid import MAX_MULTIPLE, STRIDES, require_fit
from contextnet.spec import BottleneckSpec, ContextBranchSpec, ContextNetSpec

SIDES = [*range(1, 300), 360, 481, 511, 512, 513, 720, 1080, 1919, 2048, 4097]


def grid(size_hw: tuple[int, int], multiple: int, stride: int) -> tuple[int, int]:
    """The scores of an image whose sides are padded to a multiple."""
    height, width = (-(-side // multiple) * multiple // stride for side in size_hw)
    return height, width


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("multiple", [8, 16, 32, 64, 128, 256])
def test_what_is_padded_to_a_multiple_fits(multiple: int, stride: int) -> None:
    for side in SIDES:
        size_hw = (side, 2 * side + 1)
        require_fit(grid(size_hw, multiple, stride), size_hw, stride)


def test_networks_have_the_strides_and_multiples_that_are_reckoned_with() -> None:
    specs = [named_spec(name) for name in NETWORKS]
    assert {spec.output_stride for spec in specs} <= set(STRIDES)
    assert max(spec.size_multiple for spec in specs) <= MAX_MULTIPLE


@pytest.mark.parametrize(("halvings", "is_refused"), [(4, False), (5, True)])
def test_no_network_pads_further(halvings: int, is_refused: bool) -> None:
    """Input scale 8, a stem of stride 2 and four blocks of stride 2: a stride of 256."""

    def context_alone() -> ContextNetSpec:
        blocks = (BottleneckSpec(1, 8, 8, 2),) * halvings
        return ContextNetSpec("deep", 3, ContextBranchSpec(8, 8, blocks, 8), (), ())

    if is_refused:
        with pytest.raises(WeightsError, match="512"):
            context_alone()
    else:
        assert context_alone().size_multiple == MAX_MULTIPLE


@pytest.mark.parametrize(("real", "told"), [(1, 4), (1, 8), (4, 8), (4, 1), (8, 1), (8, 4)])
def test_scores_of_another_stride_are_refused(real: int, told: int) -> None:
    """Of every image of more than 128 pixels; smaller ones might have been padded to as many."""
    for side, multiple in product([side for side in SIDES if side > MAX_MULTIPLE // 2], (8, 32, 64)):
        size_hw = (side, side)
        with pytest.raises(ValueError, match=f"scores at stride {told} are those of an image of"):
            require_fit(grid(size_hw, multiple, real), size_hw, told)


# 480 pixels hold two multiples or more, so that half of them at most are padding, 239 at most; 256 may be one.
@pytest.mark.parametrize(
    ("grid_hw", "size_hw", "stride", "is_refused"),
    [
        ((60, 32), (241, 1), 8, False),
        ((60, 32), (240, 1), 8, True),
        ((60, 32), (480, 256), 8, False),
        ((60, 32), (481, 256), 8, True),
        ((60, 32), (480, 257), 8, True),
        ((60, 32), (480, 0), 8, True),
        ((480, 256), (241, 1), 1, False),
        ((480, 256), (240, 1), 1, True),
        ((120, 64), (241, 1), 4, False),
        ((120, 64), (240, 1), 4, True),
        ((0, 32), (0, 1), 8, True),
    ],
)
def test_how_much_may_be_padding(
    grid_hw: tuple[int, int], size_hw: tuple[int, int], stride: int, is_refused: bool
) -> None:
    if not is_refused:
        require_fit(grid_hw, size_hw, stride)
        return
    with pytest.raises(
        ValueError, match=f"at stride {stride} are those of .*; this one has {size_hw[0]}×{size_hw[1]}$"
    ):
        require_fit(grid_hw, size_hw, stride)


def test_the_message_names_scores_stride_and_images() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # its whole text is compared
        require_fit((60, 32), (120, 160), 8)
    assert str(caught.value) == (
        "60×32 scores at stride 8 are those of an image of 241 to 480 × 1 to 256 pixels; this one has 120×160"
    )


@pytest.mark.parametrize("stride", [0, -1, 2, 3, 16])
def test_a_stride_that_no_network_has_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"^scores at stride {stride}; networks have 1, 4 or 8$"):
        require_fit((8, 8), (8, 8), stride)
