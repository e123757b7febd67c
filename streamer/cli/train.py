"""`streamer train`: trains a bundle further, or a new one, on the file of a configured stream."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.backtest import only_stream, unpaced
from streamer.cli.offline_report import FORMATS
from streamer.cli.options import config_options
from streamer.errors import BackendError, GateRefused

if TYPE_CHECKING:
    from models.search import Tried
    from models.train import TrainResult, TrainSettings
    from streamer.artifact import Bundle
    from streamer.config import Config, Stream
    from streamer.offline.series import Rows

SCHEMA = "streamer.train/1"
TUNING_RATE, FRESH_RATE = 5e-4, 4e-3
NOISE = 0.01  # of the scaled inputs; more blurs held values


@click.command("train")
@config_options
@click.option("--stream", "name", help="Which stream (default: the only one).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Where the new bundle goes.",
)
@click.option(
    "--labels", type=click.Path(path_type=Path), help="JSON windows of known anomalies: not learnt."
)
@click.option("--labels-name", help="Which file's windows, where the JSON holds those of many.")
@click.option(
    "--from-scratch",
    is_flag=True,
    help="Start from a random network, not from the configured bundle.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Passes over the rows at most.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Stop after so long (0: by epochs alone).",
)
@click.option(
    "--search",
    "how",
    type=click.Choice(["grid", "bayes"]),
    help="First search for shape and training.",
)
@click.option(
    "--trials", type=click.IntRange(min=2), default=20, show_default=True, help="Of the search."
)
@click.option(
    "--trial-seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Of training each.",
)
@click.option(
    "--search-plot", type=click.Path(path_type=Path), metavar="OUT.png", help="Draw every trial."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed: the same network.",
)
@click.option("--version", help="Version of the new bundle (default: the old one's, with -STREAM).")
@click.option(
    "--loss-plot",
    type=click.Path(path_type=Path),
    metavar="OUT.png",
    help="Draw the loss of every epoch.",
)
@click.option("--logs", type=click.Path(path_type=Path), metavar="DIR", help="TensorBoard log.")
@click.option("--format", "form", type=FORMATS, default="human", show_default=True, help="Output.")
def train(
    *,
    config: Path,
    sets: tuple[str, ...],
    name: str | None,
    out: Path,
    labels: Path | None,
    labels_name: str | None,
    from_scratch: bool,
    epochs: int,
    minutes: float,
    how: str | None,
    trials: int,
    trial_seconds: float,
    search_plot: Path | None,
    seed: int,
    version: str | None,
    loss_plot: Path | None,
    logs: Path | None,
    form: str,
) -> None:
    """Train on the rows of a stream's file and write a complete bundle.

    The last rows of every entity are held out. Nothing is written, and the exit code is 4, if they
    are not predicted better than by the bundle that training started from.

    With --search the shape (units 32 to 256, layers 1 to 4, window 10 to 200) and the training
    (batch 16 to 256, dropout 0.2 to 0.5, rate 1e-4 to 1e-2) are searched for first, by the planted
    anomalies that each choice catches on held-out rows. The best is then trained from random
    weights. `grid` tries both ends of every range and one value between (729 choices, in an order
    that covers all values evenly wherever it ends), `bayes` any number in them.
    """
    from streamer.config.load import load_config
    from streamer.offline.label_files import json_windows

    need_tensorflow()
    loaded = load_config(config, sets)
    stream = unpaced(only_stream(loaded, name))
    bundle = starting_bundle(loaded)
    windows = json_windows(labels, by_time=stream.has_clock, name=labels_name) if labels else []
    rows = rows_of(stream, bundle, windows)
    label = version or f"{bundle.version}-{stream.name}"
    settings: dict[str, Any] = {
        "epochs": epochs,
        "seconds": 60 * minutes,
        "seed": seed,
        "log_dir": logs,
    }
    found = None
    if how is not None:
        budget = {"how": how, "trials": trials, "seconds": trial_seconds, "seed": seed}
        found = searched(bundle, rows, stream, budget, search_plot)
        bundle, settings = shaped(bundle, found[0]), settings | chosen_settings(found[0])
    told = fit(
        bundle,
        rows,
        out,
        rhythm=stream.rhythm,
        fresh=from_scratch or found is not None,
        version=label,
        loss_plot=loss_plot,
        settings=settings,
    )
    told |= {} if found is None else {"search": [one.as_json() for one in found]}
    click.echo(json.dumps({"schema": SCHEMA, **told}) if form == "json" else sentences(told, rows))


def starting_bundle(config: Config) -> Bundle:
    """Return the bundle to start from: the configured one, the champion, else the starter."""
    from streamer import artifact
    from streamer.connect import open_registry
    from streamer.lifecycle.promotion import champion
    from streamer.runtime.model import trust_for, trusted

    registry = open_registry(config)
    if registry is None:
        return artifact.load(Path(config.model.path) if config.model.path else artifact.PRETRAINED)
    with closing(registry):
        return trusted(champion(registry), trust_for(config.model))


def need_tensorflow() -> None:
    """Raise BackendError with the extra to install if TensorFlow is missing."""
    if importlib.util.find_spec("tensorflow") is None:
        raise BackendError("training needs TensorFlow: pip install 'streamer[train]'")


def rows_of(stream: Stream, bundle: Bundle, windows: list[tuple[float, float]]) -> Rows:
    """Return all rows of the stream's file, with known anomalies marked."""
    from models.dataset import rows_needed
    from streamer.connect import open_source
    from streamer.offline.series import read_rows

    with closing(open_source(stream)) as source:
        return read_rows(source, needed=2 * rows_needed(bundle.spec), windows=windows)


