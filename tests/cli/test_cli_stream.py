from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray

from contextnet.images import read_mask, write_png
from contextnet.runtime.drawing import overlay
from contextnet.runtime.segmenter import Segmenter
from counted_videos import counted_picture, timed_picture, write_counted_video

Run = Callable[..., tuple[int, str, str]]

NETWORK = "cn14-camvid-int8"
SIZE_HW = (64, 128)
# Frames at irregular times, of a clock that no film rate divides.
TIMES_MS = [0, 40, 81, 121, 300, 301, 340, 900]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "in.mkv"
    return write_counted_video(path, TIMES_MS, time_base=Fraction(1, 1000), size_hw=SIZE_HW)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load(NETWORK)


def decode(path: Path) -> tuple[list[NDArray[np.uint8]], list[float]]:
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return [np.asarray(each.to_ndarray(format="rgb24"), np.uint8) for each in pictures], [
        each.time for each in pictures
    ]


def test_every_result_is_drawn_on_its_own_frame_at_its_own_time(
    shell: Run, video: Path, segmenter: Segmenter, tmp_path: Path
) -> None:
    code, out, _ = shell("stream", str(video), "--output", str(tmp_path / "out.mp4"))
    assert code == 0
    assert f"{len(TIMES_MS)} frames" in out
    found, times = decode(tmp_path / "out.mp4")
    assert times == pytest.approx([time / 1000 for time in TIMES_MS], abs=1e-4)
    sources, _ = decode(video)
    expected = [overlay(image, segmenter.predict(image).labels, segmenter.label_set).astype(int) for image in sources]
    for index, picture in enumerate(found):
        distances = [np.abs(picture.astype(int) - other).mean() for other in expected]
        assert np.argmin(distances) == index
        # What H.264 and half-size colours cost.
        assert distances[index] < 12


def test_several_outputs_agree(shell: Run, video: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    places = [f"{tmp_path}/{name}" for name in ("labels/", "out.jsonl", "out.npz")]
    targets = [word for place in [*places, "none"] for word in ("--output", place)]
    code, _, _ = shell("stream", str(video), *targets, "--json", str(tmp_path / "figures.json"))
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(len(TIMES_MS)))
    assert [line["time_s"] for line in lines] == pytest.approx([time / 1000 for time in TIMES_MS])
    stored = np.load(tmp_path / "out.npz", allow_pickle=False)
    for index, image in enumerate(decode(video)[0]):
        expected = segmenter.predict(image)
        np.testing.assert_array_equal(stored[f"labels_{index:06d}"], expected.labels)
        png = read_mask(tmp_path / "labels" / f"{index:06d}.png").values
        np.testing.assert_array_equal(png, expected.file_ids())
        shares = {name: area["share"] for name, area in lines[index]["classes"].items()}
        assert shares == {name: area.share for name, area in expected.areas().classes.items() if area.pixels}
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["frames"] == len(TIMES_MS)
    assert figures["counts"] == {"dropped": 0, "damaged": 0, "reconnections": 0}
    assert {stage["name"] for stage in figures["stages"]} >= {"source", "prepare", "network", "labels"}


