"""Whatever lays a network's scores over an image is told the stride: another network's would give other labels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from contextnet.export.deployable import deployable, fix_size
from contextnet.models.score_field import UpsampledScores
from contextnet.runtime.engines.scoring_call import ScoringCall
from contextnet.runtime.labelling import confidence_of, label_scores
from contextnet.runtime.smoothing.choice import open_smoother
from contextnet.runtime.smoothing.motion import AlongMotion
from contextnet.training.losses.segmentation import SegmentationLoss, build_loss
from contextnet.training.losses.teacher import Teacher


@pytest.mark.parametrize(
    "takes_stride",
    [
        label_scores,
        confidence_of,
        ScoringCall,
        open_smoother,
        AlongMotion,
        UpsampledScores,
        deployable,
        fix_size,
        SegmentationLoss,
        build_loss,
        Teacher.loss,
    ],
    ids=lambda takes_stride: str(takes_stride.__qualname__),
)
def test_no_stride_is_assumed_where_none_is_given(takes_stride: Callable[..., Any]) -> None:
    parameters = inspect.signature(takes_stride).parameters.values()
    # A stride of pixels is how many of the image are looked at, whatever the network.
    (stride,) = (p for p in parameters if p.name.endswith("stride") and p.name != "pixel_stride")
    assert stride.default is inspect.Parameter.empty