def searched(
    bundle: Bundle, rows: Rows, stream: Stream, budget: dict[str, Any], plot: Path | None
) -> Sequence[Tried]:
    """Return the trials of a search, the best first; each is printed on stderr at its end."""
    import numpy as np

    from models import search
    from models.split import series_of, split

    arrays = {
        "values": rows.values,
        "time_s": rows.time_s,
        "mask": rows.mask,
        "entity": ["/".join(o) for o in rows.owner],
        "rhythm": np.full(len(rows.values), stream.rhythm),
    }
    past = split(series_of(arrays, f"streams.{stream.name}"), bundle.spec)
    if budget["how"] == "grid":
        click.echo(
            f"a grid of {search.GRID_SIZE} choices, of which {budget['trials']} are tried", err=True
        )
    found = search.search(
        bundle, past, **budget, report=lambda one: click.echo(trial_line(one), err=True)
    )
    if plot is not None:
        search.plot(found, plot)
    return found


def trial_line(one: Tried) -> str:
    return (
        f"trial {one.number}: recall {one.recall:.3f}, units {one.units}, layers {one.layers}, "
        f"window {one.window}, "
        f"batch {one.batch_rows}, dropout {one.dropout:.2f}, rate {one.learning_rate:.1e}, "
        f"{one.parameters:,} parameters, {one.seconds:.0f} s"
    )


def shaped(bundle: Bundle, best: Tried) -> Bundle:
    """Return the bundle with the shape that a search found; its weights do not fit that shape."""
    from models import search

    return replace(
        bundle,
        spec=search.shaped(bundle.spec, units=best.units, layers=best.layers, window=best.window),
    )


def chosen_settings(best: Tried) -> dict[str, Any]:
    """Return the training settings that a search found."""
    return {name: getattr(best, name) for name in ("batch_rows", "dropout", "learning_rate")}


def fit(
    bundle: Bundle,
    rows: Rows,
    out: Path,
    *,
    rhythm: bool,
    fresh: bool,
    version: str,
    loss_plot: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Train, compare on held-out rows and export; GateRefused without an improvement."""
    from models import export, training_report
    from models.train import TrainSettings

    chosen = TrainSettings(
        **{"learning_rate": FRESH_RATE if fresh else TUNING_RATE, "noise": NOISE} | settings
    )
    result = learnt(chosen, bundle, rows, rhythm=rhythm, fresh=fresh)
    if loss_plot is not None:
        training_report.plot_losses(result.history, loss_plot)
    before, after = result.history[0].validation, result.best.validation
    if not result.improved:
        raise GateRefused(
            f"no epoch beat the start on held-out rows (loss {before:.4f}); nothing was written"
        )
    training = training_report.summary(result, chosen) | {
        "parent": None if fresh else bundle.version
    }
    made = export.write_bundle(
        out,
        version=version,
        spec=bundle.spec,
        weights=result.weights,
        calibration=bundle.calibration,
        training=training,
    )
    return {
        "version": made.version,
        "sha256": made.sha256,
        "out": str(out),
        "before": before,
        "after": after,
        "epochs": len(result.history) - 1,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 1),
    }


def learnt(
    settings: TrainSettings, bundle: Bundle, rows: Rows, *, rhythm: bool, fresh: bool
) -> TrainResult:
    """Train with a progress display."""
    import numpy as np

    from models import training_report
    from models.dataset import History, HistorySet
    from models.train import train as run_training

    history = History(rows.values, rows.time_s, rows.mask, np.full(len(rows.values), rhythm))
    with training_report.progress(settings.seconds, settings.epochs) as show:
        start = None if fresh else bundle.weights
        return run_training(settings, HistorySet(bundle.spec, history), start=start, report=show)


def sentences(told: dict[str, Any], rows: Rows) -> str:
    """Return the outcome in plain lines."""
    pieces, length, channels = rows.values.shape
    left = f", {rows.left_out:,} rows in pieces too short to use" if rows.left_out else ""
    masked = (
        f", {int(rows.mask.sum()):,} known anomalous rows not learnt" if rows.mask.any() else ""
    )
    return "\n".join(
        [
            f"{rows.entities} entities, {pieces} pieces of {length:,} rows, {channels} "
            f"channels{left}{masked}",
            f"loss on held-out rows {told['before']:.4f} -> {told['after']:.4f} after "
            f"{told['epochs']} epochs"
            f" ({told['stopped']}), {told['seconds']:.0f} s",
            f"written: {told['out']} ({told['version']}, sha256 {told['sha256'][:12]}); name it "
            f"in model.path to use it",
        ]
    )
