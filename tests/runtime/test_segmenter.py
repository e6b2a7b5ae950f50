from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, ImageError
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import network_graph
from contextnet.images import write_png
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, write_weights
from contextnet.runtime.engines.cores import streaming_calls
from contextnet.runtime.onnx_file import write_onnx_file
from contextnet.runtime.segmenter import Segmenter
from contextnet.spec import variant
from contextnet.streaming.frame import Frame
from lively_networks import CLASSES, lively_weights, patches

SIZES_HW = [(64, 96), (65, 33), (1, 1), (64, 96)]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return lively_weights(variant("cn14", CLASSES, width=0.25))


@pytest.fixture(scope="module")
def model_file(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    write_onnx_file(path, model_of(weights, network_graph(weights.build()), "fp32"))
    return path


@pytest.fixture(scope="module")
def segmenter(model_file: Path) -> Iterator[Segmenter]:
    with Segmenter.load(model_file, precision="fp32") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def source(weights: Weights) -> NetworkPredictor:
    return NetworkPredictor(weights.build())


@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_an_image_gets_the_labels_of_the_source(
    segmenter: Segmenter, source: NetworkPredictor, weights: Weights, size_hw: tuple[int, int]
) -> None:
    image = patches(size_hw, 1)
    result = segmenter.predict(image)
    assert result.label_set == weights.labels
    assert np.mean(result.labels == source.labels(image)) >= 0.9999
    assert result.latency_ms > 0
    assert result.confidence is None
    np.testing.assert_array_equal(segmenter.labels(image), result.labels)


def test_a_file_is_read(segmenter: Segmenter, tmp_path: Path) -> None:
    image = patches((40, 50), 2)
    write_png(tmp_path / "a.png", image)
    for given in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(segmenter.predict(given).labels, segmenter.predict(image).labels)


def test_an_image_that_is_a_view_is_read_as_it_looks(segmenter: Segmenter) -> None:
    wide = patches((64, 192), 3)
    np.testing.assert_array_equal(
        segmenter.predict(wide[:, ::-2]).labels, segmenter.predict(np.ascontiguousarray(wide[:, ::-2])).labels
    )


def test_confidence_is_the_probability_of_the_label(segmenter: Segmenter, weights: Weights) -> None:
    import torch

    image = patches((65, 70), 4)
    result = segmenter.predict(image, confidence=True)
    with torch.inference_mode():
        scores = weights.build().full_size_scores(torch.from_numpy(image).permute(2, 0, 1)[None])
    assert result.confidence is not None
    np.testing.assert_allclose(result.confidence, scores.softmax(dim=1).amax(dim=1)[0].numpy(), atol=1e-3)


def frames() -> list[NDArray[np.uint8]]:
    return [patches(SIZES_HW[seed % len(SIZES_HW)], seed) for seed in range(9)]


@pytest.mark.parametrize("confidence", [False, True])
def test_a_stream_gives_every_result_in_order(segmenter: Segmenter, confidence: bool) -> None:
    results = list(segmenter.stream(iter(frames()), confidence=confidence))
    assert len(results) == 9
    for frame, result in zip(frames(), results, strict=True):
        np.testing.assert_array_equal(result.labels, segmenter.predict(frame).labels)
        assert (result.confidence is not None) == confidence


def test_a_batch_may_hold_several_sizes(segmenter: Segmenter) -> None:
    batch = frames()
    found = segmenter.predict_batch(batch)
    assert [result.labels.shape for result in found] == [frame.shape[:2] for frame in batch]
    assert segmenter.predict_batch([]) == []


def test_a_stream_takes_no_more_frames_than_it_has_on_the_way(segmenter: Segmenter) -> None:
    taken = 0

    def source() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        while True:
            taken += 1
            yield patches((64, 64), 0)

    stream = segmenter.stream(source())
    ahead = streaming_calls("cpu", None) - 1
    for given in range(1, 6):
        next(stream)
        assert taken == given + ahead
    stream.close()
    assert segmenter.predict(patches((64, 64), 0)).labels.shape == (64, 64), "it goes on after a stream was left"


def test_what_the_source_raises_ends_the_stream(segmenter: Segmenter) -> None:
    def source() -> Iterator[NDArray[np.uint8]]:
        yield from frames()[:2]
        raise OSError("camera unplugged")

    stream = segmenter.stream(source())
    for frame in frames()[:2]:  # the frames before it are not lost
        assert next(stream).labels.shape == frame.shape[:2]
    with pytest.raises(OSError, match="camera unplugged"):
        next(stream)


def test_threads_take_turns(segmenter: Segmenter) -> None:
    batch = frames()
    expected = [segmenter.predict(frame).labels for frame in batch]
    with ThreadPoolExecutor(4) as pool:
        for labels, result in zip(expected * 4, pool.map(segmenter.predict, batch * 4), strict=True):
            np.testing.assert_array_equal(result.labels, labels)


def test_one_image_is_no_batch(segmenter: Segmenter) -> None:
    with pytest.raises(ImageError, match=r"a\.png: is one image; a batch is a list of images"):
        segmenter.predict_batch("a.png")


def test_a_closed_segmenter_says_so(model_file: Path) -> None:
    closed = Segmenter.load(model_file)
    closed.close()
    for use in (closed.predict, closed.labels, lambda image: closed.predict_batch([image])):
        with pytest.raises(ContextNetError, match="the segmenter is closed; load the network again"):
            use(patches((32, 32)))


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((4, 4, 3), np.float32), r"is float32 \(4, 4, 3\)"),
        (np.zeros((3, 4, 4), np.uint8), r"is uint8 \(3, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), r"is uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"is uint8 \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"is 0×4; 1 to \d+ pixels"),
        (np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (9000, 9000, 3), (0, 0, 1)), "is 9000×9000; 1 to"),
        ([1, 2, 3], "is list"),
    ],
)
def test_what_is_no_image_is_refused(segmenter: Segmenter, image: NDArray[np.uint8], found: str) -> None:
    with pytest.raises(ImageError, match=f"image: {found}"):
        segmenter.predict(image)
    with pytest.raises(ImageError, match=found):
        segmenter.predict_batch([image])


