from __future__ import annotations

import numpy as np
import pytest

from contextnet.benchmark.street import draw_street
from contextnet.data.synthetic import drives_for
from contextnet.errors import ContextNetError


def test_the_street_is_the_first_one_of_the_demo_and_always_the_same() -> None:
    image = draw_street((48, 96))
    assert (image.shape, image.dtype) == ((48, 96, 3), np.uint8)
    assert image.flags.c_contiguous
    assert np.array_equal(image, drives_for("demo", 1, (48, 96))[0].frame(0).image)


@pytest.mark.parametrize(("size_hw"), [(15, 64), (64, 15), (8193, 64), (64, 8193)])
def test_refuses_sizes_that_no_street_is_drawn_in(size_hw: tuple[int, int]) -> None:
    message = f"size {size_hw[0]}x{size_hw[1]}: the street that is labelled is 16 to 8192 pixels high and wide"
    with pytest.raises(ContextNetError, match=message):
        draw_street(size_hw)
