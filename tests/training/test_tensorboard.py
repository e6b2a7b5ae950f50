from __future__ import annotations

import importlib.util
import io
import math
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import RecordWriter, SummaryWriter

from contextnet.data.sample import Sample
from contextnet.errors import DataError, MissingDependencyError
from contextnet.evaluation.scores import Scores
from contextnet.labels import IGNORE_INDEX, LabelSet
from contextnet.training.tensorboard import TensorBoard, draw_sample, open_tensorboard
from training_data import COLORS, LABELS

WHITE = (255, 255, 255)
PAPER = [250, 250, 250]


class Says:
    """A predictor that gives every pixel one class."""

    def __init__(self, train_id: int) -> None:
        self._train_id = train_id
        self.calls = 0

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.calls += 1
        return np.full(image_HW3.shape[:2], self._train_id, np.uint8)


@dataclass(frozen=True)
class Listed:
    """Samples in memory as a split."""

    samples: list[Sample]
    name: str = "listed/val"
    labels: LabelSet = LABELS
    licence: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def sample(size_hw: tuple[int, int] = (20, 30), train_id: int = 0) -> Sample:
    return Sample(np.full((*size_hw, 3), WHITE, np.uint8), np.full(size_hw, train_id, np.uint8), Path("white.png"))


def read_events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read_events(folder).Scalars(name)]


