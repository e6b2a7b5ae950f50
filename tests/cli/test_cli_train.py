from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.cli.train import _closing_line
from contextnet.training.trainer import TrainingResult


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (TrainingResult(3, 0.5, 2, 12.4), "3 whole epochs in 12 s; best mIoU 0.5000 in epoch 2: run/best.safetensors"),
        (TrainingResult(30, 0.6, 30, 402.0), "30 whole epochs in 6.7 min; best mIoU 0.6000 in epoch 30: "),
        (TrainingResult(120, 0.64, 115, 3960.0), "120 whole epochs in 1.10 h; best mIoU 0.6400 in epoch 115: "),
        (TrainingResult(0, -1.0, -1, 5.0, stopped_by=15), "0 whole epochs in 5 s; none validated yet"),
    ],
)
def test_last_line_says_how_far_the_run_came_and_what_is_best(result: TrainingResult, line: str) -> None:
    assert _closing_line(result, Path("run/best.safetensors")).startswith(line)
