"""Alerts: a line of JSON when a class has been in a region for some frames in a row, and one when it has left.

    python examples/alerts.py street.mp4 examples/rules.yaml --video labelled.mp4

The rules stand in a YAML or JSON file; ``Rule`` says what may stand there, and rules.yaml is one to begin with. In a
loop of your own:

    alerts = Alerts(read_rules(Path("rules.yaml")), segmenter.label_set)
    for result in segmenter.stream(frames):
        for alert in alerts.update(result): ...
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import yaml
from av import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contextnet.errors import ContextNetError, StreamError
from contextnet.labels import LabelSet
from contextnet.runtime import Segmentation, Segmenter
from contextnet.streaming import LabelStream, Sink, open_sink, open_source

Share = Annotated[float, Field(ge=0, le=1)]
Pixel = Annotated[float, Field(ge=0, le=65_535)]
SharePoint = Annotated[list[Share], Field(min_length=2, max_length=2)]
PixelPoint = Annotated[list[Pixel], Field(min_length=2, max_length=2)]

_REMEDY = "examples/rules.yaml shows what a file of rules looks like"


class Rule(BaseModel):
    """One rule: an alert begins when it has held for ``frames`` labelled frames in a row, and ends when it has not.

    It holds where pixels of ``classes``, taken together, are at least ``least_share`` (0..1) of the region, or
    ``least_px``. The region is ``polygon``, points [x, y] in shares of the picture's width and height, or
    ``polygon_px``, in pixels from its top-left corner, or the whole picture.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    classes: list[str] = Field(min_length=1)
    frames: int = Field(ge=1)
    polygon: list[SharePoint] | None = Field(None, min_length=3)
    polygon_px: list[PixelPoint] | None = Field(None, min_length=3)
    least_share: float | None = Field(None, gt=0, le=1)
    least_px: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _require_one_of_two(self) -> Self:
        if (self.least_share is None) == (self.least_px is None):
            raise ValueError("give either least_share or least_px")
        if self.polygon is not None and self.polygon_px is not None:
            raise ValueError("give either polygon or polygon_px, or neither for the whole picture")
        return self


class RuleFile(BaseModel):
    """A file of rules, each with a name of its own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rules: list[Rule] = Field(min_length=1)

    @model_validator(mode="after")
    def _require_own_names(self) -> Self:
        names = [rule.name for rule in self.rules]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the name '{repeated[0]}' stands twice; give each rule its own")
        return self


def read_rules(path: Path) -> list[Rule]:
    """Read a YAML or JSON file of rules. Raises ``ContextNetError`` naming the file and the first wrong field."""
    try:
        return RuleFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).rules
    except OSError as error:
        raise ContextNetError.at(path, f"cannot be read: {error.strerror}", "give a file of rules") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "rules"
        found = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            found = f"there is no such key; a rule has {', '.join(Rule.model_fields)}"
        raise ContextNetError.at(path, f"{field}: {found[0].lower()}{found[1:]}", _REMEDY) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ContextNetError.at(path, f"is neither YAML nor JSON: {reason}", _REMEDY) from None


@dataclass(frozen=True)
class Alert:
    """What has begun or ended, at which frame, and how much of the region the rule's classes took there.

    ``time_s`` is the frame's own time, None where the result is not of a stream.
    """

    event: Literal["begin", "end"]
    rule: str
    index: int
    time_s: float | None
    pixels: int
    share: float


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of a region: bool ``mask`` over the ``box`` around them, and their number."""

    box: tuple[slice, slice]
    mask: NDArray[np.bool_]
    pixels: int

    @classmethod
    def of(cls, rule: Rule, size_hw: tuple[int, int]) -> Region:
        """Rasterise a rule's region for pictures of one size. Raises ``StreamError`` when none of it is in them."""
        height, width = size_hw
        scale_x, scale_y = (1, 1) if rule.polygon_px else (width, height)
        points = rule.polygon_px or rule.polygon or [[0, 0], [1, 0], [1, 1], [0, 1]]
        # A pixel belongs to the region if its centre does. Pillow draws at whole numbers: at twice the size, centres
        # are the odd ones.
        doubled = Image.new("1", (2 * width, 2 * height))
        ImageDraw.Draw(doubled).polygon([(round(2 * x * scale_x), round(2 * y * scale_y)) for x, y in points], fill=1)
        mask = np.asarray(doubled)[1::2, 1::2]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            found = f"its polygon holds no pixel of a picture of {height}×{width} (height × width)"
            raise StreamError.at(f"rule '{rule.name}'", found, "move or enlarge it, or give it in shares")
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return cls(box, mask[box].copy(), int(np.count_nonzero(mask)))


