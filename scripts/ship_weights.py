"""Ship the best weights of a run: copy them without the training-only classifier, and write their model card.

    python scripts/ship_weights.py RUN NAME --command … --machine … --repeat … --use …
        [--recipe … --origin … --earlier RUN…]

Every figure on the card is read from the run's own files. ``--earlier`` names the runs that led to the one that is
shipped, of which ``--origin`` tells; their hours count. ``--recipe`` names the shipped recipe where the run's own has
another name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Any

from contextnet.evaluation.scores import Scores
from contextnet.files import write_text
from contextnet.models.storage import Weights, read_weights, write_weights
from contextnet.spec import VARIANTS
from contextnet.training.recipe.recipe import Recipe, read_recipe
from contextnet.training.run_folder import RunFolder

FOLDER = Path(__file__).parent.parent / "src" / "contextnet" / "weights"

WIDTH = 120

CARD = """# {name}

{variant}, {classes} classes ({label_set}), {parameters:,} parameters, {size_mb:.1f} MB.

{trained}
- **Command** `{command}`
- **Cost** {hours:.1f} hours on {machine}.
- **Licence of the data** {licence}

## Measured

On {validated_on}: one scale, no flipping, every pixel, at the size of the ground truth. The epoch was chosen by this
very split: epoch {best_epoch} of {epochs} is shipped; the last one has {last_miou:.2f} % mIoU.

| class | IoU % |
|---|--:|
{rows}
| **mean** | **{miou:.2f}** |

Pixel accuracy {accuracy:.2f} %. Repeat with `{repeat}`.

## Use

{use}
"""


@dataclass(frozen=True)
class Told:
    """What the card says that the run's files do not hold."""

    command: str
    machine: str
    use: str
    repeat: str
    origin: str
    recipe: str | None


def ship(run: RunFolder, name: str, told: Told, earlier: Sequence[RunFolder]) -> None:
    """Write ``NAME.safetensors`` and ``NAME.md`` into the package from a finished run."""
    weights, recipe = read_weights(run.best_weights), read_recipe(run.recipe)
    events = _events(run)
    scores = Scores.from_json(json.loads(run.scores.read_text(encoding="utf-8")))
    hours = sum(_hours(_events(folder)) for folder in (*earlier, run))
    training = {**weights.training, "command": told.command, "hours": round(hours, 2), "machine": told.machine}
    kept = {n: t for n, t in weights.tensors.items() if not n.startswith("auxiliary.")}
    # A network of the paper keeps its name; one that was pruned has none but that which it is shipped by.
    own_name = weights.spec.name if weights.spec.name in VARIANTS else name
    spec = replace(weights.spec, auxiliary=False, name=own_name)
    shipped = replace(weights, spec=spec, tensors=kept, training=training)
    target = FOLDER / f"{name}.safetensors"
    write_weights(target, shipped)
    size_mb = target.stat().st_size / 1e6
    write_text(FOLDER / f"{name}.md", _card(name, shipped, recipe, events, scores, size_mb, told))


def _events(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.log.read_text(encoding="utf-8").splitlines()]


def _hours(events: list[dict[str, Any]]) -> float:
    """Wall time from each start to the last event before the next one, summed."""
    seconds, started, latest = 0.0, None, 0.0
    for event in events:
        if event["event"] == "start":
            seconds += latest - started if started is not None else 0.0
            started = event["time"]
        latest = event["time"]
    return (seconds + latest - (started or latest)) / 3600


def _card(
    name: str,
    weights: Weights,
    recipe: Recipe,
    events: list[dict[str, Any]],
    scores: Scores,
    size_mb: float,
    told: Told,
) -> str:
    validations = [event for event in events if event["event"] == "validation"]
    best = max(validations, key=lambda event: event["miou"])
    total_steps = [event["total_steps"] for event in events if event["event"] == "start"][-1]
    named = zip(scores.class_names, scores.class_iou, strict=True)
    parameters = sum(p.numel() for p in weights.build().parameters())
    trained = (
        f"- **Trained on** {weights.training['trained_on']}, {told.origin}, "
        f"by the recipe `{told.recipe or recipe.name}`: "
        f"{recipe.epochs} epochs of {total_steps // recipe.epochs} steps of {recipe.batch_size} images."
    )
    return CARD.format(
        name=name,
        variant=weights.spec.name,
        classes=weights.labels.num_classes,
        label_set=weights.labels.name,
        parameters=parameters,
        size_mb=size_mb,
        trained=fill(trained, WIDTH, subsequent_indent="  "),
        epochs=recipe.epochs,
        command=told.command,
        hours=weights.training["hours"],
        machine=told.machine,
        licence=weights.licence,
        validated_on=weights.training["validated_on"],
        best_epoch=best["epoch"],
        last_miou=100 * validations[-1]["miou"],
        rows="\n".join(f"| {name} | {100 * iou:.1f} |" for name, iou in named),
        miou=100 * scores.miou,
        accuracy=100 * scores.pixel_accuracy,
        repeat=told.repeat,
        use=fill(told.use, WIDTH),
    )


def main() -> None:
    """Read the command line and ship."""
    parser = argparse.ArgumentParser(description="Ship the best weights of a run with a model card.")
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    for option in ("command", "machine", "use", "repeat"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--origin", default="from scratch")
    parser.add_argument("--recipe")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    told = Told(given.command, given.machine, given.use, given.repeat, given.origin, given.recipe)
    ship(RunFolder(given.run), given.name, told, [RunFolder(folder) for folder in given.earlier])


if __name__ == "__main__":
    main()