def pixels(encoded: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_curves_are_read_back(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.scalars({"step/loss": 2.5, "step/learning_rate": 0.125}, 10)
        board.scalars({"step/loss": 1.25}, 20)
    assert curve(tmp_path, "step/loss") == [(10, 2.5), (20, 1.25)]
    assert curve(tmp_path, "step/learning_rate") == [(10, 0.125)]
    assert [path.name.split(".")[:3] for path in tmp_path.iterdir()] == [["events", "out", "tfevents"]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_makes_no_point(tmp_path: Path, value: float) -> None:
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.scalars({"loss": 0.5, "rate": 1.0}, 1)
        board.scalars({"loss": value, "rate": 2.0}, 2)
    assert curve(tmp_path, "loss") == [(1, 0.5)]
    assert curve(tmp_path, "rate") == [(1, 1.0), (2, 2.0)]


def test_events_are_on_disk_when_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_flushed = threading.Event()
    write, flush = RecordWriter.write, SummaryWriter.flush

    def write_late(self: RecordWriter, data: bytes) -> None:
        """Write in the background as late as a flush allows."""
        is_flushed.wait()
        write(self, data)

    def flush_now(self: SummaryWriter) -> None:
        is_flushed.set()
        flush(self)

    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        monkeypatch.setattr(RecordWriter, "write", write_late)
        monkeypatch.setattr(SummaryWriter, "flush", flush_now)
        try:
            board.scalars({"loss": 0.5}, 1)
            assert read_events(tmp_path).Tags()["scalars"] == ["loss"]
            is_flushed.clear()
            board.pictures(Listed([sample()]), Says(1), 1)
            assert read_events(tmp_path).Tags()["images"] == ["pictures/1"]
        finally:
            is_flushed.set()


def test_scores_of_a_validation(tmp_path: Path) -> None:
    nothing = (math.nan,) * 3
    # Of 4 pixels of "traffic light" 3 are found and 1 is taken for "road", of which the other 4 are all found.
    confusion = np.array([[4, 0, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0]], np.int64)
    names = ("road", "traffic light", "bus")
    scores = Scores(names, (0.8, 0.75, math.nan), nothing, names, (0.8, 0.75, math.nan), nothing, confusion)
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.validation(scores, 40)
    found = {name: curve(tmp_path, name) for name in read_events(tmp_path).Tags()["scalars"]}
    assert found == {
        "validation/miou": [(40, pytest.approx(0.775))],
        "validation/pixel_accuracy": [(40, 0.875)],
        "iou/road": [(40, pytest.approx(0.8))],
        "iou/traffic light": [(40, 0.75)],
    }


@pytest.mark.parametrize(
    ("size_hw", "part_hw"),
    [
        ((20, 30), (20, 30)),
        ((256, 512), (256, 512)),
        ((1024, 2048), (256, 512)),
        ((300, 1000), (154, 512)),  # 153.6
        ((1, 5000), (1, 512)),
        ((1000, 1), (1000, 1)),
    ],
)
def test_parts_of_a_picture_are_at_most_512_wide(size_hw: tuple[int, int], part_hw: tuple[int, int]) -> None:
    drawn = draw_sample(sample(size_hw), np.ones(size_hw, np.uint8), LABELS)
    # Three parts, with a gap of six pixels around each.
    assert drawn.shape == (part_hw[0] + 12, 3 * part_hw[1] + 24, 3)


def test_picture_shows_image_truth_and_prediction(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.pictures(Listed([sample((20, 30), 2), sample((40, 30), IGNORE_INDEX)]), Says(1), 5)
    events = read_events(tmp_path)
    for name, size_hw, truth in (("pictures/1", (32, 114), COLORS[2]), ("pictures/2", (52, 114), (0, 0, 0))):
        (event,) = events.Images(name)
        assert (event.step, event.height, event.width) == (5, *size_hw)
        drawn = pixels(event.encoded_image_string)
        assert drawn.shape == (*size_hw, 3)
        # Parts of 30 columns begin at 6, 42 and 78.
        for left, color in ((6, WHITE), (42, truth), (78, COLORS[1])):
            assert (drawn[6:-6, left : left + 30] == color).all()
        assert (drawn[:, [0, 40, 75, 110]] == PAPER).all()


def test_no_more_than_three_samples_are_drawn(tmp_path: Path) -> None:
    predictor = Says(0)
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.pictures(Listed([sample() for _ in range(5)]), predictor, 1)
    assert read_events(tmp_path).Tags()["images"] == ["pictures/1", "pictures/2", "pictures/3"]
    assert predictor.calls == 3


def test_prediction_of_a_class_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with (
        open_tensorboard(tmp_path, enabled=True, step=0) as board,
        pytest.raises(DataError, match=r"white\.png: the prediction holds train id 7"),
    ):
        board.pictures(Listed([sample()]), Says(7), 1)


def test_steps_that_are_repeated_after_a_resume_stand_once(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        for step in (10, 20, 30, 40):
            board.scalars({"loss": step / 8}, step)
        board.scalars({"miou": 0.5}, 20)
        board.scalars({"miou": 0.625}, 40)
    (first,) = tmp_path.iterdir()
    first.rename(tmp_path / "events.out.tfevents.1700000000.host.1.0")  # an older file is read first
    with open_tensorboard(tmp_path, enabled=True, step=20) as board:
        board.scalars({"loss": 100.0}, 30)
    # What was written at the step that was saved belongs to the steps before it, and stays.
    assert curve(tmp_path, "loss") == [(10, 1.25), (20, 2.5), (30, 100.0)]
    assert curve(tmp_path, "miou") == [(20, 0.5)]


def test_first_point_of_a_new_run_is_kept(tmp_path: Path) -> None:
    with open_tensorboard(tmp_path, enabled=True, step=0) as board:
        board.scalars({"loss": 2.0}, 0)
    assert curve(tmp_path, "loss") == [(0, 2.0)]


def test_board_that_is_not_enabled_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hide_tensorboard(monkeypatch)
    predictor = Says(0)
    with open_tensorboard(tmp_path, enabled=False, step=0) as board:
        board.scalars({"loss": 1.0}, 1)
        board.pictures(Listed([sample()]), predictor, 1)
    assert list(tmp_path.iterdir()) == []
    assert predictor.calls == 0


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hide_tensorboard(monkeypatch)
    with pytest.raises(MissingDependencyError) as caught:
        open_tensorboard(tmp_path / "run", enabled=True, step=0)
    assert str(caught.value) == (
        "the recipe's 'tensorboard' is true, but TensorBoard is not installed; pip install 'contextnet[train]', or "
        "set it to false"
    )
    assert not (tmp_path / "run").exists()


def _hide_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without_tensorboard(name: str, package: str | None = None) -> Any:
        return None if name == "tensorboard" else found(name, package)

    monkeypatch.setattr("contextnet.training.tensorboard.find_spec", without_tensorboard)


def test_error_inside_closes_the_file_and_passes_through(tmp_path: Path) -> None:
    boards: list[TensorBoard] = []

    def fail() -> None:
        with open_tensorboard(tmp_path, enabled=True, step=0) as board:
            boards.append(board)
            board.scalars({"loss": 1.0}, 1)
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        fail()
    assert curve(tmp_path, "loss") == [(1, 1.0)]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (
            "[board.scalars({'loss': 1.0}, step) for step in range(100)]",
            "TrainingError: {}: the events for TensorBoard ",
        ),
        ("board._writer.add_scalar('loss', 1.0, 1)", "TrainingError: {}: the events for TensorBoard "),
        ("[board._writer.add_scalar('loss', 1.0, 1), [][0]]", "IndexError: list index out of range"),
    ],
    ids=["while writing", "while closing", "after another error"],
)
def test_full_disk_is_named(tmp_path: Path, inside: str, expected: str) -> None:
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from contextnet.training.tensorboard import open_tensorboard\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n"
        f"    with open_tensorboard(Path({str(tmp_path)!r}), enabled=True, step=0) as board:\n"
        "        limit = next(Path(board._writer.log_dir).iterdir()).stat().st_size + 10\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        f"        {inside}\n"
        "except Exception as error:\n"
        "    print(f'{type(error).__name__}: {error}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith(expected.format(tmp_path)), done
    if "events" in expected:
        assert done.stdout.endswith(
            "cannot be written: File too large; free some space, or set the recipe's 'tensorboard' to false\n"
        )


def test_importing_the_module_imports_no_tensorboard() -> None:
    program = "import sys, contextnet.training.tensorboard; sys.exit('tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_writer_brings_no_warning() -> None:
    program = (
        "from pathlib import Path; from contextnet.training.tensorboard import open_tensorboard; import tempfile\n"
        "with tempfile.TemporaryDirectory() as folder, open_tensorboard(Path(folder), enabled=True, step=0) as board:\n"
        "    board.scalars({'loss': 1.0}, 1)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
