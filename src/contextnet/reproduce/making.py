"""The paper's tables and figures by name, and how each is made: trained, scored, timed, laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from contextnet.errors import ContextNetError
from contextnet.evaluation.evaluator import evaluate
from contextnet.evaluation.scores import Scores
from contextnet.models.ensemble import Ensemble
from contextnet.models.storage import read_weights
from contextnet.reproduce.accuracy import (
    MEMBERS,
    NETWORKS_OF_TABLE_6,
    VARIANTS_OF_TABLE_4,
    Result,
    ensemble_table,
    result_of,
    table4,
    table5,
    table6,
)
from contextnet.reproduce.figure2 import Figure2, choose_samples, draw_figure2, read_images
from contextnet.reproduce.figure2_table import figure2_table
from contextnet.reproduce.layer_tables import layer_tables
from contextnet.reproduce.pruning import NETWORK, pruning_table, train_chain
from contextnet.reproduce.speed import SpeedRun, measure_speeds
from contextnet.reproduce.speed_tables import COMPARED, place_words, table7
from contextnet.reproduce.table import Table
from contextnet.reproduce.trainings import Trainings, plain_name, slug, subject_of
from contextnet.runtime.segmenter import EngineChoice
from contextnet.training.preparation import ShowProgress
from contextnet.weights.catalogue import find_weights, read_label_values

Size = tuple[int, int]

SHIPPED = ("cn14-camvid", "cn14-synthetic")
"""The networks that Figure 2 takes where none is named: the one with the data's classes."""


@dataclass(frozen=True)
class Made:
    """One table, under the name that its files have, and the figure that it tells of, if it is one."""

    stem: str
    table: Table
    figure: Figure2 | None = None


@dataclass(frozen=True)
class Wishes:
    """What is to be made of what: ``trainings`` for each data set, image ``sizes``, the engine that is timed.

    ``images`` are those of Figure 2: indices or names of a data set's, or files where there is no data set; ``weights``
    its network, None for a shipped one with the data's classes, or else one that is trained. ``command`` is noted.
    ``show`` opens a progress display.
    """

    trainings: tuple[Trainings, ...]
    sizes: tuple[Size, ...]
    choice: EngineChoice
    images: tuple[str, ...]
    weights: str | None
    command: str
    show: ShowProgress


@dataclass(frozen=True)
class Workshop:
    """Makes tables and figures; what several of them need is made once."""

    wishes: Wishes
    _results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def make(self, name: str) -> Iterator[Made]:
        """Make one of ``THINGS``, one table after another as they are done.

        Raises ``ContextNetError`` when data, network or engine cannot be used, and ``Stopped`` when a training is
        stopped: the same call goes on.
        """
        yield from THINGS[name](self)

    @cached_property
    def variant_speeds(self) -> SpeedRun:
        """The networks of Table 4, timed in one run at the first size."""
        return measure_speeds(VARIANTS_OF_TABLE_4, self.wishes.sizes[0], self.wishes.choice, self.wishes.show)

    def results(self, trainings: Trainings, networks: Sequence[str]) -> list[Result]:
        """Train networks on one data set, or take them as they are, and give their scores."""
        for network in networks:
            key = (trainings.source, network)
            if key not in self._results:
                self._results[key] = result_of(network, trainings.train(subject_of(network)))
        return [self._results[trainings.source, network] for network in networks]

    def facts(self, trainings: Trainings) -> dict[str, Any]:
        """Say what a table was made on and with."""
        return {
            "data": trainings.open_validation().name,
            "source": trainings.source,
            "recipe": trainings.recipe_name,
            "changes": list(trainings.overrides),
            "budget_minutes": trainings.minutes,
            "machine": place_words(_device_name(trainings.device)),
            "command": self.wishes.command,
        }


def _layers(number: int) -> Callable[[Workshop], Iterator[Made]]:
    def make(workshop: Workshop) -> Iterator[Made]:
        table = layer_tables(workshop.wishes.sizes[0])[number - 1]
        yield Made(f"table{number}", _noted(table, workshop))

    return make


def _noted(table: Table, workshop: Workshop) -> Table:
    facts = {**table.facts, "command": workshop.wishes.command}
    return Table(table.name, table.title, table.columns, table.rows, table.notes, facts)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _table4(workshop: Workshop) -> Iterator[Made]:
    for trainings in _data(workshop):
        # What cannot be timed is said before hours are spent on trainings.
        speeds = workshop.variant_speeds
        results = workshop.results(trainings, VARIANTS_OF_TABLE_4)
        table = table4(results, speeds, workshop.facts(trainings))
        yield Made(f"table4-{slug(trainings.source)}", table)


