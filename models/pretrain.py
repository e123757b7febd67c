"""The starter bundle: trained on synthetic streams only, so that it scores a stream it has never seen.

    python -m models.pretrain [--out DIR] [--minutes M] [--seed S]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from models import synth
from models.dataset import Windows, rows_needed, windows, young_lengths
from streamer.artifact import PRETRAINED, ModelSpec

Batch = dict[str, Any]
CHANNELS = (1, 3, 8)
# One epoch in channel rows: long windows per channel count, and a quarter as many young ones per anchor length.
GROWN_ROWS, YOUNG_ROWS = 4096, 1024
VALIDATION_ROWS = 1536


@dataclass(frozen=True, slots=True)
class SyntheticSet:
    """Endless synthetic streams: no epoch sees a stream of another one."""

    spec: ModelSpec = field(default_factory=ModelSpec)
    seed: int = 0

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[Batch]:
        """All kinds of windows in random order."""
        batches = [batch for w in self._draw(rng, GROWN_ROWS, YOUNG_ROWS) for batch in w.batches(rows, rng)]
        for index in rng.permutation(len(batches)):
            yield batches[index]

    def validation(self) -> Iterator[Batch]:
        """The same streams every time, none of which is ever trained on."""
        for w in self._draw(np.random.default_rng([self.seed, 1]), VALIDATION_ROWS, VALIDATION_ROWS // 4):
            yield w.batch(slice(None))

    def _draw(self, rng: np.random.Generator, grown: int, young: int) -> Iterator[Windows]:
        for channels in CHANNELS:
            yield windows(synth.streams(rng, grown // channels, rows_needed(self.spec), channels), self.spec)
        for length in young_lengths(self.spec):
            channels = int(rng.choice(CHANNELS))
            history = synth.streams(rng, young // channels, rows_needed(self.spec, length), channels)
            yield windows(history, self.spec, length)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=PRETRAINED, help="Directory of the bundle.")
@click.option("--minutes", type=float, default=8.0, show_default=True, help="Wall time to train for.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--version", default="starter-1", show_default=True)
@click.option("--logs", type=click.Path(path_type=Path), default=None, help="Directory for TensorBoard and the loss plot.")
def main(out: Path, minutes: float, seed: int, version: str, logs: Path | None) -> None:
    """Train the starter network on synthetic streams and write its bundle."""
    from models import export, report
    from models.train import TrainSettings, train

    data = SyntheticSet(seed=seed)
    settings = TrainSettings(epochs=1000, seconds=minutes * 60, seed=seed, patience=1000, log_dir=logs)
    with report.progress(minutes * 60) as show:
        result = train(settings, data, report=show)
    training = report.summary(result, settings) | {"data": "synthetic streams of models.synth"}
    bundle = export.write_bundle(out, version=version, spec=data.spec, weights=result.weights, training=training)
    if logs is not None:
        report.plot_losses(result.history, logs / "loss.png")
    click.echo(f"{out}: {bundle.version} {bundle.sha256[:12]}, {result.stopped} after {result.seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
