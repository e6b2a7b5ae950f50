from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from contextnet.errors import StreamError
from contextnet.images import write_png
from contextnet.streaming.sources.choice import SourceWishes, open_source
from counted_videos import counted_picture, write_counted_video

SIZE = SourceWishes(size_hw=(64, 96))
RATE = SourceWishes(rate=Fraction(5))
OWN_SIZE, OWN_TIMES = "takes no --size: its pictures have their own", "takes no --rate: its frames have their own times"
SIZE_IS_FOR = "a size is for cameras and raw standard input"
RATE_IS_FOR = "a rate is for cameras, folders and raw pixels"


@pytest.fixture(autouse=True)
def _sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_counted_video(Path("film.mp4"))
    Path("images").mkdir()
    write_png(Path("images/0.png"), counted_picture(0))


@pytest.mark.parametrize(
    ("target", "wishes", "message"),
    [
        ("film.mp4", SIZE, f"film.mp4: {OWN_SIZE}; {SIZE_IS_FOR}"),
        ("film.mp4", RATE, f"film.mp4: {OWN_TIMES}; {RATE_IS_FOR}"),
        ("images", SIZE, f"images: {OWN_SIZE}; {SIZE_IS_FOR}"),
        ("synthetic", SIZE, f"synthetic: {OWN_SIZE}; give synthetic:HEIGHTxWIDTH"),
        ("rtsp://me:secret@host/a", SIZE, f"rtsp://host/a: {OWN_SIZE}; {SIZE_IS_FOR}"),
        ("rtsp://me:secret@host/a", RATE, f"rtsp://host/a: {OWN_TIMES}; {RATE_IS_FOR}"),
        ("http://host/a.mp4", RATE, f"http://host/a.mp4: {OWN_TIMES}; {RATE_IS_FOR}"),
        ("-", RATE, f"standard input: {OWN_TIMES}; give --size too if it is raw RGB"),
    ],
)
def test_what_a_source_does_not_heed_is_refused(target: str, wishes: SourceWishes, message: str) -> None:
    with pytest.raises(StreamError) as caught:
        open_source(target, wishes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("target", "wishes", "rate"),
    [
        ("0", SourceWishes(size_hw=(64, 96), rate=Fraction(5)), 5),
        ("images", RATE, 5),
        ("synthetic:32x64", RATE, 5),
        ("synthetic:32x64", SourceWishes(), 17),
        ("film.mp4", SourceWishes(is_live=True), 25),
    ],
)
def test_what_a_source_heeds_is_taken(target: str, wishes: SourceWishes, rate: int) -> None:
    source = open_source(target, wishes)
    assert source.info.rate == rate
    source.close()


def test_a_source_without_a_name_is_refused() -> None:
    with pytest.raises(StreamError, match="has no name; give a video file"):
        open_source("")
