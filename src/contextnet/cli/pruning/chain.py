"""The networks that ``contextnet prune`` makes: step by step, directly for comparison, and their INT8 forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from contextnet.benchmark.side_by_side import Candidate
from contextnet.cli.pruning.training import Trainings
from contextnet.compression.post_training import keep_int8
from contextnet.compression.pruning.chain import prune_in_steps
from contextnet.compression.pruning.pruner import PruneOptions, Target
from contextnet.errors import ExportError
from contextnet.export.samples import ExportSamples, samples_of_data
from contextnet.files import file_checksum
from contextnet.models.storage import read_weights

PRUNED = "pruned to "


@dataclass(frozen=True)
class Chain:
    """The steps from one network to the smallest, and the folder that keeps them.

    ``name`` is what the last one is called; without ``trainings`` none is trained.
    """

    begin: Candidate
    targets: Sequence[Target]
    output: Path
    name: str
    trainings: Trainings | None
    console: Console

    def run(self, options: PruneOptions, width: float | None) -> list[Candidate]:
        """Take all steps; give the network before them and that of each. ``width`` is the former's, if it is known."""
        fine_tune = self.trainings.fine_tune if self.trainings else None
        say = self.console.print
        done = prune_in_steps(self.begin.path, self.targets, self.output, self.name, options, fine_tune, say, width)
        networks, epochs = [self.begin], self.begin.epochs
        for step in done:
            if self.trainings is not None:
                epochs += self.trainings.last_epochs if step is done[-1] else self.trainings.epochs
            networks.append(Candidate(f"{PRUNED}{step.target}", step.weights, epochs))
        return networks

    def train_directly(self, pruned: Candidate) -> Candidate:
        """Train a network of the pruned one's size from scratch, for as many epochs as led to that."""
        assert self.trainings is not None, "asked for with training alone"
        spec = read_weights(pruned.path).spec
        path = self.trainings.train_directly(spec, pruned.epochs, self.output / "direct")
        return Candidate("trained directly", path, pruned.epochs)

    def quantize(
        self, finals: Sequence[Candidate], others: Sequence[Candidate], data: str, epochs: int
    ) -> list[Candidate]:
        """Give the INT8 forms of networks; ``finals`` are also trained with INT8's rounding, and quantized after that.

        ``data``, a data set as ``KIND:ROOT``, calibrates and judges. A form that costs too much is told and left out.
        """
        samples = samples_of_data(data, read_weights(self.begin.path).labels, calibrates=True)
        forms = [self._int8(network, network.path, samples, "INT8") for network in (*others, *finals)]
        if self.trainings is not None and epochs:
            for network in finals:
                self.console.print(f"training for INT8: {network.role}")
                folder = self.output / "int8" / f"{_place(network)}-{file_checksum(network.path)[:8]}"
                tuned = self.trainings.tune_for_int8(network.path, epochs, folder)
                trained = Candidate(network.source, tuned, network.epochs + epochs)
                forms.append(self._int8(trained, tuned, samples, "trained for INT8"))
        return [form for form in forms if form is not None]

    def _int8(self, network: Candidate, weights: Path, samples: ExportSamples, how: str) -> Candidate | None:
        path = self.output / "int8" / f"{_place(network)}-{how.replace(' ', '-').lower()}.onnx"
        self.console.print(f"INT8: {network.role}")
        try:
            keep_int8(weights, samples, path)
        except ExportError as error:
            self.console.print(f"left out: {error}")
            return None
        return Candidate(network.source, path, network.epochs, how)


def _place(network: Candidate) -> str:
    return network.source.removeprefix(PRUNED).replace("=", "-").replace(" ", "-")
