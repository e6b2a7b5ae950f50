"""The history of a run, from its log: epochs, validations and what was skipped.

A log is read as far as it can be: a line may be half-written by a run that goes on or was killed, values may be null
or NaN, and a resumed run repeats epochs, of which the later ones count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_high
from typing import Any

_EVENT_START = '{"event"'


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training; ``seconds`` is the run's time so far, ``skipped_steps`` its count so far.

    ``loss`` is the epoch's mean, None where no step counted; ``learning_rate`` and ``images_per_s`` are None where they
    were not logged. ``session`` is the start of the run, counted from 1, that ended the epoch.
    """

    epoch: int
    loss: float | None
    seconds: float | None
    learning_rate: float | None
    skipped_steps: int
    images_per_s: float | None
    session: int


@dataclass(frozen=True)
class ValidationRecord:
    """The scores of one validation, 0..1; None where a score is not defined."""

    epoch: int
    miou: float | None
    pixel_accuracy: float | None
    class_iou: Mapping[str, float | None]


@dataclass(frozen=True)
class History:
    """What a log tells, epochs and validations in order; ``sessions`` counts the run's starts.

    ``unreadable_lines`` counts the lines that are no event; a last line that is still being written is not counted.
    """

    epochs: tuple[EpochRecord, ...]
    validations: tuple[ValidationRecord, ...]
    sessions: int
    skipped_samples: tuple[str, ...]
    unreadable_lines: int

    @property
    def best(self) -> ValidationRecord | None:
        """The first validation with the highest mIoU, as training keeps it; None before one was made."""
        scored = [record for record in self.validations if record.miou is not None]
        return max(scored, key=lambda record: record.miou or 0.0, default=None)

    @property
    def epochs_done(self) -> int:
        """Number of the last epoch, 0 before it ended."""
        return self.epochs[-1].epoch if self.epochs else 0

    @property
    def seconds(self) -> float | None:
        """Time of the run over all its sessions, None where no epoch says it."""
        return next((record.seconds for record in reversed(self.epochs) if record.seconds is not None), None)

    @property
    def skipped_steps(self) -> int:
        """Steps whose loss was not finite."""
        return self.epochs[-1].skipped_steps if self.epochs else 0

    @property
    def images_per_s(self) -> float | None:
        """Median rate over the epochs since the run was last started, of two the higher; None before the first.

        An epoch whose steps were all taken before has a rate of 0, which does not count.
        """
        rates = [record.images_per_s for record in self.epochs if record.session == self.sessions]
        return median_high(counted) if (counted := [rate for rate in rates if rate]) else None


def parse_history(text: str) -> History:
    """Read the text of a ``log.jsonl``; events of other kinds are passed over."""
    *lines, unfinished = text.split("\n")
    if _parse_event(unfinished) is not None:
        lines.append(unfinished)
    epochs: dict[int, EpochRecord] = {}
    validations: dict[int, ValidationRecord] = {}
    skipped: dict[str, None] = {}
    sessions = unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        event = _parse_event(line)
        kind, epoch = (event.get("event"), _count(event.get("epoch"))) if event else (None, None)
        if event is None:
            unreadable += 1
        elif kind == "start":
            sessions += 1
            skipped.update(dict.fromkeys(_texts(event.get("skipped_samples"))))
        elif kind == "epoch" and epoch:
            epochs[epoch] = _epoch_record(epoch, event, sessions)
        elif kind == "validation" and epoch:
            validations[epoch] = _validation_record(epoch, event)
    return History(
        tuple(epochs[number] for number in sorted(epochs)),
        tuple(validations[number] for number in sorted(validations)),
        sessions,
        tuple(skipped),
        unreadable,
    )


def _parse_event(line: str) -> dict[str, Any] | None:
    """Read one event; one that a resumed run wrote behind the half line of a killed one is found as well."""
    for start in {0, max(0, line.rfind(_EVENT_START))}:
        try:
            event = json.loads(line[start:])
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            return event
    return None


def _epoch_record(epoch: int, event: Mapping[str, Any], session: int) -> EpochRecord:
    return EpochRecord(
        epoch,
        _finite(event.get("loss")),
        _finite(event.get("seconds")),
        _finite(event.get("learning_rate")),
        _count(event.get("skipped_steps")) or 0,
        _finite(event.get("images_per_s")),
        session,
    )


def _validation_record(epoch: int, event: Mapping[str, Any]) -> ValidationRecord:
    classes = event.get("iou")
    named = classes.items() if isinstance(classes, dict) else ()
    class_iou = {str(name): _share(value) for name, value in named}
    return ValidationRecord(epoch, _share(event.get("miou")), _share(event.get("pixel_accuracy")), class_iou)


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None


def _share(value: Any) -> float | None:
    number = _finite(value)
    return number if number is not None and 0 <= number <= 1 else None


def _count(value: Any) -> int | None:
    """Give a whole number that is not negative, within what an epoch or a step can be."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _texts(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []
