"""Calls to an engine, timed: one after the other, or several on their way at a time."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from contextnet.runtime.engines.engine import Engine, Inference


class SingleCalls:
    """One image after the other, each labelled before the next one begins.

    ``label_times_s`` are those of the labels alone, made from scores that are there; ``scored_s`` adds to them.
    """

    def __init__(self, engine: Engine, image_HW3: NDArray[np.uint8]) -> None:
        self.label_times_s: list[float] = []
        self._engine = engine
        self._images = image_HW3[None]

    def labelled_s(self, runs: int) -> list[float]:
        """Time runs from the image to its labels, in seconds each."""
        times_s = []
        for _ in range(runs):
            began_s = time.perf_counter()
            self._engine.submit(self._images).labels()
            times_s.append(time.perf_counter() - began_s)
        return times_s

    def scored_s(self, runs: int) -> list[float]:
        """Time runs from the image to its scores, in seconds each, and the labels after them apart."""
        times_s = []
        for _ in range(runs):
            began_s = time.perf_counter()
            inference = self._engine.submit(self._images)
            inference.scores()
            scored_s = time.perf_counter()
            inference.labels()
            self.label_times_s.append(time.perf_counter() - scored_s)
            times_s.append(scored_s - began_s)
        return times_s


class OverlappingCalls:
    """As many images on their way as the engine computes at a time: the oldest is labelled while the newer ones are."""

    def __init__(self, engine: Engine, image_HW3: NDArray[np.uint8]) -> None:
        self._engine = engine
        self._images = image_HW3[None]

    def labelled_s(self, runs: int) -> list[float]:
        """Time images as they come, in seconds an image; filling what is on its way and emptying it do not count."""
        waiting: deque[Inference] = deque()
        # An engine may be ready to say how many it computes at a time only when it knows the images' size.
        self._exchange(waiting)
        for _ in range(self._engine.info.in_flight - 1):
            self._exchange(waiting)
        began_s = time.perf_counter()
        for _ in range(runs):
            self._exchange(waiting)
        passed_s = time.perf_counter() - began_s
        for inference in waiting:
            inference.labels()
        return [passed_s / runs]

    def drained_s(self, runs: int) -> list[float]:
        """Time so many images from the first one's beginning to the last one's labels, in seconds an image.

        What is on its way is filled and emptied within the time: for networks so slow that few images can be timed.
        """
        waiting: deque[Inference] = deque()
        began_s = time.perf_counter()
        for _ in range(runs):
            self._exchange(waiting)
        for inference in waiting:
            inference.labels()
        return [(time.perf_counter() - began_s) / runs]

    def _exchange(self, waiting: deque[Inference]) -> None:
        """Submit one more and, when the engine is full, label the oldest."""
        waiting.append(self._engine.submit(self._images))
        if len(waiting) >= self._engine.info.in_flight:
            waiting.popleft().labels()
