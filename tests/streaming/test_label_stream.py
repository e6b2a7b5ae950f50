from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, DataError
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import network_graph
from contextnet.labels import CITYSCAPES
from contextnet.runtime.onnx_file import write_onnx_file
from contextnet.runtime.regrouping import regroup
from contextnet.runtime.segmenter import Segmenter
from contextnet.spec import variant
from contextnet.streaming.drawing import OverlayPainter
from contextnet.streaming.planes import plane_views
from contextnet.streaming.stream import LIVE_FRAMES, WAITING_FRAMES, LabelStream, StreamOptions
from counted_videos import number_in
from counting_engine import LABELS, CountedSource, Keeping, counting_segmenter
from lively_networks import CLASSES, lively_weights

PATIENCE_S = 10.0
SIZES_HW = ((64, 96), (63, 95), (33, 64))


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("stream ")] == []


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segmenter]:
    weights = lively_weights(variant("cn14", CLASSES, width=0.25))
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    write_onnx_file(path, model_of(weights, network_graph(weights.build()), "fp32"))
    with Segmenter.load(path, precision="fp32") as loaded:
        yield loaded


def run(
    segmenter: Segmenter, source: CountedSource, sinks: list[Keeping], options: StreamOptions | None = None
) -> LabelStream:
    with LabelStream(segmenter, source, sinks, options) as running:
        assert running.wait(PATIENCE_S)
    return running


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize("confidence", [False, True])
def test_results_are_those_of_single_images(network: Segmenter, is_live: bool, confidence: bool) -> None:
    sink = Keeping(needs_picture=True)
    run(network, CountedSource(8, is_live=is_live, sizes_hw=SIZES_HW), [sink], StreamOptions(confidence=confidence))
    assert len(sink.results) == 8
    for result in sink.results:
        assert result.frame is not None
        expected = network.predict(result.frame.image, confidence=confidence)
        np.testing.assert_array_equal(result.labels, expected.labels)
        if confidence:
            np.testing.assert_array_equal(result.confidence, expected.confidence)
        else:
            assert result.confidence is None


@pytest.mark.parametrize("is_live", [False, True])
def test_a_result_belongs_to_its_frame(is_live: bool) -> None:
    drawn, plain = Keeping(needs_picture=True), Keeping()
    run(counting_segmenter(), CountedSource(100, is_live=is_live, sizes_hw=SIZES_HW), [plain, drawn])
    assert [result.frame.index for result in plain.results if result.frame] == list(range(100))
    assert plain.results == drawn.results
    painter = OverlayPainter(LABELS)
    for index, (result, picture) in enumerate(zip(drawn.results, drawn.pictures, strict=True)):
        frame = result.frame
        assert frame is not None
        assert picture is not None
        assert frame.time_s == index / 25
        assert number_in(frame.image) == index
        assert np.unique(result.labels).tolist() == [index % CLASSES]
        assert (picture.height, picture.width) == result.labels.shape == SIZES_HW[index % 3]
        assert (picture.pts, picture.time) == (3600 * index, frame.time_s)
        expected = painter.draw(frame.video, result.labels)  # type: ignore[attr-defined]
        for plane, expected_plane in zip(plane_views(picture), plane_views(expected), strict=True):
            np.testing.assert_array_equal(plane, expected_plane)


def test_pictures_are_drawn_where_a_sink_needs_them() -> None:
    sink = Keeping()
    running = run(counting_segmenter(), CountedSource(3), [sink])
    assert sink.pictures == [None] * 3
    assert "draw" not in [stage.name for stage in running.figures().stages]


@pytest.mark.parametrize("is_live", [False, True])
def test_a_stream_without_sinks_runs(is_live: bool) -> None:
    running = run(counting_segmenter(), CountedSource(20, is_live=is_live), [])
    figures = running.figures()
    assert (figures.frames, figures.source, figures.is_live) == (20, "counted", is_live)
    assert figures.latency_ms is not None


@pytest.mark.parametrize("length", [0, 1])
def test_short_streams_end(length: int) -> None:
    sink = Keeping()
    assert run(counting_segmenter(), CountedSource(length), [sink]).figures().frames == length
    assert (len(sink.results), sink.closed) == (length, 1)


@pytest.mark.parametrize("is_live", [False, True])
def test_few_frames_are_on_their_way(is_live: bool) -> None:
    is_open, is_held = Event(), Event()

    def hold(number: int) -> None:
        is_held.set()
        assert is_open.wait(PATIENCE_S)

    segmenter, source = counting_segmenter(), CountedSource(60, is_live=is_live)
    limit = LIVE_FRAMES if is_live else segmenter.images_on_their_way() + WAITING_FRAMES
    sink = Keeping(on_write=hold)
    with LabelStream(segmenter, source, [sink]) as running:
        assert is_held.wait(PATIENCE_S)
        assert not running.wait(0.05), "the sink holds the stream"
        assert source.given <= limit
        is_open.set()
        assert running.wait(PATIENCE_S)
    assert len(sink.results) == 60


