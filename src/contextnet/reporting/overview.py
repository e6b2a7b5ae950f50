"""What was trained: a tile and a column of facts for each run, and where the recipes differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contextnet.reporting.markup import Html, element, join
from contextnet.reporting.run_record import RunRecord
from contextnet.reporting.style import series_class

_SHOWN_SKIPPED = 50


def tiles(runs: Sequence[RunRecord]) -> Html:
    """Show each run's best scores large, in the run's colour."""
    return element("div", *(_tile(index, run) for index, run in enumerate(runs)), class_="tiles")


def facts_table(runs: Sequence[RunRecord]) -> Html:
    """Put what is known of the runs side by side."""
    rows = [
        element("tr", element("th", label, scope="row"), *(element("td", fact(run)) for run in runs))
        for label, fact in _FACTS.items()
    ]
    return element("div", element("table", _head(runs), element("tbody", *rows), class_="runs"), class_="card scroll")


def recipe_section(runs: Sequence[RunRecord]) -> Html:
    """Show where the recipes differ, and every key of them on request."""
    keys = list(dict.fromkeys(key for run in runs for key in run.recipe))
    different = [key for key in keys if differs(runs, key)]
    whole = element(
        "details",
        element("summary", "The whole recipe" if len(runs) == 1 else f"All {len(keys)} keys of the recipes"),
        element("div", _recipe_table(runs, keys), class_="scroll"),
    )
    if len(runs) == 1:
        return element("div", element("h3", "Recipe"), whole, class_="card")
    if not different:
        equal = element("p", "The recipes are equal in every key.", class_="note")
        return element("div", element("h3", "Recipes"), equal, whole, class_="card")
    note = element("p", "Values unlike those of the first run are highlighted.", class_="note")
    table = element("div", _recipe_table(runs, different), class_="scroll")
    return element("div", element("h3", "Where the recipes differ"), note, table, whole, class_="card")


def differs(runs: Sequence[RunRecord], key: str) -> bool:
    """Tell whether the runs' recipes hold different values for a key, or only some hold it."""
    return len({run.recipe.get(key) for run in runs}) > 1


def faults_section(runs: Sequence[RunRecord]) -> Html:
    """List what training skipped and what of a run's files could not be read."""
    return join(_faults(index, run) for index, run in enumerate(runs))


def run_key(index: int) -> Html:
    """Draw the small square in the colour of run ``index``."""
    return element("span", class_=f"key {series_class(index)}")


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share 0..1 in per cent, the sign kept on the figure's line; a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f}\u00a0%"


def _tile(index: int, run: RunRecord) -> Html:
    best = run.history.best
    if best is None:
        number = element("p", "–", class_="big")
        under = "not validated yet"
    else:
        number = element("p", percent(best.miou), " ", element("small", "mIoU"), class_="big")
        under = f"in epoch {best.epoch}; pixel accuracy {percent(best.pixel_accuracy)}"
    name = element("h3", run_key(index), run.name)
    progress = element("div", _progress(run), class_="soft")
    return element(
        "div", name, number, element("div", under, class_="soft"), progress, class_=f"card {series_class(index)}"
    )


def _progress(run: RunRecord) -> str:
    planned = run.planned_epochs
    hours = "" if run.history.seconds is None else f", {_duration(run.history.seconds)}"
    if planned is None:
        return f"{run.history.epochs_done} epochs{hours}"
    ending = "" if run.history.epochs_done >= planned else " so far"
    return f"{run.history.epochs_done} of {planned} epochs{ending}{hours}"


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _network(run: RunRecord) -> str:
    if name := run.recipe.get("network.architecture.name"):
        return name
    width = run.recipe.get("network.width", "1.0")
    words = [run.recipe.get("network.variant", "–")]
    words += [f"width {width}"] if width not in {"1", "1.0"} else []
    words += ["pyramid pooling"] if run.recipe.get("network.pyramid_pooling") == "true" else []
    return ", ".join(words)


def _data(run: RunRecord) -> str:
    train, val = run.recipe.get("data.train_split", "train"), run.recipe.get("data.val_split", "val")
    return f"{run.recipe.get('data.source', '–')}, trained on {train}, validated on {val}"


def _classes(run: RunRecord) -> str:
    return f"{run.weights.num_classes} ({run.weights.label_set})" if run.weights else "–"


def _miou(run: RunRecord) -> str:
    best = run.history.best
    return "–" if best is None else f"{percent(best.miou, 2)} in epoch {best.epoch}"


def _categories(run: RunRecord) -> str:
    return percent(run.scores.category_miou, 2) if run.scores else "–"


def _sessions(run: RunRecord) -> str:
    resumed = max(0, run.history.sessions - 1)
    return "in one go" if resumed == 0 else f"resumed {resumed} times" if resumed > 1 else "resumed once"


_FACTS: dict[str, Callable[[RunRecord], str]] = {
    "recipe": lambda run: run.recipe.get("name", "–"),
    "network": _network,
    "parameters": lambda run: f"{run.weights.parameters:,}" if run.weights else "–",
    "classes": _classes,
    "data": _data,
    "licence": lambda run: (run.weights.licence or "no notice") if run.weights else "–",
    "progress": _progress,
    "sessions": _sessions,
    "best mIoU": _miou,
    "category mIoU of the best": _categories,
    "pixel accuracy of the best": lambda run: percent(run.history.best.pixel_accuracy, 2) if run.history.best else "–",
    "skipped steps": lambda run: str(run.history.skipped_steps),
    "skipped samples": lambda run: str(len(run.history.skipped_samples)),
    "folder": lambda run: str(run.folder.root),
}
"""What the table says of a run, by its rows."""


def _head(runs: Sequence[RunRecord]) -> Html:
    heads = [element("th", run_key(index), run.name, scope="col") for index, run in enumerate(runs)]
    return element("thead", element("tr", element("td"), *heads))


def _recipe_table(runs: Sequence[RunRecord], keys: Sequence[str]) -> Html:
    """Put the runs' values of some keys side by side; those unlike the first run's are highlighted."""
    rows = []
    for key in keys:
        first = runs[0].recipe.get(key)
        cells = [
            element(
                "td",
                element("code", run.recipe.get(key, "–")),
                class_="other" if run.recipe.get(key) != first else None,
            )
            for run in runs
        ]
        rows.append(element("tr", element("th", element("code", key), scope="row"), *cells))
    return element("table", _head(runs), element("tbody", *rows), class_="runs")


def _faults(index: int, run: RunRecord) -> Html:
    steps, samples = run.history.skipped_steps, run.history.skipped_samples
    parts = [element("h3", run_key(index), run.name)]
    if steps:
        text = f"{steps} steps were skipped because their loss or gradient was NaN or infinite."
        parts.append(element("p", text, class_="warn"))
    if samples:
        parts.append(element("p", f"{len(samples)} samples were skipped because they cannot be read:", class_="warn"))
        shown = [element("li", element("code", sample)) for sample in samples[:_SHOWN_SKIPPED]]
        more = len(samples) - len(shown)
        parts.append(element("ul", *shown, *([element("li", f"and {more} more")] if more > 0 else [])))
    parts += [element("p", fault, class_="warn") for fault in run.faults]
    if len(parts) == 1:
        parts.append(element("p", "No step and no sample was skipped, and every file could be read.", class_="note"))
    return element("div", *parts, class_="card")
