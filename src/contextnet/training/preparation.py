"""What is done before the first step: open the data of a recipe, decode it once a machine, put it where it fits."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from contextnet.data.decoding import DecodedSplit, decode_split, join_splits, open_decoded
from contextnet.data.placement import choose_place, estimate_bytes
from contextnet.errors import DataError
from contextnet.training.datasets import TrainingSource, open_training_data
from contextnet.training.long_work import LongWork
from contextnet.training.messages import gather, wait_for_all
from contextnet.training.ranks import ALONE, Ranks
from contextnet.training.recipe.data import DataOptions

ShowProgress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Opens a progress display under a title and gives what is called with samples done and in all."""


def prepare_split(
    options: DataOptions,
    device: torch.device,
    show: ShowProgress,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> DecodedSplit:
    """Decode the training data of a recipe, all its data sets together, and put it where ``data.store`` says.

    One process decodes to memory; where memory does not hold the split, or several processes of a machine share it, to
    files in the system's temporary folder that each of them maps and that are gone with the last of them. ``say`` is
    told what became of the classes of each data set, where they changed. Raises ``DataError`` for data that cannot be
    trained on, and where the machines of a distributed run do not have the same.
    """
    sources = open_training_data(options)
    needed_bytes = sum(estimate_bytes(source.data) for source in sources)
    place = choose_place(options.store, needed_bytes, device)
    # On its way to a device a split passes through memory, unless it is too large for that.
    host_place = choose_place("auto", needed_bytes, torch.device("cpu")) if place == "device" else place
    work = LongWork(ranks)
    with _scratch_folder(host_place == "mapped" or ranks.local_world_size > 1, ranks) as folder:
        splits: list[DecodedSplit | None] = []
        for index, source in enumerate(sources):
            for line in source.mapping:
                say(f"{source.data.name}: {line}")
            is_decoded_here = folder is None or ranks.is_first_here
            file = None if folder is None else folder / str(index)
            splits.append(_decode(source, file, options, show, work) if is_decoded_here else None)
        work.finish()
        parts = [split or _map(folder, index) for index, split in enumerate(splits)]
        wait_for_all(ranks)
    split = join_splits([(part, source.repeat) for part, source in zip(parts, sources, strict=True)])
    _refuse_differences(split, ranks)
    return split.to(device) if place == "device" else split


@contextmanager
def _scratch_folder(wanted: bool, ranks: Ranks) -> Iterator[Path | None]:
    """Make a temporary folder that the ranks of one machine share, or none; the first of them removes it at the end."""
    own = Path(tempfile.mkdtemp(prefix="contextnet-")) if wanted and ranks.is_first_here else None
    try:
        # torchrun numbers the ranks of a machine one after the other.
        yield gather(own, ranks)[ranks.rank - ranks.local_rank]
    finally:
        if own:
            shutil.rmtree(own, ignore_errors=True)


def _decode(
    source: TrainingSource, file: Path | None, options: DataOptions, show: ShowProgress, work: LongWork
) -> DecodedSplit:
    with show(f"reading {source.data.name}") as progress:
        return decode_split(
            source.data,
            unreadable_budget=options.unreadable_budget,
            progress=work.reported(progress),
            file=file,
        )


def _map(folder: Path | None, index: int) -> DecodedSplit:
    assert folder is not None, "a split that is not decoded here is mapped from a file"
    return open_decoded(folder / str(index))


def _refuse_differences(split: DecodedSplit, ranks: Ranks) -> None:
    """Raise ``DataError`` where another rank has other samples: each machine decodes what it finds."""
    own = (len(split), split.skipped, split.labels.names, hash(tuple(mask.shape for mask in split.masks)))
    for rank, other in enumerate(gather(own, ranks)):
        if other != own:
            raise DataError(
                f"'{split.name}': rank {ranks.rank} read {own[0]} samples and skipped {len(own[1])}, rank {rank} read "
                f"{other[0]} and skipped {len(other[1])}, or of other sizes or classes; give every machine the same "
                "files, with 'data.unreadable_budget' 0"
            )
