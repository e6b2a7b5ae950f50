from __future__ import annotations

import re

import numpy as np
import pytest

from contextnet.errors import ContextNetError
from contextnet.runtime.smoothing.choice import SMOOTHERS, open_smoother
from contextnet.runtime.smoothing.exponential import Exponential
from contextnet.runtime.smoothing.motion import AlongMotion


@pytest.mark.parametrize(
    ("name", "kind"), [("none", type(None)), ("exponential", Exponential), ("motion", AlongMotion)]
)
def test_smoothers_by_name(name: str, kind: type) -> None:
    assert type(open_smoother(name, 8)) is kind


def test_every_call_makes_another() -> None:
    assert list(SMOOTHERS) == ["none", "exponential", "motion"]
    assert open_smoother("motion", 8) is not open_smoother("motion", 8)


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("name", ["none", "exponential", "motion"])
def test_a_smoother_is_for_scores_of_the_stride_that_is_given(name: str, stride: int) -> None:
    smoother = open_smoother(name, stride)
    assert type(smoother) is type(open_smoother(name, 8))
    if smoother is None:
        return
    scores = np.zeros((2, 3, 5), np.float32)
    assert smoother.smooth(scores, np.zeros((3 * stride, 5 * stride, 3), np.uint8)).shape == scores.shape
    if name == "motion":
        with pytest.raises(ValueError, match=f"scores at stride {stride} are those of an image"):
            smoother.smooth(scores, np.zeros((3 * stride + 1, 5 * stride, 3), np.uint8))


def test_an_unknown_name_lists_the_known_ones() -> None:
    message = "smoother 'kalman' does not exist; use one of none, exponential, motion"
    with pytest.raises(ContextNetError, match=re.escape(message)):
        open_smoother("kalman", 8)
