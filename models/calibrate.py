"""The population prior of a bundle: score tails of normal synthetic entities.

A new entity is judged by them until it has a tail of its own. `python -m models.calibrate` measures
them with the production pipeline and writes them into the bundle's manifest. It takes about a
minute.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from models import synth
from models.dataset import History
from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.detect.pipeline import Detector
from streamer.event import EventBatch
from streamer.settings import DetectSettings

ENTITIES, ROWS, CHANNELS = 256, 1200, 2


def measure(bundle: Bundle, seed: int = 11) -> dict[str, Any]:
    """Medians over entities of [log_q, mean excess] of each tail, after ROWS normal events."""
    history = synth.streams(np.random.default_rng(seed), ENTITIES, ROWS, CHANNELS)
    settings = DetectSettings(
        channels=("a", "b"), max_entities=ENTITIES, profile="lean", late_s=np.inf
    )
    detector = Detector(settings, open_scorer(bundle), bundle.spec)
    detector.process(_in_log_order(history))
    learnt = ((evidence.name, evidence.tails()) for evidence in detector.profile.evidences)
    return {name: tails for name, tails in learnt if tails}


def _in_log_order(history: History) -> EventBatch:
    """All events of all entities, one row of every entity after the other."""
    entities, rows, channels = history.values.shape
    entity = np.tile(np.arange(entities, dtype=np.int32), rows)[:, None]
    values = history.values.transpose(1, 0, 2).reshape(-1, channels)
    time_s = history.time_s.T.reshape(-1)
    keys = tuple(f"e{i}" for i in range(entities))
    return EventBatch(
        "calibrate", "synthetic", 0, keys, entity, time_s, values, np.arange(len(time_s))
    )


def calibrated(bundle: Bundle, directory: Path) -> Bundle:
    """Write the bundle with a newly measured prior into `directory`; return it."""
    parts = {name: blob for name, blob in bundle.parts.items() if name != "weights.npz"}
    artifact.save(
        directory,
        version=bundle.version,
        spec=bundle.spec,
        weights=bundle.weights,
        calibration=measure(replace(bundle, calibration={})),
        parts=parts,
        training=bundle.manifest.get("training", {}),
    )
    return artifact.load(directory)


@click.command()
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    default=artifact.PRETRAINED,
    show_default="the starter",
)
def main(bundle: Path) -> None:
    """Measure the population prior of a bundle and write it into its manifest."""
    click.echo(json.dumps(calibrated(artifact.load(bundle), bundle).calibration, indent=1))


if __name__ == "__main__":
    main()