class RecordingSmoother:
    """Keeps the number that each picture shows and its greatest score, and moves every class on by one."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def smooth(self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append((number_in(image_HW3), float(scores_CHW.max())))
        return np.roll(scores_CHW, 1, axis=0)

    def reset(self) -> None:
        """There is nothing to forget."""


def test_a_smoother_gets_every_frame_in_order() -> None:
    smoother, sink = RecordingSmoother(), Keeping()
    running = run(counting_segmenter(), CountedSource(30), [sink], StreamOptions(smoother, confidence=True))
    assert smoother.seen == [(number, 10 + number) for number in range(30)]
    assert [int(result.labels[0, 0]) for result in sink.results] == [(number + 1) % CLASSES for number in range(30)]
    assert all(result.confidence is not None and result.confidence.min() > 0.99 for result in sink.results)
    assert "smooth" in [stage.name for stage in running.figures().stages]


def test_classes_are_regrouped_and_drawn_in_the_colours_of_their_groups() -> None:
    regrouping = regroup(LABELS, {"even": ["a", "c", "e"]}, keep_others=False, colors={"even": [255, 255, 255]})
    sink = Keeping(needs_picture=True)
    run(counting_segmenter(), CountedSource(10), [sink], StreamOptions(regrouping=regrouping))
    assert [int(result.labels[0, 0]) for result in sink.results] == [0, 255, 0, 255, 0] * 2
    assert all(result.label_set == regrouping.target for result in sink.results)
    painter = OverlayPainter(regrouping.target)
    for result, picture in zip(sink.results, sink.pictures, strict=True):
        assert picture is not None
        expected = painter.draw(result.frame.video, result.labels)  # type: ignore[union-attr]
        np.testing.assert_array_equal(plane_views(picture)[0], plane_views(expected)[0])


def test_a_regrouping_of_other_classes_is_refused() -> None:
    regrouping = regroup(CITYSCAPES, {"all": ["road"]}, keep_others=False)
    with (
        pytest.raises(DataError, match="the regrouping was made for the classes of"),
        LabelStream(counting_segmenter(), CountedSource(3), [], StreamOptions(regrouping=regrouping)) as running,
    ):
        running.wait(PATIENCE_S)


def failing(number: int) -> None:
    if number == 5:
        raise RuntimeError("engine")


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize("where", ["on_submit", "on_scores"])
def test_what_the_engine_raises_reaches_the_caller(is_live: bool, where: str) -> None:
    sinks, source = [Keeping(), Keeping(needs_picture=True)], CountedSource(None, is_live=is_live)
    with (
        pytest.raises(RuntimeError, match="engine"),
        LabelStream(counting_segmenter(**{where: failing}), source, sinks) as running,
    ):
        running.wait(PATIENCE_S)
    assert source.closed.is_set()
    for sink in sinks:
        assert sink.closed == 1
        assert [result.frame.index for result in sink.results if result.frame] == list(range(len(sink.results)))
        assert len(sink.results) <= 5


def test_a_closed_segmenter_says_so() -> None:
    segmenter = counting_segmenter()
    segmenter.close()
    with (
        pytest.raises(ContextNetError, match="the segmenter is closed; load the network again"),
        LabelStream(segmenter, CountedSource(3), []) as running,
    ):
        running.wait(PATIENCE_S)


def test_stopping_gives_every_frame_that_was_taken() -> None:
    is_enough = Event()

    def count(number: int) -> None:
        if number == 20:
            is_enough.set()

    source, sink = CountedSource(None), Keeping(on_write=count)
    with LabelStream(counting_segmenter(), source, [sink]) as running:
        assert is_enough.wait(PATIENCE_S)
        running.stop()
        assert running.wait(PATIENCE_S)
    assert [result.frame.index for result in sink.results if result.frame] == list(range(source.given))
    assert running.figures().frames == source.given


def test_the_time_of_a_stream_ends_with_it() -> None:
    running = run(counting_segmenter(), CountedSource(5), [])
    assert running.figures() == running.figures()


@pytest.mark.parametrize("is_live", [False, True])
def test_a_segmenter_streams_a_live_source_one_by_one(is_live: bool) -> None:
    segmenter, source = counting_segmenter(), CountedSource(20, is_live=is_live)
    results = segmenter.stream(source)
    first = next(results)
    assert first.frame is not None
    assert first.frame.index == 0
    assert source.given == (1 if is_live else segmenter.images_on_their_way())
    assert [result.frame.index for result in results if result.frame] == list(range(1, 20))
