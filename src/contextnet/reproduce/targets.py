"""The paper's tables and figures by name, and how each is made: trained, scored, timed, laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

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
from contextnet.reproduce.speed_tables import COMPARED, table7, what_differs
from contextnet.reproduce.table import Table
from contextnet.reproduce.trainings import Trainings, plain_name, slug, subject_of
from contextnet.runtime.engines.engine import EngineInfo
from contextnet.runtime.segmenter import EngineChoice
from contextnet.training.preparation import ShowProgress
from contextnet.weights.catalogue import find_weights, read_label_values

Size = tuple[int, int]

SHIPPED = {"camvid": "cn14-camvid", "synthetic": "cn14-synthetic"}
"""The networks that Figure 2 takes where none is named, by the kind of data that they were trained on."""

FOR_FILES = SHIPPED["camvid"]
"""The network that Figure 2 takes for image files where none is named."""


@dataclass(frozen=True)
class Product:
    """One table, under the name that its files have, and the figure that it tells of, if it is one."""

    stem: str
    table: Table
    figure: Figure2 | None = None


@dataclass(frozen=True)
class Request:
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
class Reproducer:
    """Makes tables and figures; what several of them need is made once."""

    request: Request
    _results: dict[tuple[str, str], Result] = field(default_factory=dict)

    def make(self, name: str) -> Iterator[Product]:
        """Make one of ``TARGETS``, one table after another as they are done.

        Raises ``ContextNetError`` when data, network or engine cannot be used, and ``Stopped`` when a training is
        stopped: the same call goes on.
        """
        yield from TARGETS[name](self)

    @cached_property
    def variant_speeds(self) -> SpeedRun:
        """The networks of Table 4, timed in one run at the first size."""
        return measure_speeds(VARIANTS_OF_TABLE_4, self.request.sizes[0], self.request.choice, self.request.show)

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
            "command": self.request.command,
        }


def _layers(number: int) -> Callable[[Reproducer], Iterator[Product]]:
    def make(reproducer: Reproducer) -> Iterator[Product]:
        table = layer_tables(reproducer.request.sizes[0])[number - 1]
        yield Product(f"table{number}", _noted(table, reproducer))

    return make


def _noted(table: Table, reproducer: Reproducer) -> Table:
    facts = {**table.facts, "command": reproducer.request.command}
    return Table(table.name, table.title, table.columns, table.rows, table.notes, facts)


def _table4(reproducer: Reproducer) -> Iterator[Product]:
    for trainings in _data(reproducer):
        # Before hours are spent on trainings, it is said what cannot be timed.
        speeds = reproducer.variant_speeds
        results = reproducer.results(trainings, VARIANTS_OF_TABLE_4)
        table = table4(results, speeds, reproducer.facts(trainings))
        yield Product(f"table4-{slug(trainings.source)}{_otherwise(speeds.engine)}", table)


def _table5(reproducer: Reproducer) -> Iterator[Product]:
    for trainings in _data(reproducer):
        results = reproducer.results(trainings, VARIANTS_OF_TABLE_4)
        yield Product(f"table5-{slug(trainings.source)}", table5(results, reproducer.facts(trainings)))


def _table6(reproducer: Reproducer) -> Iterator[Product]:
    for trainings in _data(reproducer):
        results = reproducer.results(trainings, NETWORKS_OF_TABLE_6)
        yield Product(f"table6-{slug(trainings.source)}", table6(results, reproducer.facts(trainings)))


def _table7(reproducer: Reproducer) -> Iterator[Product]:
    request = reproducer.request
    for size_hw in request.sizes:
        run = measure_speeds(COMPARED, size_hw, request.choice, request.show)
        height, width = size_hw
        yield Product(f"table7-{height}x{width}{_otherwise(run.engine)}", table7(run, request.command))


def _otherwise(engine: EngineInfo) -> str:
    """Name what times were measured on, as part of a file's name, where it is not what is usual."""
    return "".join(f"-{plain_name(part)}" for part in what_differs(engine))


