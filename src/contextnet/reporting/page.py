"""The whole page: sections in reading order, in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contextnet.reporting.classes import class_sections
from contextnet.reporting.curves import NARROW, WIDE, Better, Curve, Plot, plot_card
from contextnet.reporting.markup import Html, element, join
from contextnet.reporting.matrix import matrix_section
from contextnet.reporting.overview import facts_table, faults_section, recipe_section, tiles
from contextnet.reporting.run_record import RunRecord
from contextnet.reporting.style import style_sheet

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

Values = Sequence[tuple[int, float | None]]


def render_page(runs: Sequence[RunRecord], pictures: Html) -> str:
    """Write the page of one run or several; ``pictures`` is the section of best and worst images.

    The page is one HTML document without scripts, fonts or any address outside itself.
    """
    names = [run.name for run in runs]
    title = f"Training report: {', '.join(names)}"
    sections = [
        element("h1", title),
        element("p", _said_of(runs), class_="soft"),
        tiles(runs),
        _section("What was trained", facts_table(runs), recipe_section(runs)),
        _section("Curves", _curves(runs)),
        _section("Classes", class_sections(runs)),
        _section("Confusion matrix", element("p", _MATRIX_NOTE, class_="note"), matrix_section(runs)),
        _section("Best and worst images", pictures),
        _section("Skipped and unreadable", faults_section(runs)),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(style_sheet())),
    )
    body = element("body", element("main", *sections))
    return f"<!doctype html>\n{element('html', head, body, lang='en').source}\n"


_MATRIX_NOTE = (
    "The best weights on the validation split. Each row is a true class: how many per cent of its pixels got which "
    "label. Blue is right, red is wrong; shares below half a per cent are left out."
)
_LOSS_NOTE = "Losses compare between runs only where the loss and its weights are the same."


def _section(title: str, *parts: Html) -> Html:
    return element("section", element("h2", title), *parts)


def _said_of(runs: Sequence[RunRecord]) -> str:
    sources = dict.fromkeys(run.recipe.get("data.source", "data unknown") for run in runs)
    count = "One run" if len(runs) == 1 else f"{len(runs)} runs side by side"
    return f"{count}, on {', '.join(sources)}."


def _curves(runs: Sequence[RunRecord]) -> Html:
    plots = [
        _plot("Validation mIoU", runs, _miou, "high", "%"),
        _plot("Validation pixel accuracy", runs, _accuracy, "high", "%"),
        _plot("Training loss", runs, _loss, "low", digits=3, note=_LOSS_NOTE if len(runs) > 1 else ""),
    ]
    rates = _plot("Learning rate", runs, _rate, None, digits=4)
    if any(curve.points for curve in rates.curves):
        plots.append(rates)
    width, css = (NARROW, "grid plots") if len(plots) == 3 else (WIDE, "grid")
    return element("div", join(plot_card(plot, width) for plot in plots), class_=css)


def _plot(
    title: str,
    runs: Sequence[RunRecord],
    values_of: Callable[[RunRecord], Values],
    better: Better | None,
    unit: str = "",
    *,
    digits: int = 1,
    note: str = "",
) -> Plot:
    curves = tuple(Curve(index, run.name, tuple(values_of(run))) for index, run in enumerate(runs))
    return Plot(title, curves, better, unit, digits, note)


def _loss(run: RunRecord) -> Values:
    return [(record.epoch, record.loss) for record in run.history.epochs]


def _rate(run: RunRecord) -> Values:
    return [(record.epoch, record.learning_rate) for record in run.history.epochs]


def _miou(run: RunRecord) -> Values:
    return [(record.epoch, _in_percent(record.miou)) for record in run.history.validations]


def _accuracy(run: RunRecord) -> Values:
    return [(record.epoch, _in_percent(record.pixel_accuracy)) for record in run.history.validations]


def _in_percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
