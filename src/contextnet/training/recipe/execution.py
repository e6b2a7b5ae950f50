"""The recipe's ``execution`` and ``checkpoints``: how a step is computed, and what is kept of a run on disk."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contextnet.training.recipe.options import Count, Options


class ExecutionOptions(Options):
    """How a step is computed, which decides its speed and memory more than its result.

    ``precision`` other than float32 runs the forward pass in mixed precision, float16 with loss scaling.
    ``channels_last`` stores tensors with the channels innermost. ``compile`` has PyTorch compile the network, which
    needs a C++ compiler on a CPU. ``accumulation`` is into how many parts, taken one after the other, a process cuts
    its share of a batch. ``sync_batch_norm`` takes batch norm's statistics over the whole batch of all processes.
    """

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = True
    compile: bool = False
    accumulation: Count = 1
    sync_batch_norm: bool = False


class CheckpointOptions(Options):
    """When the training state is saved, and how many states are kept.

    It is saved after every ``every_epochs`` epochs, after each validation, when the run stops, and, where the epochs
    are long, after every ``every_steps`` steps.
    """

    every_epochs: Count = 1
    every_steps: Count | None = None
    keep: Annotated[int, Field(ge=1, le=1000)] = 3
