"""As much of rclpy and sensor_msgs as the example node uses, without ROS."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from threading import Event
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


@dataclass
class FakeImage:
    """What sensor_msgs/Image has."""

    header: object = None
    height: int = 0
    width: int = 0
    encoding: str = ""
    is_bigendian: int = 0
    step: int = 0
    data: Any = field(default_factory=lambda: array("B"))


class FakePublisher:
    """Keeps what is published; raises as rclpy does when ROS has been shut down."""

    def __init__(self, ros: FakeRos, subscribers: int) -> None:
        self._ros = ros
        self._subscribers = subscribers
        self.published: list[FakeImage] = []
        self.has_published = Event()

    def get_subscription_count(self) -> int:
        return self._subscribers

    def publish(self, image: FakeImage) -> None:
        if not self._ros.is_up or self._ros.is_broken:
            self._ros.was_refused.set()
            raise RuntimeError("publisher's context is invalid")
        self.published.append(image)
        self.has_published.set()


class FakeRos:
    """As much of rclpy, its node and sensor_msgs as the example uses; ``spin`` is what happens while it spins."""

    def __init__(self, parameters: dict[str, object], watchers: int = 1) -> None:
        self.parameters = parameters
        self.watchers = watchers
        self.is_up = self.is_broken = self.is_destroyed = False
        self.was_refused = Event()
        self.went_down = Event()
        self.publishers: dict[str, FakePublisher] = {}
        self.callbacks: dict[str, tuple[Callable[[FakeImage], None], Any]] = {}
        self.logged: list[tuple[str, str]] = []
        self.warned = Event()
        self.spin: Callable[[], None] = lambda: None

    def init(self, args: object = None) -> None:
        self.is_up = True

    def ok(self) -> bool:
        return self.is_up

    def try_shutdown(self) -> None:
        self.is_up = False
        self.went_down.set()

    def declare_parameter(self, name: str, default: object) -> SimpleNamespace:
        return SimpleNamespace(value=self.parameters.get(name, default))

    def create_publisher(self, kind: type, topic: str, depth: int) -> FakePublisher:
        assert (kind, depth) == (FakeImage, 1)
        self.publishers[topic] = FakePublisher(self, self.watchers)
        return self.publishers[topic]

    def create_subscription(self, kind: type, topic: str, callback: Callable[[FakeImage], None], qos: Any) -> None:
        assert kind is FakeImage
        self.callbacks[topic] = callback, qos

    def get_logger(self) -> FakeRos:
        return self

    def info(self, text: str) -> None:
        self.logged.append(("info", text))

    def warning(self, text: str, throttle_duration_sec: float) -> None:
        self.logged.append(("warning", text))
        self.warned.set()

    def destroy_node(self) -> None:
        self.is_destroyed = True


class FakeReliability(Enum):
    BEST_EFFORT = 2


class FakeShutdown(Exception):  # noqa: N818 - rclpy's own is named so
    """As rclpy's ExternalShutdownException."""


def install(ros: FakeRos, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the example import the fake in the place of rclpy and sensor_msgs."""
    contents: dict[str, dict[str, object]] = {
        "rclpy": {
            "init": ros.init,
            "ok": ros.ok,
            "try_shutdown": ros.try_shutdown,
            "create_node": lambda name: ros,
            "spin": lambda node: ros.spin(),
        },
        "rclpy.executors": {"ExternalShutdownException": FakeShutdown},
        "rclpy.qos": {"QoSProfile": SimpleNamespace, "ReliabilityPolicy": FakeReliability},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": FakeImage},
    }
    for name, values in contents.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
