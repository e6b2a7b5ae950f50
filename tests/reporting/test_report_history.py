from __future__ import annotations

import pytest
from reporting_runs import epoch, lines, start, validation

from contextnet.reporting.history import parse_history


def test_a_whole_log_is_read() -> None:
    log = lines(
        start(skipped_samples=["a.png: damaged"]),
        epoch(1, 2.5, skipped_steps=1, learning_rate=0.01),
        validation(1, 0.25, {"road": 0.5, "sky": None}),
        epoch(2, 1.5, skipped_steps=3),
        {"event": "other", "epoch": 9},
    )
    history = parse_history(log)
    assert [(e.epoch, e.loss, e.seconds, e.learning_rate) for e in history.epochs] == [
        (1, 2.5, 60, 0.01),
        (2, 1.5, 120, None),
    ]
    assert history.validations[0].class_iou == {"road": 0.5, "sky": None}
    assert (history.epochs_done, history.seconds, history.skipped_steps, history.sessions) == (2, 120, 3, 1)
    assert history.skipped_samples == ("a.png: damaged",)
    assert history.unreadable_lines == 0


def test_of_repeated_epochs_the_later_ones_count() -> None:
    log = lines(
        start(skipped_samples=["a", "b"]),
        epoch(1, 3.0),
        epoch(2, 2.0),
        validation(2, 0.6),
        start(step=10, skipped_samples=["b", "c"]),
        epoch(2, 2.25),
        validation(2, 0.5),
        epoch(3, 1.0),
    )
    history = parse_history(log)
    assert [(e.epoch, e.loss) for e in history.epochs] == [(1, 3.0), (2, 2.25), (3, 1.0)]
    assert [v.miou for v in history.validations] == [0.5]
    assert history.sessions == 2
    assert history.skipped_samples == ("a", "b", "c")


def rates(*images_per_s: float | None) -> str:
    return lines(start(), *(epoch(i + 1, 1.0, images_per_s=rate) for i, rate in enumerate(images_per_s)))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", None),
        (rates(), None),
        (rates(30.0, 10.0, 20.0), 20.0),
        (rates(30.0, 10.0), 30.0),
        (rates(30.0, None, 0.0), 30.0),
        (rates(0.0), None),
        (lines(start(), epoch(1, 1.0)), None),
        (rates(30.0, 20.0, 10.0) + rates(), None),
        (rates(30.0, 20.0, 10.0) + rates(5.0, 6.0), 6.0),
        (rates(30.0) + '{"event": "epo' + rates(5.0), 5.0),
    ],
)
def test_rate_is_the_median_since_the_last_start(log: str, expected: float | None) -> None:
    assert parse_history(log).images_per_s == expected


def test_epochs_tell_their_rate_and_session() -> None:
    log = rates(30.0, 20.0, 10.0) + lines(start(step=10), epoch(2, 1.0, images_per_s=float("nan")))
    assert [(e.epoch, e.images_per_s, e.session) for e in parse_history(log).epochs] == [
        (1, 30.0, 1),
        (2, None, 2),
        (3, 10.0, 1),
    ]


WHOLE = lines(start(), epoch(1, 3.0))


@pytest.mark.parametrize(
    ("log", "epochs", "sessions", "unreadable"),
    [
        ("", [], 0, 0),
        (WHOLE + '{"event": "epoch", "epo', [1], 1, 0),
        (WHOLE + lines(epoch(2, 1.0)).rstrip("\n"), [1, 2], 1, 0),
        (WHOLE + "not json\n[1]\n\n" + lines(epoch(2, 1.0)), [1, 2], 1, 2),
        (WHOLE + '{"event": "epo' + lines(start(step=10), epoch(2, 1.0)), [1, 2], 2, 0),
        (
            WHOLE + lines(epoch(0, 1.0), epoch(True, 1.0), {"event": "epoch", "epoch": "2"}, {"event": "epoch"}),
            [1],
            1,
            0,
        ),
        (WHOLE + "[" * 100_000 + "\n", [1], 1, 1),
        (WHOLE + '{"event": "epoch", "epoch": ' + "9" * 5000 + "}\n", [1], 1, 1),
    ],
    ids=["empty", "half line", "no newline", "damaged", "resumed behind a half line", "no epochs", "nested", "long"],
)
def test_a_damaged_log_is_read_as_far_as_it_can_be(log: str, epochs: list[int], sessions: int, unreadable: int) -> None:
    history = parse_history(log)
    assert [e.epoch for e in history.epochs] == epochs
    assert history.sessions == sessions
    assert history.unreadable_lines == unreadable


@pytest.mark.parametrize("written", ["NaN", "Infinity", "null", '"0.5"', "true", "1.5", "-0.1", "1" + "0" * 400])
def test_a_score_that_is_none_is_left_out(written: str) -> None:
    log = f'{{"event": "validation", "epoch": 1, "miou": {written}, "iou": {{"road": {written}}}}}\n'
    history = parse_history(log)
    assert history.validations[0].miou is None
    assert history.validations[0].class_iou == {"road": None}
    assert history.best is None


@pytest.mark.parametrize(
    ("mious", "expected"),
    [([0.2, 0.5, 0.4], 2), ([0.5, 0.5], 1), ([None, 0.0, None], 2), ([None], None), ([], None)],
)
def test_best_is_the_first_with_the_highest_miou(mious: list[float | None], expected: int | None) -> None:
    log = lines(*(validation(index + 1, miou) for index, miou in enumerate(mious)))
    best = parse_history(log).best
    assert (best.epoch if best else None) == expected
