"""Latency of scoring beside a training: p99 of a batch with the real processes and without.

    python -m bench.beside [--rounds N] (writes bench/results/beside.json and prints the table)

A plant's stream at 2,000 events/s is judged on this thread. In every other round `streamer retrain`
runs as the daemon starts it, including the history, under the default limits (nice, one thread).
Rounds alternate, so a machine that others use slows both kinds alike. The measure is the wall time
of a batch, which is how long an event waits for its score.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from bench.figures import Figure, rounded, table, write
from streamer import artifact
from streamer.backends import open_scorer
from streamer.config import Config, RetrainLimits, load_config
from streamer.connect import open_source
from streamer.detect.pipeline import Detector
from streamer.event import EventBatch
from streamer.lifecycle import subprocess_runner
from streamer.lifecycle.retrain_scheduler import command_of
from streamer.lifecycle.subprocess_runner import Limits

EVENTS_PER_S, BATCH_S = 2000, 0.02
QUIET_S = 20.0  # of a round without a training
TRAINING = "2m"  # upper bound: two rounds, as `make bench` runs them, take less than five minutes
MUST = 1.5


@dataclass
class Scoring:
    """A detector that gets a batch every BATCH_S, and the duration of each batch."""

    detector: Detector
    batches: list[EventBatch]
    place: int = 0  # of the next batch

    def until(self, done: threading.Event, at_most_s: float = 3600.0) -> np.ndarray:
        """Judge until the event; return the seconds of each batch."""
        took, end_s = [], time.monotonic() + at_most_s
        while not done.is_set() and time.monotonic() < end_s:
            began = time.perf_counter()
            self.detector.process(self.batches[self.place % len(self.batches)])
            took.append(time.perf_counter() - began)
            self.place += 1
            done.wait(max(BATCH_S - took[-1], 0.0))
        return np.array(took)


def configured(folder: Path) -> Path:
    stream = {
        "name": "plant",
        "source": {"kind": "synthetic", "entities": 40, "events": 60_000, "faults": False},
    }
    config = {
        "version": 1,
        "streams": [stream],
        "model": {"registry": str(folder / "registry")},
        "retrain": {
            "limits": {"time": TRAINING},
            "distil": False,
            "reports": str(folder / "reports"),
        },
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def scoring(config: Config) -> Scoring:
    """Open a scoring in which every entity is already judged."""
    stream, bundle = config.streams[0], artifact.load(artifact.PRETRAINED)
    source = open_source(stream)
    settings = stream.detect_settings(source.channels)
    rows: list[EventBatch] = []
    while (poll := source.poll(1.0)) is not None:
        rows += poll.batches
    size = round(EVENTS_PER_S * BATCH_S)
    batches = [batch.rows(slice(i, i + size)) for batch in rows for i in range(0, len(batch), size)]
    made = Scoring(
        Detector(settings, open_scorer(bundle), bundle.spec, bundle.calibration), batches
    )
    for batch in batches[: len(batches) // 4]:
        made.detector.process(batch)
    made.place = len(batches) // 4
    return made


def training(path: Path, done: threading.Event) -> None:
    """Run one real training; it may be refused or published."""
    limits = RetrainLimits()
    allowed = Limits(float(limits.time), int(limits.memory), limits.nice, limits.threads)
    try:
        command = [*command_of(path, ()), "--cause", "bench"]
        ended = subprocess_runner.run(
            command, allowed, stop=lambda: False, hear=lambda event: None, farewell_s=2.5
        )
        print(f"training: {ended.seconds:.0f} s, exit code {ended.code}")
    finally:
        done.set()


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
def main(rounds: int) -> None:
    """Measure, write, print."""
    idle: list[np.ndarray] = []
    busy: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        path = configured(Path(folder))
        flow = scoring(load_config(path))
        for _ in range(rounds):
            idle.append(flow.until(threading.Event(), QUIET_S))
            done = threading.Event()
            thread = threading.Thread(target=training, args=(path, done))
            thread.start()
            busy.append(flow.until(done))
            thread.join()
    figures = summary(idle, busy)
    write("beside", figures)
    print(table(figures))


def summary(idle: list[np.ndarray], busy: list[np.ndarray]) -> list[Figure]:
    """Figures of each kind, as the median of its rounds, because other programs disturb some."""
    quiet, loud = (
        [1e3 * float(np.quantile(one, 0.99)) for one in rounds] for rounds in (idle, busy)
    )
    ratios = [b / a for a, b in zip(quiet, loud, strict=True)]
    p50 = [1e3 * float(np.median(np.concatenate(rounds))) for rounds in (idle, busy)]
    return [
        Figure(
            "p99_beside_training",
            rounded(float(np.median(ratios))),
            "x",
            "lower",
            rounded(min(ratios)),
            rounded(max(ratios)),
            "p99 of a batch without a training, ms",
            rounded(float(np.median(quiet))),
            MUST,
        ),
        Figure(
            "p99_batch_training_ms",
            rounded(float(np.median(loud))),
            "ms",
            "lower",
            rounded(min(loud)),
            rounded(max(loud)),
        ),
        Figure("p50_batch_ms", rounded(p50[0]), "ms", "lower"),
        Figure("p50_batch_training_ms", rounded(p50[1]), "ms", "lower"),
    ]


if __name__ == "__main__":
    main()
