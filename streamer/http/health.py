"""The checks of liveness and readiness: pure readings of the service, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamer.app.service import Phase, Service
from streamer.event import Message
from streamer.finding import Finding, reading
from streamer.lifecycle.learning import Learning
from streamer.protocols import Clock
from streamer.runtime.model import ModelState
from streamer.runtime.outbox import Outbox, Outlet
from streamer.runtime.reader import Reader
from streamer.runtime.stream_processor import StreamProcessor

# far above the time of any poll or batch; a loop silent for longer hangs and needs a restart
ALIVE_S = 60.0


class Health:
    """Results for /healthz and /readyz; any thread may call it."""

    def __init__(
        self, service: Service, phase: Phase, clock: Clock, alive_s: float = ALIVE_S
    ) -> None:
        self._service, self._phase, self._clock, self._alive_s = service, phase, clock, alive_s

    def alive(self) -> list[Finding]:
        """Check that each loop still runs."""
        beats = {f"reader:{reader.stream}": reader.beat for reader in self._service.readers}
        beats["scorer"] = self._service.scoring_loop.beat
        now = self._clock()
        return [beat_check(name, now - beat, self._alive_s) for name, beat in beats.items()]

    def ready(self) -> list[Finding]:
        """Check that events flow from every source to every sink."""
        return [phase_check(self._phase.name), *readings(self._service)]


def readings(service: Service) -> Iterator[Finding]:
    yield model_check(service.model)
    yield from map(source_check, service.readers)
    yield from map(scores_check, service.processors)
    yield from map(gap_check, service.processors)
    yield from (
        store_check(processor)
        for processor in service.processors
        if processor.snapshots.writer is not None
    )
    yield from map(sink_check, service.outlets)
    yield outbox_check(service.outbox)
    yield attendants_check(service)
    if service.learning is not None:
        yield from learning_checks(service.learning)


def beat_check(name: str, silent_s: float, limit_s: float) -> Finding:
    if silent_s <= limit_s:
        return reading(name, True, "turning")
    return reading(name, False, f"has not turned for {silent_s:.0f} s")


def phase_check(phase: str) -> Finding:
    return reading("service", phase == "running", phase)


def model_check(model: ModelState) -> Finding:
    """Check the model: a fallback still scores, so it is ready; the detail names it."""
    running = f"{model.ref.version} on {model.ref.backend}"
    if model.problem is not None:
        return reading("model", True, f"{running}, because another one is refused: {model.problem}")
    return reading(
        "model",
        True,
        running if model.fallback is None else f"fallback to {running}: {model.fallback}",
    )


def attendants_check(service: Service) -> Finding:
    """Check the background tasks: a crash does not affect scoring, so the service stays ready."""
    crashed = ", ".join(service.crashed)
    told = f"crashed, see the log; a restart brings back: {crashed}" if crashed else "all there"
    return reading("attendants", True, told)


def learning_checks(learning: Learning) -> Iterator[Finding]:
    """Check drift and retraining: their problems never make the service unready."""
    for monitor in learning.drifting.monitors:
        compared = "nothing has drifted" if monitor.signals else "no whole window to compare yet"
        yield reading(f"drift:{monitor.stream}", True, monitor.cause or compared)
    if learning.retrainer is not None:
        yield reading("retrain", True, learning.retrainer.told)


def source_check(reader: Reader) -> Finding:
    name = f"source:{reader.stream}"
    if reader.problem is not None:
        return reading(name, False, f"failing, retried: {reader.problem}")
    if reader.ended:
        return reading(name, True, "ended")
    behind = sum(records for _, records in reader.lags)
    doing = "paused: scoring is behind" if reader.paused else "reading"
    told = f"{doing}, {behind:,} records behind" if behind else doing
    if reader.source.degraded is not None:
        told += f"; slower than it could: {reader.source.degraded}"
    return reading(name, True, told)


def gap_check(processor: StreamProcessor) -> Finding:
    """Check for records removed by retention; they are lost, so the service stays ready.

    The detail lists the partitions.
    """
    lost = [
        f"{topic}-{partition}: {count}"
        for (topic, partition), count in sorted(processor.accounting.expired.items())
    ]
    detail = f"removed by retention before they were read: {', '.join(lost)}" if lost else "no gaps"
    return reading(f"log:{processor.stream}", True, detail)


def store_check(processor: StreamProcessor) -> Finding:
    """Check the snapshot store; without it the service stays ready.

    Scoring goes on, and a restart reads more of the log.
    """
    problem = None if processor.snapshots.writer is None else processor.snapshots.writer.problem
    return reading(
        f"store:{processor.stream}",
        True,
        "keeping snapshots" if problem is None else f"no snapshots: {problem}",
    )


def sink_check(outlet: Outlet[Any]) -> Finding:
    name = f"sink:{outlet.name}"
    if outlet.problem is not None:
        return reading(name, False, f"{outlet.undelivered} undelivered, retried: {outlet.problem}")
    return reading(name, True, "delivering")


def scores_check(processor: StreamProcessor) -> Finding:
    problem = processor.outlets.scores.problem
    return reading(
        f"scores:{processor.stream}",
        problem is None,
        "writing" if problem is None else f"retried: {problem}",
    )


def outbox_check(outbox: Outbox[Message]) -> Finding:
    if outbox.full:
        return reading(
            "outbox",
            False,
            f"{outbox.undelivered} alerts wait (limit {outbox.limit}): scoring is stopped",
        )
    return reading("outbox", True, f"{outbox.undelivered} alerts wait")
