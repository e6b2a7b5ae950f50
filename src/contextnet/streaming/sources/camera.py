"""A camera of this machine as a source."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.device import enumerate_input_devices
from av.error import BlockingIOError as NothingYetError
from av.error import ExitError, FFmpegError

from contextnet.errors import StreamError
from contextnet.streaming.sources.reconnection import DEFAULT_PATIENCE, Fault, Patience, ReconnectingSource
from contextnet.streaming.sources.source import SourceInfo


@dataclass(frozen=True)
class CameraSystem:
    """How an operating system gives cameras: FFmpeg's format, the device of a number, and options that are needed."""

    format_name: str
    device_of: Callable[[int], str]
    options: dict[str, str] = field(default_factory=dict)


def _windows_device(index: int) -> str:
    devices = [device for device in enumerate_input_devices("dshow") if "video" in device.media_types]
    if index >= len(devices):
        raise StreamError.at(
            f"camera {index}", f"is not there; {len(devices)} were found", "check that it is plugged in"
        )
    return f"video={devices[index].description}"


SYSTEMS = {
    "linux": CameraSystem("v4l2", "/dev/video{}".format),
    # Its own default of 29.97 frames a second is a rate that few cameras have.
    "darwin": CameraSystem("avfoundation", str, {"framerate": "30"}),
    "win32": CameraSystem("dshow", _windows_device),
}
"""By the name that Python gives the operating system."""

_PLUG_IN = "check that it is plugged in"
_OTHER_SIZE = "check the device, or ask for another size or rate"
_FAULTS = {
    errno.EACCES: Fault("may not be used by this user", "add the user to the group 'video'", is_final=True),
    errno.EPERM: Fault("may not be used by this user", "allow this program to use the camera", is_final=True),
    errno.EBUSY: Fault("is in use by another program", "end that one"),
    errno.ENODEV: Fault("is not there", _PLUG_IN, is_final=True),
    errno.ENXIO: Fault("is not there", _PLUG_IN, is_final=True),
    errno.ENOTTY: Fault("is no camera", "give the number or the path of one", is_final=True),
    errno.EINVAL: Fault("does not give pictures in this way", _OTHER_SIZE, is_final=True),
}


class CameraSource(ReconnectingSource):
    """Frames from a camera of this machine, given by its number from 0 or by its device; opened again if it stalls.

    ``size_hw`` and ``rate``, in frames a second, are asked for; the camera gives what it has nearest, and its own
    choice where they are None. Raises ``StreamError`` on a system whose cameras cannot be read.
    """

    def __init__(
        self,
        index_or_path: int | str,
        size_hw: tuple[int, int] | None = None,
        rate: Fraction | None = None,
        patience: Patience = DEFAULT_PATIENCE,
    ) -> None:
        if sys.platform not in SYSTEMS:
            raise StreamError.at("camera", f"cannot be read on {sys.platform}", "give its network address or a video")
        system = SYSTEMS[sys.platform]
        self._device = system.device_of(index_or_path) if isinstance(index_or_path, int) else index_or_path
        self._format_name = system.format_name
        self._options = dict(system.options)
        if size_hw is not None:
            self._options["video_size"] = f"{size_hw[1]}x{size_hw[0]}"
        if rate is not None:
            self._options["framerate"] = str(rate)
        super().__init__(SourceInfo(f"camera {self._device}", is_live=True, rate=rate), patience)

    def _open(self) -> InputContainer:
        timeout = (self._patience.stall_s, self._patience.stall_s)
        return av.open(self._device, "r", format=self._format_name, options=self._options, timeout=timeout)

    def _find_fault(self, error: FFmpegError | None) -> Fault:
        if error is None or isinstance(error, ExitError | NothingYetError):
            return Fault("gives no pictures", "check that nothing else uses it, or plug it in again")
        if error.errno == errno.ENOENT:
            others = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
            return Fault(f"is not there; there are: {others}", _PLUG_IN, is_final=True)
        return _FAULTS.get(error.errno or 0) or Fault(f"cannot be read: {error.strerror}", _OTHER_SIZE)
