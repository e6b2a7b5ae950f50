"""A ROS 2 node: subscribes to images, publishes their labels (mono8, train ids, 255 void) and an overlay (rgb8).

    python examples/ros2_node.py --ros-args -p image_topic:=/camera/image_raw

Parameters: network, image_topic, labels_topic, overlay_topic, and confidence, 0..1: labels that are less sure become
void. What is published has the header of its image. Only the newest image is labelled, in a thread of its own:
callbacks return at once, and no queue ever builds up. Needs rclpy and sensor_msgs in the same Python as contextnet:
they come with ROS 2, when its setup file has been sourced.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Condition, Thread
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, ImageError
from contextnet.labels import IGNORE_INDEX
from contextnet.runtime import Segmentation, Segmenter, overlay

T = TypeVar("T")

CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
"""The encodings that are read, and their bytes a pixel."""

WARN_EVERY_S = 5.0


class ImageMessage(Protocol):
    """What is used of sensor_msgs/Image."""

    header: Any
    height: int
    width: int
    encoding: str
    step: int
    data: Any


def to_rgb(message: ImageMessage) -> NDArray[np.uint8]:
    """Read an image message as uint8 (H, W, 3) RGB; ``step`` is the bytes of a row, which may be padded.

    Raises ``ImageError`` when the encoding is unknown or the message is too short for its size.
    """
    channels = CHANNELS.get(message.encoding)
    if channels is None:
        found = f"has the encoding '{message.encoding}'"
        raise ImageError.at("image message", found, f"publish it as {', '.join(CHANNELS)}")
    height, width, step = message.height, message.width, message.step
    rows = np.frombuffer(message.data, np.uint8)
    if step < width * channels or rows.size < height * step:
        found = f"has {rows.size} bytes in rows of {step} for {height}×{width} {message.encoding} pixels"
        raise ImageError.at("image message", found, "check its publisher")
    pixels = rows[: height * step].reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    rgb = pixels[..., ::-1] if message.encoding == "bgr8" else np.broadcast_to(pixels, (height, width, 3))
    return np.ascontiguousarray(rgb)


def fill(message: ImageMessage, pixels: NDArray[np.uint8], header: object) -> None:
    """Put uint8 (H, W) as mono8, or (H, W, 3) RGB as rgb8, with a header, into an image message."""
    message.header = header
    message.height, message.width = pixels.shape[:2]
    message.encoding = "mono8" if pixels.ndim == 2 else "rgb8"
    message.step = pixels[0].nbytes
    # rclpy looks at every byte of anything else.
    message.data = array("B", pixels.tobytes())


def label(segmenter: Segmenter, image: NDArray[np.uint8], least_confidence: float = 0.0) -> Segmentation:
    """Label an image, uint8 (H, W, 3) RGB; labels less sure than ``least_confidence`` become void."""
    if least_confidence <= 0:
        return segmenter.predict(image)
    result = segmenter.predict(image, confidence=True)
    assert result.confidence is not None
    is_sure = result.confidence >= least_confidence
    return replace(result, labels=np.where(is_sure, result.labels, np.uint8(IGNORE_INDEX)))


class NewestWorker(Generic[T]):
    """Does ``work`` with the newest item, in a thread of its own while it is entered; older items are dropped.

    After an error it does no more, and calls ``on_failure``; leaving the context raises the error.
    """

    def __init__(self, work: Callable[[T], None], on_failure: Callable[[], object]) -> None:
        self._work = work
        self._on_failure = on_failure
        self._changed = Condition()
        self._waiting: list[T] = []
        self._is_closed = False
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name="newest worker")

    def put(self, item: T) -> None:
        """Give an item in the place of one that still waits; returns at once."""
        with self._changed:
            self._waiting = [item]
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while (items := self._take()) and not self._is_closed:
                self._work(items[0])
        except Exception as error:  # who closes gets it
            self._failure = error
            self._on_failure()

    def _take(self) -> list[T]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            items, self._waiting = self._waiting, []
            return items


class LabelNode:
    """Subscription, publishers and parameters on an rclpy node; labels while it is entered as a context."""

    def __init__(self, node: Any, image_type: Callable[[], ImageMessage]) -> None:
        import rclpy  # type: ignore[import-not-found]
        from rclpy.qos import QoSProfile, ReliabilityPolicy  # type: ignore[import-not-found]

        self._node, self._rclpy, self._new_message = node, rclpy, image_type
        self._least_confidence = float(node.declare_parameter("confidence", 0.0).value)
        self._segmenter = Segmenter.load(node.declare_parameter("network", "cn14-camvid-int8").value)
        topics = {name: node.declare_parameter(f"{name}_topic", name).value for name in ("image", "labels", "overlay")}
        self._labels = node.create_publisher(image_type, topics["labels"], 1)
        self._overlay = node.create_publisher(image_type, topics["overlay"], 1)
        self._worker = NewestWorker(self._label, rclpy.try_shutdown)
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        node.create_subscription(image_type, topics["image"], self._worker.put, newest)
        names = ", ".join(f"{i} {name}" for i, name in enumerate(self._segmenter.label_set.names))
        node.get_logger().info(f"{self._segmenter} labels {topics['image']}: {names}")

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(self, *unused: object) -> None:
        with self._segmenter:
            self._worker.__exit__()

    def _label(self, message: ImageMessage) -> None:
        try:
            image = to_rgb(message)
            result = label(self._segmenter, image, self._least_confidence)
        except ImageError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=WARN_EVERY_S)
            return
        self._publish(self._labels, result.labels, message.header)
        if self._overlay.get_subscription_count():
            self._publish(self._overlay, overlay(image, result.labels, result.label_set), message.header)

    def _publish(self, publisher: Any, pixels: NDArray[np.uint8], header: object) -> None:
        message = self._new_message()
        fill(message, pixels, header)
        try:
            publisher.publish(message)
        except Exception:
            # Ctrl-C shuts ROS down while this thread is still at work.
            if self._rclpy.ok():
                raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the node until ROS is shut down."""
    try:
        import rclpy
        from rclpy.executors import ExternalShutdownException  # type: ignore[import-not-found]
        from sensor_msgs.msg import Image  # type: ignore[import-not-found]
    except ImportError as error:
        remedy = "it comes with ROS 2, not with pip: source /opt/ros/DISTRIBUTION/setup.bash, and start again"
        sys.exit(f"ros2_node: error: {error}; {remedy}")
    rclpy.init(args=arguments)
    node = rclpy.create_node("contextnet")
    try:
        with LabelNode(node, Image), suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node)
    except ContextNetError as error:
        sys.exit(f"ros2_node: error: {error}")
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
