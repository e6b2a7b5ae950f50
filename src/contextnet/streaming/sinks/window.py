"""A window that shows the stream where there is a display, made with Tk."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Protocol

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation

SCREEN_SHARE = 0.9
"""How much of the screen's height and width the picture may take, so that the frame around it has room."""

_INSTEAD = "give http://localhost:8080 and look with a browser"
_TICK_S = 0.02
_OPENING_S = 10.0
_CLOSING_S = 2.0


class Display(Protocol):
    """A window on a screen. All calls come from the thread that opened it."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the whole screen in pixels."""
        ...

    def show(self, image: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 (H, W, 3) RGB, in its own size."""
        ...

    def update(self) -> bool:
        """Handle what the user did; False when the window was closed or q was pressed."""
        ...

    def close(self) -> None:
        """Take the window away."""
        ...


class WindowSink:
    """Shows the newest drawn result, scaled down to fit the screen; closing the window or q asks for the end.

    Everything that touches the display happens in one thread of the window's own, so that it answers while the source
    is silent, and a slow screen passes pictures over instead of holding the stream up. Raises ``StreamError`` when
    there is no display, or no Tk.
    """

    needs_picture = True

    def __init__(self, title: str, open_display: Callable[[str], Display] | None = None) -> None:
        self.name = "window"
        self._changed = Condition()
        self._picture: VideoFrame | None = None
        self._is_closing = False
        self._asks_to_stop = False
        self._failure = ""
        self._is_open = Event()
        # A daemon, since a display that does not answer blocks it for good.
        self._thread = Thread(target=self._run, args=(title, open_display or _open_tk), name="window", daemon=True)
        self._thread.start()
        if not self._is_open.wait(_OPENING_S):
            self._failure = f"window: the display does not answer; {_INSTEAD}"
        if self._failure:
            raise StreamError(self._failure)

    @property
    def asks_to_stop(self) -> bool:
        """Whether the user closed the window or pressed q; results that are written then go nowhere."""
        return self._asks_to_stop

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Show one picture soon; it must not change any more. Raises ``StreamError`` when the display broke down."""
        assert picture is not None
        if self._failure:
            raise StreamError(self._failure)
        with self._changed:
            self._picture = picture
            self._changed.notify()

    def close(self) -> None:
        """Take the window away."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_S)

    def _run(self, title: str, open_display: Callable[[str], Display]) -> None:
        # Only the message is kept: the error holds on to the display, which no other thread may free.
        try:
            self._show_pictures(title, open_display)
        except StreamError as error:
            self._failure = str(error)
        except Exception as error:  # Tk's errors, whose module may not be there to name them
            self._failure = f"window: the display broke down: {error}; {_INSTEAD}"
        finally:
            # What Tk leaves behind must be freed in the thread that made it.
            gc.collect()
            self._is_open.set()

    def _show_pictures(self, title: str, open_display: Callable[[str], Display]) -> None:
        display = open_display(title)
        try:
            self._is_open.set()
            reformatter = VideoReformatter()
            while not self._is_closing:
                picture = self._next_picture()
                if picture is not None:
                    height, width = fit((picture.height, picture.width), display.size_hw)
                    scaled = reformatter.reformat(picture, width, height, "rgb24", threads=1)
                    display.show(np.asarray(scaled.to_ndarray(), np.uint8))
                if not display.update():
                    self._asks_to_stop = True
                    return
        finally:
            display.close()

    def _next_picture(self) -> VideoFrame | None:
        """Wait a moment for a picture that was not shown yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing or self._picture is not None, _TICK_S)
            picture, self._picture = self._picture, None
            return picture


def fit(size_hw: tuple[int, int], screen_hw: tuple[int, int]) -> tuple[int, int]:
    """Give the height and width at which a picture of ``size_hw`` fits the screen: as it is, or scaled down."""
    scale = min(1.0, *(SCREEN_SHARE * room / side for room, side in zip(screen_hw, size_hw, strict=True)))
    height, width = (max(1, int(side * scale)) for side in size_hw)
    return height, width


def _open_tk(title: str) -> Display:
    if sys.platform == "darwin":
        raise StreamError(f"window: on macOS, Tk runs in a program's main thread only; {_INSTEAD}")
    try:
        import tkinter

        from PIL import ImageTk  # noqa: F401
    except ImportError:
        raise StreamError(f"window: Python has no Tk here ('apt install python3-tk'); {_INSTEAD}") from None
    try:
        return _TkDisplay(title)
    except tkinter.TclError as error:
        raise StreamError(f"window: there is no display: {error}; {_INSTEAD}") from None


class _TkDisplay:
    """A window of Tk, kept in size with its picture."""

    def __init__(self, title: str) -> None:
        import tkinter

        from PIL import ImageTk

        self._new_photo = ImageTk.PhotoImage
        self._photo: ImageTk.PhotoImage | None = None
        self._is_wanted = True
        self._root = tkinter.Tk(className="contextnet")
        self._root.title(title)
        self._root.resizable(width=False, height=False)
        self._root.protocol("WM_DELETE_WINDOW", self._ask_for_end)
        self._root.bind("<Key-q>", lambda _: self._ask_for_end())
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._root.winfo_screenheight(), self._root.winfo_screenwidth()

    def show(self, image: NDArray[np.uint8]) -> None:
        picture = Image.fromarray(image)
        if self._photo is not None and (self._photo.height(), self._photo.width()) == image.shape[:2]:
            self._photo.paste(picture)
            return
        self._photo = self._new_photo(picture, master=self._root)
        self._label.configure(image=self._photo)

    def update(self) -> bool:
        self._root.update()
        return self._is_wanted

    def close(self) -> None:
        self._photo = None
        self._root.destroy()

    def _ask_for_end(self) -> None:
        self._is_wanted = False
