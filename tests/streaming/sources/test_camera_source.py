from __future__ import annotations

import errno
import io
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av import open as open_container
from av.container import InputContainer

from contextnet.errors import StreamError
from contextnet.streaming.frame import CLOCK
from contextnet.streaming.sources import camera, reconnection
from contextnet.streaming.sources.camera import SYSTEMS, CameraSource, CameraSystem
from contextnet.streaming.sources.reconnection import Patience

pytestmark = pytest.mark.timeout(30)
QUICK = Patience(stall_s=0.3, back_off_s=0.01, longest_back_off_s=0.01, first_attempts=2)


@pytest.fixture
def drawn_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put FFmpeg's drawn test pictures, 25 a connection less the number, in the place of this machine's cameras."""
    drawn = CameraSystem("lavfi", "testsrc=size=64x48:rate=25:duration=1,select=gte(n\\,{})".format)
    monkeypatch.setitem(SYSTEMS, sys.platform, drawn)


class Opening:
    """Stands for ``av.open``: keeps what it was asked for, and does what it is told to, the last thing for good."""

    def __init__(self, *outcomes: Callable[[], Any]) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._outcomes = outcomes

    def __call__(self, device: str, mode: str, *, options: dict[str, str], **others: Any) -> Any:
        outcome = self._outcomes[min(len(self.asked), len(self._outcomes) - 1)]
        self.asked.append((device, others["format"], options))
        return outcome()


def failing(number: int) -> Callable[[], Any]:
    """Fail as FFmpeg does with an error number of the operating system."""
    return lambda: av.error.err_check(-number, "device")


def film(pictures: int = 3) -> Callable[[], InputContainer]:
    """Open a film that is made in memory."""
    file = io.BytesIO()
    with open_container(file, "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuvj420p"
        for number in range(pictures):
            image = np.full((32, 48, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return lambda: open_container(io.BytesIO(file.getvalue()), "r")


@pytest.mark.usefixtures("drawn_camera")
def test_a_camera_gives_frames_and_comes_back_after_a_break() -> None:
    source = CameraSource(5, patience=QUICK)
    frames = list(islice(source, 45))  # 20 a connection
    assert [frame.index for frame in frames] == list(range(45))
    assert all(after.time_s > before.time_s for before, after in pairwise(frames))
    assert {frame.video.time_base for frame in frames} == {CLOCK}
    assert frames[0].size_hw == (48, 64)
    assert source.counts.reconnections == 2
    assert source.info.is_live


@pytest.mark.parametrize(
    ("system", "device", "expected"),
    [
        ("linux", 2, ("/dev/video2", "v4l2", {})),
        ("linux", "/dev/v4l/by-id/usb-cam", ("/dev/v4l/by-id/usb-cam", "v4l2", {})),
        ("darwin", 0, ("0", "avfoundation", {"framerate": "30"})),
        ("win32", 1, ("video=Rear", "dshow", {})),
        ("win32", "video=Front", ("video=Front", "dshow", {})),
    ],
)
@pytest.mark.parametrize("asks", [False, True])
def test_each_system_has_its_way(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    device: int | str,
    expected: tuple[str, str, dict[str, str]],
    asks: bool,
) -> None:
    opening = Opening(film())
    monkeypatch.setattr(camera.av, "open", opening)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(camera, "enumerate_input_devices", windows_devices)
    wishes: dict[str, Any] = {"size_hw": (720, 1280), "rate": Fraction(30000, 1001)} if asks else {}
    source = CameraSource(device, patience=QUICK, **wishes)
    assert next(iter(source)).index == 0
    asked = {"video_size": "1280x720", "framerate": "30000/1001"} if asks else {}
    name, format_name, options = expected
    assert opening.asked == [(name, format_name, {**options, **asked})]
    assert source.info.name == f"camera {name}"
    assert source.info.rate == wishes.get("rate")


def windows_devices(format_name: str) -> list[av.device.DeviceInfo]:
    assert format_name == "dshow"
    kinds = [("Microphone", ["audio"]), ("Front", ["video"]), ("Rear", ["video", "audio"])]
    return [av.device.DeviceInfo(f"@{name}", name, False, media) for name, media in kinds]


@pytest.mark.parametrize(
    ("number", "found", "attempts"),
    [
        (errno.ENOENT, "is not there; there are: .*; check that it is plugged in", 1),
        (errno.ENODEV, "is not there; check that it is plugged in", 1),
        (errno.EACCES, "may not be used by this user; add the user to the group 'video'", 1),
        (errno.EBUSY, "is in use by another program; end that one", 2),
        (errno.ENOTTY, "is no camera; give the number or the path of one", 1),
        (errno.EINVAL, "does not give pictures in this way; check the device, or ask for another size or rate", 1),
        (errno.EIO, "cannot be read: Input/output error; check the device, or ask for another size or rate", 2),
        (errno.EAGAIN, "gives no pictures; check that nothing else uses it, or plug it in again", 2),
    ],
)
def test_a_camera_that_cannot_be_opened_is_told(
    monkeypatch: pytest.MonkeyPatch, number: int, found: str, attempts: int
) -> None:
    opening = Opening(failing(number))
    monkeypatch.setattr(camera.av, "open", opening)
    with pytest.raises(StreamError, match=f"^camera cam: {found}$"):
        next(iter(CameraSource("cam", patience=QUICK)))
    assert len(opening.asked) == attempts, "what another attempt cannot mend is told at once"


@pytest.mark.skipif(sys.platform != "linux", reason="the devices are those of Linux")
@pytest.mark.parametrize(
    ("device", "found"),
    [
        (979, "camera /dev/video979: is not there; there are: "),
        ("/dev/null", "camera /dev/null: is no camera; give the"),
    ],
)
def test_what_this_machine_has_not_is_told(device: int | str, found: str) -> None:
    with pytest.raises(StreamError, match=f"^{found}"):
        next(iter(CameraSource(device)))


def test_systems_without_cameras_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(StreamError, match="camera: cannot be read on plan9; give its network address or a video"):
        CameraSource(0)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(camera, "enumerate_input_devices", windows_devices)
    with pytest.raises(StreamError, match="camera 2: is not there; 2 were found; check that it is plugged in"):
        CameraSource(2)


def test_an_unplugged_camera_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has given a frame, also errors that end a first attempt are waited out."""
    opening = Opening(film(2), *[failing(errno.ENODEV)] * 3, film(2))
    monkeypatch.setattr(camera.av, "open", opening)
    source = CameraSource("cam", patience=QUICK)
    assert [frame.index for frame in islice(source, 4)] == [0, 1, 2, 3]
    assert len(opening.asked) == 5
    assert source.counts.reconnections == 1


