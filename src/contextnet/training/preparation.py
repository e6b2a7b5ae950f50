"""What is done before the first step: open the data of a recipe, decode it once a machine, put it where it fits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from contextnet.data.decoding import DecodedSplit, decode_split, join_splits, open_decoded
from contextnet.data.placement import choose_place, estimate_bytes
from contextnet.training.datasets import TrainingSource, open_training_data
from contextnet.training.distributed import ALONE, Ranks, wait_for_all
from contextnet.training.recipe.data import DataOptions

ShowProgress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress display under a title and gives what is called with samples done and in all."""


def prepare_split(
    options: DataOptions,
    device: torch.device,
    folder: Path,
    show: ShowProgress,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> DecodedSplit:
    """Decode the training data of a recipe, all its data sets together, and put it where ``data.store`` says.

    One process decodes to memory; where memory does not hold the split, or several processes of a machine share it, to
    a file in ``folder`` that each of them maps and that is gone with the last of them. ``say`` is told what became of
    the classes of each data set, where they changed. Raises ``DataError`` for data that cannot be trained on.
    """
    sources = open_training_data(options)
    needed_bytes = sum(estimate_bytes(source.data) for source in sources)
    place = choose_place(options.store, needed_bytes, device)
    # On its way to a device a split passes through memory, unless it is too large for that.
    host_place = choose_place("auto", needed_bytes, torch.device("cpu")) if place == "device" else place
    is_in_file = host_place == "mapped" or ranks.local_world_size > 1
    parts = []
    for index, source in enumerate(sources):
        for line in source.mapping:
            say(line)
        if is_in_file:
            file = folder / f".decoded-{index}-{socket.gethostname()}"
            parts.append((_decode_to_file(source, file, options, show, ranks), source.repeat))
        else:
            parts.append((_decode(source, None, options, show), source.repeat))
    split = join_splits(parts)
    return split.to(device) if place == "device" else split


def _decode(source: TrainingSource, file: Path | None, options: DataOptions, show: ShowProgress) -> DecodedSplit:
    with show(f"reading {source.data.name}") as progress:
        return decode_split(source.data, unreadable_budget=options.unreadable_budget, progress=progress, file=file)


def _decode_to_file(
    source: TrainingSource, file: Path, options: DataOptions, show: ShowProgress, ranks: Ranks
) -> DecodedSplit:
    """Have one process of each machine decode to ``file``, and map it in all of them; nothing is left behind."""
    is_new = not file.parent.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        split = _decode(source, file, options, show) if ranks.is_first_here else None
        wait_for_all(ranks)
        split = split or open_decoded(file)
        wait_for_all(ranks)
    finally:
        if ranks.is_first_here:
            file.unlink(missing_ok=True)
            if is_new:
                file.parent.rmdir()
    return split