def _table5(workshop: Workshop) -> Iterator[Made]:
    for trainings in _data(workshop):
        results = workshop.results(trainings, VARIANTS_OF_TABLE_4)
        yield Made(f"table5-{slug(trainings.source)}", table5(results, workshop.facts(trainings)))


def _table6(workshop: Workshop) -> Iterator[Made]:
    for trainings in _data(workshop):
        results = workshop.results(trainings, NETWORKS_OF_TABLE_6)
        yield Made(f"table6-{slug(trainings.source)}", table6(results, workshop.facts(trainings)))


def _table7(workshop: Workshop) -> Iterator[Made]:
    wishes = workshop.wishes
    for size_hw in wishes.sizes:
        run = measure_speeds(COMPARED, size_hw, wishes.choice, wishes.show)
        height, width = size_hw
        device = "" if run.engine.device == "cpu" else f"-{plain_name(run.engine.device)}"
        yield Made(f"table7-{height}x{width}{device}", table7(run, wishes.command))


def _ensemble(workshop: Workshop) -> Iterator[Made]:
    for trainings in _data(workshop):
        *members, ours = workshop.results(trainings, (*MEMBERS, NETWORK))
        table = ensemble_table(members, _together(workshop, trainings, members), ours, workshop.facts(trainings))
        yield Made(f"ensemble-{slug(trainings.source)}", table)


def _together(workshop: Workshop, trainings: Trainings, members: Sequence[Result]) -> Scores | None:
    """Score the average of networks; None where one of them was not trained."""
    weights = [member.trained.weights for member in members if member.trained and member.trained.weights]
    if len(weights) < len(members):
        return None
    networks = [read_weights(path).build() for path in weights]
    with workshop.wishes.show("scoring the ensemble") as progress:
        return evaluate(Ensemble(networks), trainings.open_validation(), progress).scores


def _pruning(workshop: Workshop) -> Iterator[Made]:
    for trainings in _data(workshop):
        table = pruning_table(train_chain(trainings), workshop.facts(trainings))
        yield Made(f"pruning-{slug(trainings.source)}", table)


def _figure2(workshop: Workshop) -> Iterator[Made]:
    wishes = workshop.wishes
    if not wishes.trainings:
        if not wishes.images:
            raise ContextNetError("figure2 shows images; give --data KIND:ROOT, or --image FILE")
        weights = read_weights(find_weights(wishes.weights or SHIPPED[0]))
        figure = draw_figure2(weights, read_images([Path(image) for image in wishes.images]))
        yield Made("figure2", figure2_table(figure, {"command": wishes.command}), figure)
    for trainings in wishes.trainings:
        data = trainings.open_validation()
        weights = read_weights(_figure2_weights(workshop, trainings, data.labels.names))
        picks = [int(image) if image.isdecimal() else image for image in wishes.images]
        figure = draw_figure2(weights, choose_samples(data, weights.labels, picks))
        facts = {"data": data.name, "command": wishes.command}
        yield Made(f"figure2-{slug(trainings.source)}", figure2_table(figure, facts), figure)


def _figure2_weights(workshop: Workshop, trainings: Trainings, class_names: tuple[str, ...]) -> Path:
    """Choose the network that is asked for, or the shipped one with these classes, or train cn14."""
    if workshop.wishes.weights is not None:
        return find_weights(workshop.wishes.weights)
    for path in map(find_weights, SHIPPED):
        if tuple(entry["name"] for entry in read_label_values(path)["classes"]) == class_names:
            return path
    (result,) = workshop.results(trainings, (NETWORK,))
    if result.trained is None or result.trained.weights is None:
        raise ContextNetError(f"{result.network}: {result.remark}; give a longer --budget, or --weights")
    return result.trained.weights


def _data(workshop: Workshop) -> tuple[Trainings, ...]:
    if not workshop.wishes.trainings:
        raise ContextNetError("networks are trained for this; give --data KIND:ROOT, as in camvid:/data/camvid")
    return workshop.wishes.trainings


def _all(workshop: Workshop) -> Iterator[Made]:
    _data(workshop)  # before what is quick
    for name, make in THINGS.items():
        if name != "all":
            yield from make(workshop)


THINGS: dict[str, Callable[[Workshop], Iterator[Made]]] = {
    **{f"table{number}": _layers(number) for number in (1, 2, 3)},
    "table7": _table7,
    "figure2": _figure2,
    "table5": _table5,
    "ensemble": _ensemble,
    "table6": _table6,
    "pruning": _pruning,
    "table4": _table4,
    "all": _all,
}
"""What can be made, and how; ``all`` makes them in this order: what is quick comes first."""