@pytest.mark.parametrize(
    ("clock_s", "ticks"),
    [
        ([7.0, 7.0, 7.0], [0, 1, 2]),  # a burst
        ([7.0, 7.5, 7.1], [0, 45_000, 45_001]),
        ([7.0, 8.0, 8.0 + 1 / 90_000], [0, 90_000, 90_001]),
    ],
)
def test_times_always_rise(monkeypatch: pytest.MonkeyPatch, clock_s: list[float], ticks: list[int]) -> None:
    monkeypatch.setattr(camera.av, "open", Opening(film(3)))
    stream = iter(CameraSource("cam", patience=QUICK))
    found = []
    for now_s in clock_s:
        monkeypatch.setattr(reconnection, "time", SimpleNamespace(monotonic=lambda now_s=now_s: now_s))
        found.append(next(stream))
    assert [frame.video.pts for frame in found] == ticks
    assert [frame.arrived_s for frame in found] == clock_s


class Hesitant:
    """A container that answers, before each packet and for good at the end, that it has none yet, as macOS's do."""

    def __init__(self, container: InputContainer) -> None:
        self.streams = container.streams
        self._container = container
        self._packets = container.demux(video=0)
        self._is_ready = False

    def demux(self, *_: object) -> Iterator[Any]:
        while True:
            self._is_ready = not self._is_ready
            packet = next(self._packets, None) if self._is_ready else None
            if packet is None or packet.size == 0:
                failing(errno.EAGAIN)()
            yield packet

    def __enter__(self) -> Hesitant:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


def test_a_camera_that_has_no_picture_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make = film(3)
    monkeypatch.setattr(camera.av, "open", Opening(lambda: Hesitant(make())))
    source = CameraSource("cam", patience=QUICK)
    frames = iter(source)
    assert [frame.index for frame in islice(frames, 3)] == [0, 1, 2]
    assert source.counts.reconnections == 0
    started_s = time.monotonic()
    assert next(frames).index == 3, "silent for too long, it is opened again"
    assert time.monotonic() - started_s >= QUICK.stall_s
    assert source.counts.reconnections == 1
