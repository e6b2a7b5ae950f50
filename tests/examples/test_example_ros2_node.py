from __future__ import annotations

import re
import sys
from array import array
from threading import Event, current_thread, main_thread
from threading import enumerate as all_threads
from typing import Any

import numpy as np
import pytest
import ros2_node
from fake_ros import FakeImage, FakeReliability, FakeRos, FakeShutdown, install
from numpy.typing import NDArray
from ros2_node import NewestWorker, fill, label, to_rgb

from contextnet.errors import ImageError
from contextnet.runtime import Segmenter, overlay
from lively_networks import patches

NETWORK = "cn14-synthetic"
WAIT_S = 60.0


def message(encoding: str, rows: list[list[int]], width: int, header: object = None) -> FakeImage:
    """Rows of bytes, padded or not."""
    data = array("B", [byte for row in rows for byte in row])
    return FakeImage(header, len(rows), width, encoding, 0, len(rows[0]), data)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (message("rgb8", [[1, 2, 3, 4, 5, 6]], 2), [[[1, 2, 3], [4, 5, 6]]]),
        (message("bgr8", [[1, 2, 3, 4, 5, 6]], 2), [[[3, 2, 1], [6, 5, 4]]]),
        (message("mono8", [[7, 8]], 2), [[[7, 7, 7], [8, 8, 8]]]),
        (message("rgb8", [[1, 2, 3, 99, 99], [4, 5, 6, 99, 99]], 1), [[[1, 2, 3]], [[4, 5, 6]]]),
        (message("bgr8", [[1, 2, 3, 99], [4, 5, 6, 99]], 1), [[[3, 2, 1]], [[6, 5, 4]]]),
        (message("mono8", [[7, 8, 99], [9, 10, 99]], 2), [[[7] * 3, [8] * 3], [[9] * 3, [10] * 3]]),
    ],
)
def test_a_message_is_read_as_rgb(given: FakeImage, expected: list[list[list[int]]]) -> None:
    image = to_rgb(given)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)
    given.data = bytes(given.data)
    np.testing.assert_array_equal(to_rgb(given), expected)


def test_a_message_may_be_longer_than_its_picture() -> None:
    given = message("mono8", [[1, 2], [3, 4]], 2)
    given.data = array("B", [1, 2, 3, 4, 5])
    assert to_rgb(given)[..., 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"encoding": "32FC1"}, "has the encoding '32FC1'; publish it as rgb8, bgr8, mono8"),
        ({"encoding": "rgb8"}, "has 4 bytes in rows of 2 for 2×2 rgb8 pixels; check its publisher"),
        ({"height": 3}, "has 4 bytes in rows of 2 for 3×2 mono8 pixels"),
        ({"step": 1}, "has 4 bytes in rows of 1 for 2×2 mono8 pixels"),
    ],
)
def test_a_message_that_is_not_whole_is_refused(changes: dict[str, Any], expected: str) -> None:
    given = message("mono8", [[1, 2], [3, 4]], 2)
    vars(given).update(changes)
    with pytest.raises(ImageError, match=expected):
        to_rgb(given)


