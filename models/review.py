"""Evaluation of one model on recent history, without training.

    python -m models.review --request request.json

The request is documented in models.retrain_request; of its keys `champion`, `history`, `labels`,
`detect`, `seed` and `out` count. The newest quarter of the history is judged by the production
pipeline, untouched and with planted anomalies. `out` becomes a JSON file. Runs without TensorFlow.
Exit codes are those of errors.StreamerError.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from models import compare, evaluate
from models.finetune import say
from models.planted_trial import build
from models.retrain_request import Request, read_request
from models.split import series_of, split
from streamer import artifact
from streamer.errors import InputError, StreamerError
from streamer.event import F64

SCHEMA = "streamer.review/1"


def review(request: Request) -> dict[str, Any]:
    """Return the report; InputError if the history is too short."""
    bundle = artifact.load(request.champion)
    try:
        arrays = artifact.unpack_arrays(request.history.read_bytes(), request.history)
    except OSError as exc:
        raise InputError(f"{request.history}: cannot be read: {exc}") from exc
    past = split(series_of(arrays, request.history, request.labels), bundle.spec)
    trial = build(past.series, request.seed)
    outcome = evaluate.run(bundle, trial, evaluate.settings_for(trial, request.detect))
    hits = evaluate.hits(trial, outcome)
    kinds = np.array([anomaly.kind for anomaly in trial.anomalies])
    naive = evaluate.log_errors(trial, evaluate.previous(trial))
    return {
        "schema": SCHEMA,
        "version": bundle.version,
        "sha256": bundle.sha256,
        "span": list(past.held_span_s),
        "rows": past.held_rows,
        "anomalies": len(kinds),
        "recall": hits.recall,
        "recall_by_kind": {
            str(kind): float(hits.caught[kinds == kind].mean()) for kind in np.unique(kinds)
        },
        "false_alarms_per_day": float(hits.false_alarms.sum()) / max(trial.days, 1e-9),
        "median_delay_rows": _number(
            np.nanmedian(hits.delay_rows) if hits.caught.any() else np.nan
        ),
        "skill_over_persistence": _skill(naive, evaluate.log_errors(trial, outcome.expected)),
        "unscored_share": evaluate.unscored(trial, outcome),
    }


def _skill(naive: F64, ours: F64) -> float | None:
    return _number(compare.skill(naive, ours)) if np.isfinite(ours - naive).any() else None


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@click.command()
@click.option(
    "--request",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON file, see models/retrain_request.py.",
)
def main(path: Path) -> None:
    """Evaluate the champion of a request on the newest part of its history."""
    try:
        request = read_request(path)
        told = review(request)
        request.out.write_text(json.dumps(told, indent=1) + "\n")
    except StreamerError as exc:
        say("failed", error=str(exc))
        raise SystemExit(exc.exit_code) from exc
    say("done", out=str(request.out))


if __name__ == "__main__":
    main()
