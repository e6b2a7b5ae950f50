"""What the engines that open model files have in common, each on the CPU in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from deployed_networks import BATCHES, assert_source_labels, assert_source_scores, batch, small_ir, small_model

from contextnet.errors import ContextNetError
from contextnet.runtime.engines import onnx_runtime, openvino
from contextnet.runtime.engines.engine import Engine

Opens = Callable[..., Engine]


@pytest.fixture(params=["openvino", "openvino of its own format", "onnxruntime"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Opens:
    """Opens the small network, for any size or one, with the options given."""

    def open_engine(size_hw: tuple[int, int] | None = None, **options: int) -> Engine:
        model = small_model("fp32", size_hw)
        if request.param == "onnxruntime":
            return onnx_runtime.open_engine(model, **options)
        held = model if request.param == "openvino" else small_ir(tmp_path, model)
        return openvino.open_engine(held, precision="fp32", **options)

    return open_engine


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_scores_and_labels_are_those_of_the_source(opens: Opens, in_flight: int) -> None:
    engine = opens(in_flight=in_flight)
    for seed, (number, size_hw) in enumerate(BATCHES):
        images = batch(number, size_hw, seed)
        call = engine.submit(images)
        assert_source_scores(call.scores(), images)
        assert_source_labels(call.labels(), images)
    engine.close()


def test_results_come_in_any_order_and_stay(opens: Opens) -> None:
    images = [batch(1, (64, 96), seed) for seed in range(8)] + [batch(2, (32, 32), 8)]
    engine = opens(in_flight=3, threads=2)
    calls = [engine.submit(each) for each in images]
    early = calls[-1].scores()
    engine.close()
    for call, each in reversed(list(zip(calls, images, strict=True))):
        assert_source_scores(call.scores(), each)
        np.testing.assert_array_equal(call.labels(), call.labels())
    assert_source_scores(early, images[-1])
    assert len({call.scores().tobytes() for call in calls}) == len(calls), "every call has scores of its own"


def test_read_only_images_and_images_with_gaps_are_read_as_they_look(opens: Opens) -> None:
    engine = opens()
    images = batch(1, (64, 64))[:, ::2, ::-1]
    images.flags.writeable = False
    for given in (images, np.ascontiguousarray(images)):
        assert_source_scores(engine.submit(given).scores(), images)
    engine.close()


def test_a_file_fixed_to_one_size_refuses_others(opens: Opens) -> None:
    engine = opens((40, 70))
    for number in (1, 2):
        images = batch(number, (40, 70))
        assert_source_scores(engine.submit(images).scores(), images)
    with pytest.raises(ContextNetError) as caught:
        engine.submit(batch(1, (41, 70)))
    assert str(caught.value) == (
        "the image is 41×70 (height × width) and the model file is fixed to 40×70; "
        "scale the image, or export the network without a size"
    )
    engine.close()


def test_a_closed_engine_takes_no_images(opens: Opens) -> None:
    engine = opens()
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="the engine is closed"):
        engine.submit(batch(1, (8, 8)))
