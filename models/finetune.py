"""Short further training of a bundle on raw history, as a child process.

    python -m models.finetune --bundle DIR --data rows.npz --out DIR --seconds N [--seed S]
        [--version V]

Arrays of rows.npz:
    values   (E, T, C), NaN = missing
    time_s   (E, T), ascending
    mask     optional, (E, T), 1 for rows that must not be learnt (known anomalies)
    weight   optional, (E, T), of each row in the loss
    rhythm   optional, (E,), 0 if times carry no information

It always writes a complete bundle. The old weights stay in it unless held-out rows are predicted
better. `--seconds` is the total wall time. Progress is written as JSON lines to stderr. Exit codes
are those of errors.StreamerError.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from models.dataset import History, HistorySet
from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends.keras_step import import_tensorflow
from streamer.errors import InputError, StreamerError
from streamer.event import F32

# CPU seconds of the work after training: the last validation, four conversions and their check.
EXPORT_CPU_S = 6.0
LEARNING_RATE = 5e-4
BEGAN = time.monotonic()
# Losses fluctuate: a new model must beat the old one by this much on held-out rows.
MARGIN = 0.002


def say(event: str, **fields: Any) -> None:
    """Write one line of progress."""
    sys.stderr.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stderr.flush()


def read_history(path: Path) -> History:
    """Read the rows of an npz; InputError says what is wrong with it."""
    try:
        arrays = artifact.unpack_arrays(path.read_bytes(), path)
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc}") from exc
    return history_of(arrays, path)


def history_of(arrays: Mapping[str, Any], where: object) -> History:
    """Check arrays named as in the module's docstring; return them as history."""
    missing = {"values", "time_s"} - arrays.keys()
    if missing:
        raise InputError(f"{where}: lacks the array {', '.join(sorted(missing))}")
    values, time_s = (
        np.asarray(arrays["values"], np.float32),
        np.asarray(arrays["time_s"], np.float64),
    )
    if values.ndim != 3 or time_s.shape != values.shape[:2]:
        raise InputError(
            f"{where}: values must be (E, T, C) and time_s (E, T), got {values.shape} and "
            f"{time_s.shape}"
        )
    if np.isinf(values).any() or not np.isfinite(time_s).all():
        raise InputError(f"{where}: values may be NaN but not infinite, times must be finite")
    entities, rows = time_s.shape
    mask = np.asarray(arrays.get("mask", np.zeros((entities, rows))), bool)
    rhythm = np.asarray(arrays.get("rhythm", np.ones(entities)), bool)
    if mask.shape != (entities, rows) or rhythm.shape != (entities,):
        raise InputError(
            f"{where}: mask must be (E, T) and rhythm (E,), got {mask.shape} and {rhythm.shape}"
        )
    return History(values, time_s, mask, rhythm, weight=_weight(arrays, where, mask.shape))


def _weight(arrays: Mapping[str, Any], where: object, shape: tuple[int, ...]) -> F32 | None:
    if "weight" not in arrays:
        return None
    weight = np.asarray(arrays["weight"], np.float32)
    if weight.shape != shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise InputError(
            f"{where}: weight must be (E, T), finite and not negative, got {weight.shape}"
        )
    return weight


def finetune(
    bundle: Bundle, history: History, out: Path, *, version: str, until_s: float, seed: int
) -> bool:
    """Train until the monotonic time `until_s` and write the new bundle to `out`.

    Return True if its weights differ from the old ones.
    """
    from models import export, training_report
    from models.train import TrainSettings, train

    import_tensorflow()
    now = time.monotonic()
    seconds = time_to_train(until_s - now, wall_s=now - BEGAN, cpu_s=time.process_time())
    settings = TrainSettings(
        epochs=100,
        seconds=seconds,
        learning_rate=LEARNING_RATE,
        patience=3,
        noise=0.01,
        batch_rows=128,
        seed=seed,
    )
    data = HistorySet(bundle.spec, history, pieces=256)
    result = train(settings, data, start=bundle.weights, report=lambda e: say("epoch", **shown(e)))
    before, after = result.history[0].validation, result.best.validation
    better = result.improved and after < before - MARGIN
    training = training_report.summary(result, settings) | {
        "parent": bundle.version,
        "improved": better,
    }
    say(
        "trained",
        improved=better,
        before=before,
        after=after,
        seconds=result.seconds,
        stopped=result.stopped,
    )
    if better:
        export.write_bundle(
            out,
            version=version,
            spec=bundle.spec,
            weights=result.weights,
            calibration=bundle.calibration,
            training=training,
            prove=("litert", "litert-int8"),
            precisions=("f32", "int8"),
        )
    else:
        _keep(bundle, out, version, training)
    return better


def time_to_train(left_s: float, *, wall_s: float, cpu_s: float) -> float:
    """Seconds of `left_s` for training.

    The export is assumed to be slowed by a busy machine as the work so far.
    """
    return max(1.0, left_s - EXPORT_CPU_S * max(1.0, wall_s / max(cpu_s, 0.1)))


def shown(epoch: Any) -> dict[str, Any]:
    """The fields of an epoch in a line of progress."""
    kept = {name: getattr(epoch, name) for name in ("number", "validation", "seconds", "steps")}
    return kept | {"forecast": epoch.parts["forecast"]}


def _keep(bundle: Bundle, out: Path, version: str, training: Mapping[str, Any]) -> None:
    """Write the old parts under the new version."""
    parts = {name: blob for name, blob in bundle.parts.items() if name != "weights.npz"}
    artifact.save(
        out,
        version=version,
        spec=bundle.spec,
        weights=bundle.weights,
        calibration=bundle.calibration,
        parts=parts,
        training=training,
    )


@click.command()
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="Directory of the champion."
)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="npz of raw rows.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Directory of the new bundle."
)
@click.option(
    "--seconds", type=float, default=15.0, show_default=True, help="Wall time from start to end."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--version", default=None, help="Version of the new bundle; default: the old one's with -tuned."
)
def main(
    bundle: Path, data: Path, out: Path, seconds: float, seed: int, version: str | None
) -> None:
    """Train a bundle a little further on raw history and write a complete new bundle."""
    try:
        champion = artifact.load(bundle)
        history = read_history(data)
        say(
            "started",
            version=champion.version,
            entities=len(history.values),
            rows=history.values.shape[1],
        )
        name = version or f"{champion.version}-tuned"
        better = finetune(champion, history, out, version=name, until_s=BEGAN + seconds, seed=seed)
    except StreamerError as exc:
        say("failed", error=str(exc))
        raise SystemExit(exc.exit_code) from exc
    say(
        "done",
        out=str(out),
        version=name,
        improved=better,
        seconds=round(time.monotonic() - BEGAN, 2),
    )


if __name__ == "__main__":
    main()