def _ensemble(reproducer: Reproducer) -> Iterator[Product]:
    for trainings in _data(reproducer):
        *members, ours = reproducer.results(trainings, (*MEMBERS, NETWORK))
        table = ensemble_table(
            members, _ensemble_scores(reproducer, trainings, members), ours, reproducer.facts(trainings)
        )
        yield Product(f"ensemble-{slug(trainings.source)}", table)


def _ensemble_scores(reproducer: Reproducer, trainings: Trainings, members: Sequence[Result]) -> Scores | None:
    """Score the average of networks; None where one of them was not trained."""
    weights = [member.trained.weights for member in members if member.trained and member.trained.weights]
    if len(weights) < len(members):
        return None
    networks = [read_weights(path).build() for path in weights]
    with reproducer.request.show("scoring the ensemble") as progress:
        return evaluate(Ensemble(networks, trainings.device), trainings.open_validation(), progress).scores


def _pruning(reproducer: Reproducer) -> Iterator[Product]:
    for trainings in _data(reproducer):
        table = pruning_table(train_chain(trainings), reproducer.facts(trainings))
        yield Product(f"pruning-{slug(trainings.source)}", table)


def _figure2(reproducer: Reproducer) -> Iterator[Product]:
    request = reproducer.request
    if not request.trainings:
        if not request.images:
            raise ContextNetError("figure2 shows images; give --data KIND:ROOT, or --image FILE")
        weights = read_weights(find_weights(request.weights or FOR_FILES))
        figure = draw_figure2(weights, read_images([Path(image) for image in request.images]), request.choice.device)
        yield Product("figure2", figure2_table(figure, {"command": request.command}), figure)
    for trainings in request.trainings:
        data = trainings.open_validation()
        weights = read_weights(_figure2_weights(reproducer, trainings, data.labels.names))
        picks = [int(image) if image.isdecimal() else image for image in request.images]
        figure = draw_figure2(weights, choose_samples(data, weights.labels, picks), trainings.device)
        facts = {"data": data.name, "command": request.command}
        yield Product(f"figure2-{slug(trainings.source)}", figure2_table(figure, facts), figure)


def _figure2_weights(reproducer: Reproducer, trainings: Trainings, class_names: tuple[str, ...]) -> Path:
    """Choose the network that is asked for, or the shipped one of this kind of data and its classes, or train cn14."""
    if reproducer.request.weights is not None:
        return find_weights(reproducer.request.weights)
    if shipped := SHIPPED.get(trainings.source.partition(":")[0]):
        path = find_weights(shipped)
        if tuple(entry["name"] for entry in read_label_values(path)["classes"]) == class_names:
            return path
    (result,) = reproducer.results(trainings, (NETWORK,))
    if result.trained is None or result.trained.weights is None:
        raise ContextNetError(f"{result.network}: {result.remark}; give a longer --budget, or --weights")
    return result.trained.weights


def _data(reproducer: Reproducer) -> tuple[Trainings, ...]:
    if not reproducer.request.trainings:
        raise ContextNetError("networks are trained for this; give --data KIND:ROOT, as in camvid:/data/camvid")
    return reproducer.request.trainings


def _all(reproducer: Reproducer) -> Iterator[Product]:
    _data(reproducer)  # before what is quick
    failures: list[str] = []
    for name, make in TARGETS.items():
        if name == "all":
            continue
        try:
            yield from make(reproducer)
        except ContextNetError as error:
            failures.append(f"{name}: {error}")
    if failures:
        raise ContextNetError(f"not all was made; {'; '.join(failures)}")


TARGETS: dict[str, Callable[[Reproducer], Iterator[Product]]] = {
    **{f"table{number}": _layers(number) for number in (1, 2, 3)},
    "table7": _table7,
    "table5": _table5,
    "table4": _table4,
    "figure2": _figure2,
    "ensemble": _ensemble,
    "table6": _table6,
    "pruning": _pruning,
    "all": _all,
}
"""What can be made, and how; ``all`` makes them in this order, and what of it can be made where something cannot."""
