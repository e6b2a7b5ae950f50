"""``contextnet benchmark``: how fast this machine labels images and trains, and what networks bear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import Argument, Option
from typer.core import TyperGroup

from contextnet.cli import compare_benchmark, robustness_benchmark, stream_benchmark
from contextnet.cli.benchmark_options import DEFAULT_SIZE, Rounds, Size, tell
from contextnet.cli.inference_table import print_rate
from contextnet.cli.optional import require_torch
from contextnet.cli.options import (
    Device,
    Engine,
    EngineDevice,
    JsonFile,
    Precision,
    override,
    parse_size,
    require_device,
    require_json_target,
)
from contextnet.cli.progress import progress_bar
from contextnet.recipes.catalogue import find_recipe

if TYPE_CHECKING:
    from contextnet.benchmark.training_rate import TrainingRate


class WeightsFirst(TyperGroup):
    """A group in which words that begin with no command are those of its first one."""

    # Some versions of Typer have a click of their own, so that no name of the context's type holds for all of them.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the first command's name in front where none stands."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=WeightsFirst,
    no_args_is_help=True,
    subcommand_metavar="WEIGHTS | training | stream | live | steadiness | robustness | compare [OPTIONS]",
    help="Measure how fast this machine labels images with WEIGHTS, trains, streams, and keeps up with a camera; how "
    "steady labels are, how well a network bears worse images, and how networks compare.",
)


@app.command()
def inference(
    weights: Annotated[
        str,
        Argument(metavar="WEIGHTS", help="A shipped network or a model file; ./training for a file of that name."),
    ],
    size: Size = DEFAULT_SIZE,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
    threads: Annotated[int | None, Option(min=1, help="Threads; one a usable core if it is left out.")] = None,
    rounds: Rounds = 7,
    json_: JsonFile = None,
) -> None:
    """Time a network from image to labels, one at a time and pipelined, beside PyTorch; 'inference' may be left out."""
    from contextnet.benchmark.inference_rate import measure_inference
    from contextnet.runtime.engines.opening import find_model
    from contextnet.runtime.segmenter import EngineChoice

    size_hw = parse_size(size)
    require_json_target(json_)
    choice = EngineChoice(engine, device, precision, threads)
    with progress_bar("measuring") as progress:
        rate = measure_inference(find_model(weights, engine), size_hw, choice, rounds=rounds, progress=progress)
    tell(rate.to_json(), json_, lambda: print_rate(rate))


@app.command()
def training(
    recipe: Annotated[str, Argument(help="A recipe file (YAML), or the name of one that is shipped.")] = "plain-camvid",
    data: Annotated[
        str | None, Option(help="KIND:ROOT of the data set; noise of the crop's size if it is left out.")
    ] = None,
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")
    ] = None,
    size: Annotated[
        str | None, Option(metavar="HEIGHTxWIDTH", help="Size of the images of noise; the crop's if it is left out.")
    ] = None,
    steps: Annotated[int, Option(min=1, help="Steps of each way in a round.")] = 6,
    rounds: Annotated[int, Option(min=1, help="Rounds, in which the ways take turns.")] = 5,
    device: Device = "cpu",
    json_: JsonFile = None,
) -> None:
    """Time a recipe's training step: with its data, on one fixed batch, and the plain way, taking turns."""
    require_torch("benchmark training")
    import torch

    from contextnet.benchmark.training_rate import measure_training, noise_split
    from contextnet.labels import CAMVID, CITYSCAPES
    from contextnet.training.preparation import prepare_split
    from contextnet.training.recipe.recipe import read_recipe

    require_device(device)
    require_json_target(json_)
    plan = read_recipe(find_recipe(recipe), [*(set_ or []), *override("data.source", data)])
    place, console = torch.device(device), Console(stderr=True)
    if data:
        split = prepare_split(plan.data, place, progress_bar, console.print)
    else:
        labels = CAMVID if plan.data.source.startswith("camvid:") else CITYSCAPES
        split = noise_split(labels, parse_size(size) if size else plan.augmentation.crop_hw).to(place)
        # Noise has no classes to be told apart by name.
        nameless = plan.loss.model_copy(update={"class_weights": None, "distillation": None})
        plan = plan.model_copy(update={"loss": nameless})
    # No schedule is reached here, so that no warm-up can be too long for it.
    plan = plan.model_copy(update={"epochs": max(plan.epochs, plan.schedule.warmup_steps + 1)})
    rate = measure_training(plan, split, place, steps=steps, rounds=rounds)
    tell(rate.to_json(), json_, lambda: Console().print(_table(rate)))


for command in (
    stream_benchmark.stream,
    stream_benchmark.live,
    stream_benchmark.steadiness,
    robustness_benchmark.robustness,
    compare_benchmark.compare,
):
    app.command()(command)


def _table(rate: TrainingRate) -> Table:
    height, width = rate.crop_hw
    table = Table(
        "images/s", "", title=f"{rate.network}, {rate.batch_size} × {height}×{width}, {rate.precision}, {rate.device}"
    )
    table.add_row(f"{rate.images_per_s:.1f}", "training")
    table.add_row(f"{rate.fixed_batch_images_per_s:.1f}", "the same step on one fixed batch")
    table.add_row(
        f"{rate.plain_images_per_s:.1f}",
        "the plain way: float32, default layout and memory, augmentation per image in NumPy",
    )
    table.add_section()
    table.add_row(f"{rate.data_wait_share:.1%}", "of the time waiting for data")
    table.add_row(f"{rate.peak_memory_mb:.0f} MB", "peak memory")
    if rate.device_busy_share is not None:
        table.add_row(f"{rate.device_busy_share:.1%}", "of the time the GPU was busy")
    return table