def test_classes_leave_the_rest_void(shell: Run, video: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    areas = segmenter.predict(counted_picture(0, SIZE_HW)).areas().classes
    name = max(areas, key=lambda name: areas[name].pixels)
    code, out, _ = shell("stream", str(video), "--classes", name, "--output", "-")
    assert code == 0
    for line in out.splitlines():
        record = json.loads(line)
        assert set(record["classes"]) <= {name}
        assert record["classes"].get(name, {"pixels": 0})["pixels"] + record["void"]["pixels"] == 64 * 128


@pytest.mark.parametrize("smooth", ["exponential", "motion"])
def test_labels_may_be_smoothed(shell: Run, video: Path, tmp_path: Path, smooth: str) -> None:
    plain, smoothed = tmp_path / "plain.npz", tmp_path / "smoothed.npz"
    shell("stream", str(video), "--output", str(plain))
    code, _, _ = shell("stream", str(video), "--output", str(smoothed), "--smooth", smooth)
    assert code == 0
    before, after = np.load(plain), np.load(smoothed)
    np.testing.assert_array_equal(before["labels_000000"], after["labels_000000"])
    assert any((before[f"labels_{i:06d}"] != after[f"labels_{i:06d}"]).any() for i in range(1, len(TIMES_MS)))


def test_folders_of_images_are_streamed_at_a_rate(shell: Run, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in (2, 0, 1):
        write_png(folder / f"{number}.png", counted_picture(number))
    code, out, _ = shell("stream", str(folder), "--rate", "8", "--output", "-")
    assert code == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [(record["index"], record["time_s"]) for record in records] == [(0, 0.0), (1, 0.125), (2, 0.25)]


def test_a_recording_is_played_as_a_camera(shell: Run, video: Path) -> None:
    code, out, _ = shell("stream", str(video), "--live", "--json", "-")
    figures = json.loads(out)
    assert code == 0
    assert figures["is_live"]
    assert figures["frames"] + figures["counts"]["dropped"] == len(TIMES_MS)
    # It lasts as long as the film: from the first frame to the last.
    assert figures["seconds"] >= 0.9


def test_what_is_kept_nowhere_is_told(shell: Run, video: Path) -> None:
    code, _, err = shell("stream", str(video))
    assert code == 0
    assert "nothing is kept: give --output" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.mp4"], "none.mp4: does not exist; give a video file"),
        (["VIDEO", "--output", "x.avi"], "sink 'x.avi': there is no such kind"),
        (["VIDEO", "--output", "none/x.mp4"], "none/x.mp4: there is no folder none; make it first"),
        (["VIDEO", "--output", "VIDEO"], "is the source itself; give another output"),
        (["VIDEO", "--output", "a.mp4", "--output", "a.mp4"], "a.mp4: is given for two outputs; give each its own"),
        (["VIDEO", "--output", "a.mp4", "--output", "./a.mp4"], "a.mp4: is given for two outputs; give each its own"),
        (["²"], "²: does not exist; give a video file"),
        (["VIDEO", "--output", "-", "--json", "-"], "-: is given for two outputs; give each its own"),
        (["VIDEO", "--classes", "car,cat"], "label set 'camvid' has no class 'cat'; the nearest is 'car'"),
        (["VIDEO", "--smooth", "much"], "much"),
        (["VIDEO", "--weights", "cn99"], "cn99"),
        (["VIDEO", "--size", "12"], "size '12': expected HEIGHTxWIDTH"),
        (["VIDEO", "--size", "64x96"], "takes no --size: its pictures have their own; a size is for cameras"),
        (["VIDEO", "--rate", "5"], "takes no --rate: its frames have their own times; a rate is for cameras, folders"),
        (["VIDEO", "--output", "VIDEO/x.mp4", "--weights", "cn99"], "x.mp4: there is no folder"),
        (["VIDEO", "--output", "/proc/x.mp4", "--weights", "cn99"], "/proc/x.mp4: cannot be written: No such file"),
        (["synthetic:big"], "source 'synthetic:big': 'big' is no size; give synthetic:HEIGHTxWIDTH"),
        (["VIDEO", "--json", "none/x.json"], "none/x.json: its folder does not exist; make it first"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    shell: Run, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("stream", *[word.replace("VIDEO", str(video)) for word in words])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_a_page_is_told_at_once(shell: Run, video: Path) -> None:
    code, out, err = shell("stream", str(video), "--output", "http://127.0.0.1:0")
    assert code == 0
    told = re.search(r"^to be watched at (http://127\.0\.0\.1:[1-9]\d*)$", err, re.MULTILINE)
    assert told is not None
    assert told[1] in out, "the stage bears the same name"


def test_one_frame_is_one_frame(shell: Run, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_png(folder / "0.png", counted_picture(0))
    _, out, _ = shell("stream", str(folder), "--output", "none")
    assert "1 frame" in out
    assert "1 frames" not in out


def test_a_film_keeps_its_shape(shell: Run, tmp_path: Path) -> None:
    source = tmp_path / "wide.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = SIZE_HW
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for number in range(3):
            container.mux(stream.encode(timed_picture(counted_picture(number, SIZE_HW), number)))
        container.mux(stream.encode(None))
    code, _, _ = shell("stream", str(source), "--output", str(tmp_path / "out.mp4"))
    assert code == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("rate", ["inf", "nan", "0"])
def test_a_rate_is_a_number_of_frames(shell: Run, video: Path, rate: str) -> None:
    code, _, err = shell("stream", str(video), "--rate", rate)
    assert code == 2
    assert "--rate" in err


@pytest.mark.parametrize("name", ["[red]a.mkv", "a[/b].mkv"])
def test_brackets_in_names_are_shown(shell: Run, video: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(video.read_bytes())
    code, out, _ = shell("stream", str(source), "--output", "none")
    assert code == 0
    assert name in "".join(out.split())


def test_the_file_behind_standard_input_is_not_written_over(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(video.read_bytes())
    command = [sys.executable, "-m", "contextnet", "stream", "-", "--output", str(path)]
    with path.open("rb") as file:
        run = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "is the source itself" in run.stderr
    assert path.read_bytes() == video.read_bytes()


def test_a_closed_standard_input_is_told(shell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = shell("stream", "-")
    assert code == 2
    assert err == "error: standard input: is closed; pipe a video into it\n"


def test_a_sink_that_cannot_be_opened_spares_the_files_of_others(shell: Run, video: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.npz"
    path.write_text("old")
    code, _, _ = shell("stream", str(video), "--output", str(path), "--output", str(tmp_path / "none" / "x.mp4"))
    assert code == 2
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("film.npz", "old")]


def test_sinks_are_closed_if_no_stream_begins(
    video: Path, tmp_path: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(segmenter: Segmenter) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Segmenter, "images_on_their_way", interrupt)
    targets = ["--output", "http://127.0.0.1:0", "--output", str(tmp_path / "film.npz")]
    code, _, _ = shell("stream", str(video), *targets)
    assert code != 0
    assert [thread.name for thread in threading.enumerate() if thread.name == "mjpeg-server"] == []
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