@pytest.mark.parametrize(
    ("shape", "encoding", "step"), [((2, 3), "mono8", 3), ((2, 3, 3), "rgb8", 9), ((1, 1), "mono8", 1)]
)
def test_pixels_become_a_message(shape: tuple[int, ...], encoding: str, step: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    filled, header = FakeImage(), object()
    fill(filled, pixels, header)
    assert (filled.height, filled.width, filled.encoding, filled.step) == (*shape[:2], encoding, step)
    assert filled.header is header
    assert isinstance(filled.data, array)
    rgb = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    np.testing.assert_array_equal(to_rgb(filled), rgb)


def test_labels_that_are_not_sure_become_void() -> None:
    image = patches((64, 96), 0)
    with Segmenter.load(NETWORK) as segmenter:
        sure = segmenter.predict(image, confidence=True)
        assert sure.confidence is not None
        least = float(np.sort(sure.confidence, axis=None)[sure.confidence.size // 2])
        found = label(segmenter, image, least)
        np.testing.assert_array_equal(label(segmenter, image).labels, sure.labels)
    assert found.labels.dtype == np.uint8
    np.testing.assert_array_equal(found.labels == 255, sure.confidence < least)
    np.testing.assert_array_equal(found.labels[found.labels != 255], sure.labels[found.labels != 255])


def test_only_the_newest_item_is_worked_on_and_nobody_waits() -> None:
    begun, may_go_on, done, worked = Event(), Event(), Event(), []

    def work(item: int) -> None:
        worked.append((item, current_thread() is main_thread()))
        begun.set()
        assert may_go_on.wait(WAIT_S)
        if item == 9:
            done.set()

    with NewestWorker(work, on_failure=done.set) as worker:
        worker.put(0)
        assert begun.wait(WAIT_S)
        for item in range(1, 10):  # each returns while the first is still worked on
            worker.put(item)
        may_go_on.set()
        assert done.wait(WAIT_S)
    assert worked == [(0, False), (9, False)]


def test_an_error_of_the_work_is_told_and_raised() -> None:
    told = Event()

    def work(item: int) -> None:
        raise RuntimeError(f"item {item}")

    worker = NewestWorker(work, on_failure=told.set)
    worker.__enter__()
    worker.put(3)
    assert told.wait(WAIT_S)
    with pytest.raises(RuntimeError, match="item 3"):
        worker.__exit__()
    assert not [thread for thread in all_threads() if thread.name == "newest worker"]


def image_message(image: NDArray[np.uint8], header: object) -> FakeImage:
    given = FakeImage()
    fill(given, image, header)
    return given


@pytest.mark.parametrize("end", [KeyboardInterrupt, FakeShutdown])
@pytest.mark.parametrize("watchers", [0, 1])
def test_the_node_publishes_labels_and_an_overlay(
    monkeypatch: pytest.MonkeyPatch, watchers: int, end: type[BaseException]
) -> None:
    topics = {"image_topic": "/camera/image_raw", "labels_topic": "/labels", "overlay_topic": "/overlay"}
    ros, image, header = FakeRos({"network": NETWORK, **topics}, watchers), patches((48, 64), 1), object()

    def spin() -> None:
        callback, qos = ros.callbacks["/camera/image_raw"]
        assert (qos.depth, qos.reliability) == (1, FakeReliability.BEST_EFFORT)
        callback(image_message(image, header))
        assert ros.publishers["/overlay" if watchers else "/labels"].has_published.wait(WAIT_S)
        raise end

    ros.spin = spin
    install(ros, monkeypatch)
    ros2_node.main([])
    with Segmenter.load(NETWORK) as segmenter:
        expected = segmenter.predict(image)
    (labels,) = ros.publishers["/labels"].published
    assert (labels.encoding, labels.header) == ("mono8", header)
    np.testing.assert_array_equal(to_rgb(labels)[..., 0], expected.labels)
    overlays = ros.publishers["/overlay"].published
    assert len(overlays) == watchers
    for drawn in overlays:
        assert (drawn.encoding, drawn.header) == ("rgb8", header)
        np.testing.assert_array_equal(to_rgb(drawn), overlay(image, expected.labels, expected.label_set))
    assert ros.logged[0][1].startswith(f"{segmenter} labels /camera/image_raw: 0 road, 1 sidewalk")
    assert ros.is_destroyed
    assert not ros.is_up


def test_a_foreign_encoding_is_warned_of_and_the_next_image_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    ros = FakeRos({"network": NETWORK})

    def spin() -> None:
        callback, _ = ros.callbacks["image"]
        callback(message("16UC1", [[0, 0]], 1))
        assert ros.warned.wait(WAIT_S)
        callback(image_message(patches((32, 32), 0), None))
        assert ros.publishers["labels"].has_published.wait(WAIT_S)

    ros.spin = spin
    install(ros, monkeypatch)
    ros2_node.main([])
    expected = "image message: has the encoding '16UC1'; publish it as rgb8, bgr8, mono8"
    assert [entry for entry in ros.logged if entry[0] == "warning"] == [("warning", expected)]


def test_a_shutdown_in_the_middle_of_an_image_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ros = FakeRos({"network": NETWORK})

    def spin() -> None:
        ros.is_up = False
        ros.callbacks["image"][0](image_message(patches((32, 32), 0), None))
        assert ros.was_refused.wait(WAIT_S)
        raise FakeShutdown

    ros.spin = spin
    install(ros, monkeypatch)
    ros2_node.main([])
    assert ros.is_destroyed


def test_a_fault_of_publishing_ends_the_node_and_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    ros = FakeRos({"network": NETWORK})

    def spin() -> None:
        ros.is_broken = True
        ros.callbacks["image"][0](image_message(patches((32, 32), 0), None))
        assert ros.went_down.wait(WAIT_S)
        raise FakeShutdown

    ros.spin = spin
    install(ros, monkeypatch)
    with pytest.raises(RuntimeError, match="context is invalid"):
        ros2_node.main([])
    assert ros.is_destroyed


def test_a_network_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ros = FakeRos({"network": "cn14-nowhere"})
    install(ros, monkeypatch)
    with pytest.raises(SystemExit, match=r"ros2_node: error: .*cn14-nowhere"):
        ros2_node.main([])
    assert ros.is_destroyed


@pytest.mark.parametrize("absent", ["rclpy", "sensor_msgs"])
def test_without_ros_it_says_where_that_comes_from(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    install(FakeRos({}), monkeypatch)
    for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as ended:
        ros2_node.main([])
    assert isinstance(said := ended.value.code, str)
    assert re.fullmatch(rf"ros2_node: error: .*{absent}.*; it comes with ROS 2, not with pip: source /opt/ros/.*", said)