@dataclass
class Arrival:
    """Something that has come, and is no picture of a stream."""

    arrived_s: float = 0.0


def test_what_has_come_is_not_taken_for_a_frame(segmenter: Segmenter) -> None:
    with pytest.raises(ImageError, match=r"^image: is Arrival; expected uint8"):
        segmenter.begin(Arrival())  # type: ignore[arg-type]


def test_a_result_bears_its_frame(segmenter: Segmenter) -> None:
    frame = Frame.of_image(np.zeros((64, 96, 3), np.uint8), 3, 0.5)
    assert segmenter.begin(frame).result().frame is frame
    assert segmenter.predict(frame.image).frame is None


def test_it_says_what_it_runs_on_and_why(segmenter: Segmenter) -> None:
    info = segmenter.info
    assert (info.name, info.precision, info.in_flight) == ("openvino", "fp32", 1)
    assert "openvino" in segmenter.reason.lower()


def test_weights_run_in_pytorch(weights: Weights, source: NetworkPredictor, tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors", weights)
    with Segmenter.load(tmp_path / "w.safetensors", device="cpu") as loaded:
        assert loaded.info.name == "pytorch"
        assert loaded.label_set == weights.labels
        batch = frames()
        for frame, result in zip(batch, loaded.predict_batch(batch), strict=True):
            np.testing.assert_array_equal(result.labels, source.labels(frame))


def test_shipped_networks_load_by_name() -> None:
    with Segmenter.load("cn14-camvid") as loaded:
        assert loaded.label_set.name == "camvid"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ContextNetError, match=r"cn99.*cn14-camvid"):
        Segmenter.load("cn99")


def run_alone(*lines: str) -> None:
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_it_is_light() -> None:
    """Neither PyTorch nor an engine is imported before one is needed, and never PyTorch for a model file."""
    run_alone(
        "import sys",
        "import contextnet.runtime.segmenter",
        "heavy = {'torch', 'openvino', 'onnx', 'onnxruntime', 'nncf', 'pydantic', 'rich'} & set(sys.modules)",
        "sys.exit(f'imported: {heavy}' if heavy else 0)",
    )


def test_a_model_file_runs_where_pytorch_is_not_installed(model_file: Path) -> None:
    run_alone(
        "import sys",
        "sys.modules['torch'] = None",
        "import numpy as np",
        "from contextnet.runtime.segmenter import Segmenter",
        f"segmenter = Segmenter.load({str(model_file)!r})",
        "result = segmenter.predict(np.zeros((33, 70, 3), np.uint8), confidence=True)",
        "assert result.labels.shape == (33, 70)",
        "assert len(segmenter.predict_batch([np.zeros((33, 70, 3), np.uint8)] * 4)) == 4",
    )


def test_signals_are_handled_after_segmenters_have_come_and_gone(model_file: Path) -> None:
    """In a process of its own, since what went wrong here ended the process."""
    run_alone(
        "import os, signal",
        "import numpy as np",
        "from contextnet.runtime.segmenter import Segmenter",
        "frame = np.zeros((64, 96, 3), np.uint8)",
        "def use():",
        f"    segmenter = Segmenter.load({str(model_file)!r})",
        "    segmenter.predict(frame)",
        "    segmenter.predict_batch([frame] * 3)",
        "use()",
        "use()",
        "heard = []",
        "signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "assert heard == [signal.SIGTERM]",
    )