class RuleWatch:
    """One rule and how long it has held, or has not. Raises ``ContextNetError`` when a class is unknown."""

    def __init__(self, rule: Rule, label_set: LabelSet) -> None:
        self.rule = rule
        self._is_wanted = np.zeros(256, np.bool_)
        for name in rule.classes:
            self._is_wanted[_train_id(rule, name, label_set)] = True
        self._size_hw = (0, 0)
        self._region: Region | None = None
        self._is_on = False
        self._against = 0

    def measure(self, labels: NDArray[np.uint8]) -> tuple[int, float]:
        """Count the pixels of the rule's classes within its region, and their share of it, in uint8 (H, W)."""
        size_hw = (labels.shape[0], labels.shape[1])
        if self._region is None or size_hw != self._size_hw:
            self._region, self._size_hw = Region.of(self.rule, size_hw), size_hw
        region = self._region
        pixels = int(np.count_nonzero(self._is_wanted[labels[region.box]] & region.mask))
        return pixels, pixels / region.pixels

    def note(self, pixels: int, share: float) -> Literal["begin", "end"] | None:
        """Note one frame, and tell whether the alert begins or ends with it."""
        rule = self.rule
        holds = pixels >= rule.least_px if rule.least_px is not None else share >= (rule.least_share or 0)
        self._against = self._against + 1 if holds != self._is_on else 0
        if self._against < rule.frames:
            return None
        self._is_on, self._against = holds, 0
        return "begin" if holds else "end"


def _train_id(rule: Rule, name: str, label_set: LabelSet) -> int:
    if name not in label_set.names:
        near = difflib.get_close_matches(name, label_set.names, n=1, cutoff=0.0)[0]
        found = f"the classes of '{label_set.name}' have no '{name}'"
        raise ContextNetError.at(f"rule '{rule.name}'", found, f"the nearest is '{near}'")
    return label_set.names.index(name)


class Alerts:
    """All rules, over results with the classes of ``label_set``, given one after another."""

    def __init__(self, rules: Sequence[Rule], label_set: LabelSet) -> None:
        self._watches = [RuleWatch(rule, label_set) for rule in rules]
        self._label_set = label_set
        self._count = 0

    def update(self, result: Segmentation) -> list[Alert]:
        """Give the alerts that begin or end with a result, in the order of the rules.

        Results without a frame are counted from 0. Raises ``ValueError`` when the result has other classes.
        """
        if result.label_set != self._label_set:
            raise ValueError(f"the result has the classes of '{result.label_set.name}', not '{self._label_set.name}'")
        index, time_s = (self._count, None) if result.frame is None else (result.frame.index, result.frame.time_s)
        self._count += 1
        alerts = []
        for watch in self._watches:
            pixels, share = watch.measure(result.labels)
            if (event := watch.note(pixels, share)) is not None:
                alerts.append(Alert(event, watch.rule.name, index, time_s, pixels, share))
        return alerts


class AlertSink:
    """A sink that writes each alert as a line of JSON at once, to a file or, without a path, to standard output.

    An alert that is on when the stream ends has no line for its end. Raises ``StreamError`` when it cannot write.
    """

    needs_picture = False

    def __init__(self, alerts: Alerts, path: Path | None = None) -> None:
        self.name = "alerts on standard output" if path is None else str(path)
        self._alerts = alerts
        self._is_file = path is not None
        try:
            self._file = sys.stdout if path is None else path.open("w", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from None

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Write the alerts that begin or end with a result."""
        for alert in self._alerts.update(result):
            try:
                self._file.write(json.dumps(asdict(alert)) + "\n")
                self._file.flush()
            except OSError as error:
                raise self._failure(error) from None

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._is_file:
            with suppress(OSError):
                self._file.close()

    def _failure(self, error: OSError) -> StreamError:
        return StreamError.at(
            self.name, f"cannot be written: {error.strerror}", "check its folder, its disk or who reads it"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Watch a source by the rules of a file."""
    parser = argparse.ArgumentParser(description="Alerts as lines of JSON, by rules on classes and regions.")
    parser.add_argument("source", help="a video, a folder of images, a camera (0) or an address (rtsp://…)")
    parser.add_argument("rules", type=Path, help="a YAML or JSON file of rules")
    parser.add_argument("--network", default="cn14-camvid-int8", help="a shipped network or a model file")
    parser.add_argument("--output", type=Path, help="where the alerts go (standard output)")
    parser.add_argument("--video", help="a video to write, or http://localhost:8080 to watch")
    options = parser.parse_args(arguments)
    try:
        rules = read_rules(options.rules)
        with Segmenter.load(options.network) as segmenter, closing(open_source(options.source)) as source:
            sinks: list[Sink] = [AlertSink(Alerts(rules, segmenter.label_set), options.output)]
            if options.video:
                sinks.append(open_sink(options.video, source.info.rate))
            with LabelStream(segmenter, source, sinks) as stream, suppress(KeyboardInterrupt):
                while not stream.wait(timeout_s=0.5):
                    pass  # Windows hears Ctrl-C between waits only
    except ContextNetError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
