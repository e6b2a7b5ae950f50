"""One call to an engine that gives scores: its images on the way in, its scores and labels on the way out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock

import numpy as np

from contextnet.errors import ContextNetError
from contextnet.runtime.engines.engine import Images, Labels, Scores
from contextnet.runtime.labelling import label_scores


def accept_images(images: Images, fixed_hw: tuple[int, int] | None) -> Images:
    """Give the images contiguous in memory, copied only where they are not.

    Raises ``ContextNetError`` when the model file is fixed to another height and width than theirs, ``ValueError``
    when they are not uint8 (N, H, W, 3) with a pixel at least.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.size == 0:
        raise ValueError(f"the images are {images.dtype} {images.shape}; expected uint8 (N, H, W, 3)")
    height, width = images.shape[1:3]
    if fixed_hw not in {None, (height, width)}:
        raise ContextNetError(
            f"the image is {height}×{width} (height × width) and the model file is fixed to {fixed_hw[0]}×"
            f"{fixed_hw[1]}; scale the image, or export the network without a size"
        )
    return np.ascontiguousarray(images)


class ScoringCall:
    """A call whose scores ``wait`` gives, or raises why not; labels are made of them by the thread that asks.

    Any number of threads may ask. ``size_hw`` is the images' height and width, ``stride`` the network's.
    """

    def __init__(self, wait: Callable[[], Scores], size_hw: tuple[int, int], stride: int) -> None:
        self._wait: Callable[[], Scores] | None = wait
        self._size_hw = size_hw
        self._stride = stride
        self._lock = Lock()
        self._outcome: Scores | Exception | None = None
        self._labels: Labels | None = None

    def finish(self) -> None:
        """Wait until the call is computed or has failed."""
        with self._lock:
            if self._wait is None:
                return
            try:
                self._outcome = self._wait()
            except Exception as error:  # is for who asks for the scores, not for who waits for a free place
                self._outcome = error
            self._wait = None  # with it go the images

    def scores(self) -> Scores:
        """Wait, and give the scores; raises what made the call fail."""
        self.finish()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    def labels(self) -> Labels:
        """Wait, and give the labels; raises what made the call fail."""
        if self._labels is None:
            self._labels = np.stack([label_scores(scores, self._size_hw, self._stride) for scores in self.scores()])
        return self._labels


class CallsInFlight:
    """The calls that an engine computes at a time, at most ``limit``, from the oldest to the newest."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._calls: deque[ScoringCall] = deque()
        self._is_closed = False

    def make_room(self) -> None:
        """Wait for the oldest call if there are ``limit``; raises ``ValueError`` when the engine has been closed."""
        if self._is_closed:
            raise ValueError("the engine is closed")
        if len(self._calls) == self.limit:
            self._finish_oldest()

    def add(self, call: ScoringCall) -> ScoringCall:
        """Count a call that has begun, and give it back."""
        self._calls.append(call)
        return call

    def close(self) -> None:
        """Wait for all; none may follow."""
        self._is_closed = True
        while self._calls:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        # It stays in the list until it is finished: what is still being computed must not be let go.
        self._calls[0].finish()
        self._calls.popleft()
