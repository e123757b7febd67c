"""The learning part of a running service: traffic samples, drift and retrain jobs."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from streamer import artifact
from streamer.config import Config
from streamer.connect import open_registry, open_turns
from streamer.errors import StreamerError
from streamer.event import Alert, EventBatch
from streamer.lifecycle.drift_monitor import Monitor
from streamer.lifecycle.retrain_job import deployment
from streamer.lifecycle.retrain_scheduler import Retrainer, opened_by
from streamer.lifecycle.row_recorder import Recorder
from streamer.lifecycle.schedule import evaluation_of, plan_of
from streamer.lifecycle.subprocess_runner import Limits
from streamer.lifecycle.traffic_sample import TrafficSample
from streamer.protocols import JudgedBatch, Registry
from streamer.runtime.partitions import Partition

log = structlog.get_logger()

# returns the version that judges, and its manifest's `training`
Model = Callable[[], tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class TrafficObserver:
    """Samples what one stream has judged, on the scoring thread."""

    traffic: TrafficSample
    recorder: Recorder | None

    def judged(
        self,
        partition: Partition,
        batch: EventBatch,
        verdicts: Sequence[JudgedBatch],
        *,
        live: bool,
        took_s: float,
    ) -> None:
        """Sample a live batch; batches that rebuild memory were sampled before the restart."""
        if live:
            self.see(batch, verdicts)

    def ticked(self, partition: Partition, now_s: float, alerts: Sequence[Alert]) -> None:
        """Do nothing, because timers add no traffic."""

    def see(self, batch: EventBatch, verdicts: Sequence[JudgedBatch]) -> None:
        """Sample a batch."""
        self.traffic.see(batch, [verdict.scores for verdict in verdicts])
        if self.recorder is not None:
            self.recorder.see(batch)


class Drifting:
    """The background task of the daemon that checks every stream for drift."""

    name = "drift"

    def __init__(self, monitors: Sequence[Monitor], every_s: float, model: Model) -> None:
        self.monitors, self._every_s, self._model = tuple(monitors), every_s, model

    @property
    def cause(self) -> str | None:
        """What has drifted in which stream, in words; None if nothing has."""
        found = [f"{monitor.stream} {monitor.cause}" for monitor in self.monitors if monitor.cause]
        return "; ".join(found) or None

    def run(self, stop: threading.Event) -> None:
        self.step()
        while not stop.wait(self._every_s):
            self.step()

    def step(self) -> None:
        """Check every stream once."""
        version, training = self._model()
        for monitor in self.monitors:
            monitor.model(version, training)
            monitor.look()


@dataclass(frozen=True, slots=True)
class Learning:
    """The parts of learning that observe the streams or run beside them."""

    observers: Mapping[str, TrafficObserver]  # by stream
    drifting: Drifting
    retrainer: Retrainer | None

    @property
    def background_tasks(self) -> tuple[Drifting | Retrainer, ...]:
        return (self.drifting,) if self.retrainer is None else (self.drifting, self.retrainer)


def open_learning(
    config: Config,
    channels: Mapping[str, Sequence[str]],
    version: Callable[[], str],
    registry: Registry | None,
    *,
    command: Sequence[str] = (),
) -> Learning:
    """Open the learning part.

    Without the `command` of a retrain job, or without TensorFlow, it only watches drift.
    """
    trains = config.retrain is not None and bool(command) and _can_train()
    most = config.retrain.max_rows // len(config.streams) if config.retrain is not None else 0
    observers: dict[str, TrafficObserver] = {}
    for stream in config.streams:
        recorded = trains and not stream.source.has_history
        traffic = TrafficSample(float(config.drift.window), config.drift.rows)
        observers[stream.name] = TrafficObserver(traffic, Recorder(most) if recorded else None)
    monitors = [
        Monitor(name, channels[name], observer.traffic, config.drift.threshold)
        for name, observer in observers.items()
    ]
    drifting = Drifting(
        monitors, float(config.drift.every), Trainings(version, registry, config.model.path)
    )
    return Learning(
        observers, drifting, _retrainer(config, command, observers, drifting) if trains else None
    )


def _retrainer(
    config: Config,
    command: Sequence[str],
    observers: Mapping[str, TrafficObserver],
    drifting: Drifting,
) -> Retrainer | None:
    if config.retrain is None:
        return None
    limits = config.retrain.limits
    allowed = Limits(float(limits.time), int(limits.memory), limits.nice, limits.threads)
    recorders = {name: one.recorder for name, one in observers.items() if one.recorder is not None}
    opened = opened_by(partial(open_registry, config, create=True), partial(open_turns, config))
    name = deployment(config)
    return Retrainer(
        plan_of(config.retrain, name),
        allowed,
        command,
        opened,
        evaluation=evaluation_of(config.retrain, name),
        recorders=recorders,
        drift=lambda: drifting.cause,
    )


def _can_train() -> bool:
    if importlib.util.find_spec("tensorflow") is not None:
        return True
    log.warning(
        "retrain_elsewhere",
        problem="TensorFlow is not installed here",
        fix="run streamer retrain as a job",
    )
    return False


class Trainings:
    """Returns the version that judges and its manifest's `training`; read once per version."""

    def __init__(
        self, version: Callable[[], str], registry: Registry | None, path: str | None
    ) -> None:
        self._version, self._registry, self._path = version, registry, path
        self._known: tuple[str, Mapping[str, Any]] = ("", {})

    def __call__(self) -> tuple[str, Mapping[str, Any]]:
        version = self._version()
        if version != self._known[0]:
            self._known = (version, self._read(version))
        return self._known

    def _read(self, version: str) -> Mapping[str, Any]:
        try:
            manifest = json.loads((self._directory(version) / artifact.MANIFEST).read_text())
        except (OSError, ValueError, StreamerError) as exc:
            log.warning("training_unknown", version=version, problem=str(exc))
            return {}
        training = manifest.get("training", {}) if manifest.get("version") == version else {}
        return training if isinstance(training, dict) else {}

    def _directory(self, version: str) -> Path:
        if self._registry is not None and version in self._registry.versions():
            return self._registry.path(version)
        return Path(self._path) if self._path else artifact.PRETRAINED
