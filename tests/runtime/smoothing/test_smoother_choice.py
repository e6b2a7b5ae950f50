from __future__ import annotations

import re

import pytest

from contextnet.errors import ContextNetError
from contextnet.runtime.smoothing.choice import SMOOTHERS, open_smoother
from contextnet.runtime.smoothing.exponential import Exponential
from contextnet.runtime.smoothing.motion import AlongMotion


@pytest.mark.parametrize(
    ("name", "kind"), [("none", type(None)), ("exponential", Exponential), ("motion", AlongMotion)]
)
def test_smoothers_by_name(name: str, kind: type) -> None:
    assert type(open_smoother(name)) is kind


def test_every_call_makes_another() -> None:
    assert list(SMOOTHERS) == ["none", "exponential", "motion"]
    assert open_smoother("motion") is not open_smoother("motion")


def test_an_unknown_name_lists_the_known_ones() -> None:
    message = "smoother 'kalman' does not exist; use one of none, exponential, motion"
    with pytest.raises(ContextNetError, match=re.escape(message)):
        open_smoother("kalman")
