"""Training of the starter bundle on synthetic streams only.

    python -m models.pretrain [--out DIR] [--epochs N] [--minutes M] [--seed S]

The starter scores streams that it has never seen.
"""

from __future__ import annotations

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
# Channel rows per epoch by channel count, and those of young windows per anchor length. One rhythm
# row serves all channels, so many channels are cheap to learn from.
GROWN_ROWS = {1: 6144, 3: 9216, 8: 12288}
YOUNG_ROWS = 3072
VALIDATION_SHARE = 1 / 8


@dataclass(frozen=True, slots=True)
class SyntheticSet:
    """Endless synthetic streams; no two epochs share a stream."""

    spec: ModelSpec = field(default_factory=ModelSpec)
    seed: int = 0
    share: float = 1.0  # fraction of the streams of a whole epoch

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[Batch]:
        """Yield all kinds of windows in random order."""
        batches = [batch for w in self._draw(rng, self.share) for batch in w.batches(rows, rng)]
        for index in rng.permutation(len(batches)):
            yield batches[index]

    def validation(self) -> Iterator[Batch]:
        """The same streams every time, never trained on."""
        for w in self._draw(np.random.default_rng([self.seed, 1]), self.share * VALIDATION_SHARE):
            yield w.batch(slice(None))

    def _draw(self, rng: np.random.Generator, share: float) -> Iterator[Windows]:
        for channels, rows in GROWN_ROWS.items():
            history = synth.streams(
                rng, int(share * rows) // channels, rows_needed(self.spec), channels
            )
            yield windows(history, self.spec)
        for length in young_lengths(self.spec):
            channels = int(rng.choice(list(GROWN_ROWS)))
            history = synth.streams(
                rng, int(share * YOUNG_ROWS) // channels, rows_needed(self.spec, length), channels
            )
            yield windows(history, self.spec, length)


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=PRETRAINED, help="Directory of the bundle."
)
@click.option(
    "--epochs", type=int, default=24, show_default=True, help="About 20 s each on two cores."
)
@click.option(
    "--minutes",
    type=float,
    default=0.0,
    help="Stop after so long, the schedule fitted to it (0: no bound).",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--version", default="starter-1", show_default=True)
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    default=None,
    help="For TensorBoard and the loss plot.",
)
def main(
    out: Path, epochs: int, minutes: float, seed: int, version: str, logs: Path | None
) -> None:
    """Train the starter network on synthetic streams and write its bundle."""
    from models import calibrate, export, training_report
    from models.train import TrainSettings, train

    data = SyntheticSet(seed=seed)
    settings = TrainSettings(
        epochs=epochs, seconds=minutes * 60, seed=seed, patience=epochs, log_dir=logs
    )
    with training_report.progress(minutes * 60, epochs) as show:
        result = train(settings, data, report=show)
    training = training_report.summary(result, settings) | {
        "data": "synthetic streams of models.synth"
    }
    bundle = export.write_bundle(
        out, version=version, spec=data.spec, weights=result.weights, training=training
    )
    bundle = calibrate.calibrated(bundle, out)
    if logs is not None:
        training_report.plot_losses(result.history, logs / "loss.png")
    click.echo(
        f"{out}: {bundle.version} {bundle.sha256[:12]} after {result.seconds:.0f} s", err=True
    )


if __name__ == "__main__":
    main()
