"""The confusion matrix of the best weights as a table: each row is one true class, its pixels in per cent.

Shapes: C is the number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.evaluation.scores import Scores
from contextnet.reporting.markup import Html, element, join
from contextnet.reporting.overview import run_key
from contextnet.reporting.run_record import RunRecord

SHOWN_MISTAKES = 8
_STRONG = 0.5


@dataclass(frozen=True)
class Mistake:
    """Pixels of one class taken for another; ``share_of_class`` is 0..1 of the true class's pixels."""

    truth: str
    prediction: str
    pixels: int
    share_of_class: float


def matrix_section(runs: Sequence[RunRecord]) -> Html:
    """Draw the matrix of every run that has scores; it says so for the others."""
    return join(_card(index, run) for index, run in enumerate(runs))


def row_shares(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give each row of counts (C, C + 1) as shares of its sum; NaN in the rows of classes without a pixel."""
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.full(confusion.shape, np.nan)
    np.divide(confusion, totals, out=shares, where=totals > 0)
    return shares


def largest_mistakes(scores: Scores, count: int = SHOWN_MISTAKES) -> tuple[Mistake, ...]:
    """Name the pairs of classes with the most pixels off the diagonal, the most frequent first."""
    predictions = (*scores.class_names, "void")
    shares = row_shares(scores.confusion)
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    cells = [divmod(int(place), wrong.shape[1]) for place in order]
    return tuple(
        Mistake(scores.class_names[row], predictions[column], int(wrong[row, column]), float(shares[row, column]))
        for row, column in cells
        if wrong[row, column]
    )


def _card(index: int, run: RunRecord) -> Html:
    head = element("h3", run_key(index), run.name)
    if run.scores is None:
        return element("div", head, element("p", "No scores of best weights yet.", class_="note"), class_="card")
    parts = (element("div", _table(run.scores), class_="scroll"), _mistakes(run.scores))
    return element("div", head, element("div", *parts, class_="beside"), class_="card")


def _table(scores: Scores) -> Html:
    shares = row_shares(scores.confusion)
    with_void = bool(scores.confusion[:, -1].any())
    columns = (*scores.class_names, "void") if with_void else scores.class_names
    heads = [element("th", element("div", name), scope="col") for name in columns]
    head = element(
        "tr", element("th", "truth ↓ prediction →"), *heads, element("th", element("div", "share of pixels"))
    )
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(_cell(name, other, shares[row, column], row == column) for column, other in enumerate(columns)),
            element("td", f"{100 * scores.pixels[row] / sum(scores.pixels):.1f} %", class_="total"),
        )
        for row, name in enumerate(scores.class_names)
    ]
    return element("table", element("thead", head), element("tbody", *rows), class_="matrix")


def _cell(truth: str, prediction: str, share: float, hit: bool) -> Html:
    """Colour one cell by its share; shares that round to nothing stay empty, their tip still tells them."""
    if np.isnan(share):
        return element("td", "–", class_="faint", title=f"no pixel of {truth} in the data")
    kind = "hit" if hit else "miss"
    css = f"{kind} strong" if share > _STRONG else kind
    percent = f"{100 * share:.0f}"
    said = f"{100 * share:.2f} % of {truth} is labelled {prediction}"
    return element(
        "td", "" if percent == "0" and not hit else percent, class_=css, style=f"--v:{100 * share:.1f}%", title=said
    )


def _mistakes(scores: Scores) -> Html:
    total = sum(scores.pixels)
    rows = [
        element(
            "tr",
            element("td", f"{mistake.truth} → {mistake.prediction}"),
            element("td", f"{100 * mistake.share_of_class:.1f} %"),
            element("td", f"{100 * mistake.pixels / total:.2f} %"),
        )
        for mistake in largest_mistakes(scores)
    ]
    if not rows:
        return element("p", "Not one labelled pixel is wrong.", class_="note")
    heads = [element("th", text, scope="col") for text in ("truth → prediction", "of the class", "of all pixels")]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows))
    return element("div", element("h4", "The mistakes that cost the most pixels"), table, class_="mistakes")
