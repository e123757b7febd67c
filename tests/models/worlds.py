"""Small histories for the tests of retraining: noisy waves of a few entities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.split import Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle

START_S = 1.7e9


def waves(
    entities: int = 4, rows: int = 700, channels: int = 1, seed: int = 0, noise: float = 0.3
) -> dict[str, Any]:
    """Arrays of a history npz: sines of 10 to 60 rows, one event in ten seconds or so."""
    rng = np.random.default_rng(seed)
    time_s = np.sort(START_S + np.arange(rows) * 10.0 + rng.uniform(0, 1, (entities, rows)), axis=1)
    period, phase = (rng.uniform(*bounds, (entities, 1, channels)) for bounds in ((10, 60), (0, 6)))
    wave = np.sin(phase + 2 * np.pi * np.arange(rows)[None, :, None] / period)
    values = (wave + noise * rng.normal(size=wave.shape)).astype(np.float32)
    return {"values": values, "time_s": time_s}


def past(**changes: Any) -> Split:
    """The waves, cut for the starter's shape."""
    return split(series_of(waves() | changes, "waves"), starter().spec)


def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


def copycat(directory: Path, version: str = "copycat") -> Path:
    """A whole bundle: the starter, but that it forecasts what was there last. Whoever learns
    anything is better.
    """
    from models import export

    bundle = starter()
    silent = {
        name: np.zeros_like(bundle.weights[name]) for name in ("forecast_out", "forecast_out_bias")
    }
    export.write_bundle(
        directory,
        version=version,
        spec=bundle.spec,
        weights=bundle.weights | silent,
        calibration=bundle.calibration,
        training={},
        prove=("litert",),
        precisions=("f32",),
    )
    return directory


def claiming(bundle: Bundle, known: Split, **changes: Any) -> Bundle:
    """The bundle under another name, with a manifest that says it learnt what may be learnt."""
    training = {"span": list(known.train_span_s), "data_sha256": known.train_sha256}
    return replace(
        bundle, version="challenger", sha256="other", manifest={"training": training}, **changes
    )
