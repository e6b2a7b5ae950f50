"""ClassMix: which pixels come from which image, and how often."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from contextnet.data.augmentation import AugmentationRanges, Mixing, draw_mixing
from contextnet.labels import IGNORE_INDEX

LABELS = torch.tensor([[[0, 1], [2, 3]], [[0, 0], [1, 255]], [[2, 2], [3, 3]]])
IMAGES = torch.arange(3.0)[:, None, None, None].expand(3, 3, 2, 2)
"""Every pixel of image n is n."""


def pasting(**classes: int) -> Tensor:
    pasted = torch.zeros((3, 256), dtype=torch.bool)
    for name, train_id in classes.items():
        pasted[int(name[-1]), train_id] = True
    return pasted


def test_the_pixels_of_pasted_classes_are_the_partners() -> None:
    # Over image 0 class 0 of image 1, over image 1 class 3 of image 2, over image 2 nothing.
    mixing = Mixing((1, 2, 0), pasting(over_0=0, over_1=3))
    images, labels = mixing.paste(IMAGES, LABELS, [0, 1, 2])
    assert images[:, 0].tolist() == [[[1, 1], [0, 0]], [[1, 1], [2, 2]], [[2, 2], [2, 2]]]
    assert torch.equal(images[:, 0], images[:, 2])
    assert labels.tolist() == [[[0, 0], [2, 3]], [[0, 0], [3, 3]], [[2, 2], [3, 3]]]
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_part_needs_its_partners_and_no_others() -> None:
    mixing = Mixing((1, 2, 0), pasting(over_0=0, over_1=3))
    assert mixing.needed([1]) == [1, 2]
    assert mixing.needed([2, 1]) == [2, 1, 0]
    images, labels = mixing.paste(IMAGES[[1, 2]], LABELS[[1, 2]], [1])
    assert images[:, 0].tolist() == [[[1, 1], [2, 2]]]
    assert labels.tolist() == [[[0, 0], [3, 3]]]


@pytest.mark.parametrize(("count", "class_mix"), [(4, 0.0), (1, 1.0)])
def test_nothing_is_drawn_where_nothing_can_be_pasted(count: int, class_mix: float) -> None:
    random = torch.Generator().manual_seed(0)
    before = random.get_state()
    mixing = draw_mixing(count, AugmentationRanges(class_mix=class_mix), random)
    assert mixing == Mixing(tuple(range(count)))
    assert torch.equal(random.get_state(), before)
    images, labels = mixing.paste(IMAGES[:count], LABELS[:count], list(range(count)))
    assert torch.equal(images, IMAGES[:count])
    assert torch.equal(labels, LABELS[:count])


def test_as_many_images_are_mixed_as_asked_with_any_other_and_half_of_its_classes() -> None:
    count = 4000
    mixing = draw_mixing(count, AugmentationRanges(class_mix=0.3), torch.Generator().manual_seed(1))
    assert mixing.pasted is not None
    is_mixed = torch.tensor([partner != place for place, partner in enumerate(mixing.partners)])
    assert is_mixed.float().mean() == pytest.approx(0.3, abs=0.03)
    assert mixing.pasted[is_mixed, :IGNORE_INDEX].float().mean() == pytest.approx(0.5, abs=0.01)
    assert not mixing.pasted[~is_mixed].any()
    assert not mixing.pasted[:, IGNORE_INDEX].any(), "void is never pasted"
    steps = (torch.tensor(mixing.partners) - torch.arange(count)) % count
    assert steps[is_mixed].float().mean() == pytest.approx(count / 2, rel=0.05)
