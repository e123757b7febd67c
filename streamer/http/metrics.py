"""Prometheus metrics, read from the running service at each scrape.

They need no counters of their own and cost nothing per event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamer import __version__
from streamer.app.service import Service
from streamer.event import Fate
from streamer.http.metric_entry import PREFIX
from streamer.http.metric_table import TABLE
from streamer.lifecycle.retrain_scheduler import Retrainer
from streamer.runtime.stats import Histogram, merged
from streamer.runtime.stream_processor import StreamProcessor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SKIPPED = tuple(fate for fate in Fate if fate not in (Fate.SCORED, Fate.DEAD_LETTERED))
Row = tuple[Sequence[str], float]
K = TypeVar("K")


class Metrics(Collector):
    """The exposition text of a service; any thread may call it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", TABLE["build"].text, {"version": __version__})
        for family in (*_FLOW, *_LEARNING, _timings, _loops):
            yield from family(self._service)


def family(name: str, rows: Iterable[Row]) -> Metric:
    """Return a counter or gauge of the table with its values by label."""
    entry = TABLE[name]
    kind = CounterMetricFamily if entry.kind == "counter" else GaugeMetricFamily
    made: CounterMetricFamily | GaugeMetricFamily = kind(
        PREFIX + name, entry.text, labels=entry.labels
    )
    for values, value in rows:
        made.add_metric(values, value)
    return made


def histogram(name: str, rows: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
    entry = TABLE[name]
    made = HistogramMetricFamily(PREFIX + name, entry.text, labels=entry.labels)
    for values, one in rows:
        made.add_metric(values, one.cumulative(), one.total)
    return made


def _of(
    processors: Sequence[StreamProcessor], value: Callable[[StreamProcessor], float]
) -> list[Row]:
    return [((processor.stream,), value(processor)) for processor in processors]


def _records(service: Service) -> Iterator[Metric]:
    processors = service.processors
    # read before `received`, so that in flight is >= 0
    settled = {processor.stream: processor.accounting.fates.copy() for processor in processors}
    received = _of(processors, lambda processor: processor.accounting.received)
    in_flight = [((name,), count - int(settled[name].sum())) for (name,), count in received]
    rejected = (
        ((processor.stream, why), n)
        for processor in processors
        for why, n in _counts(processor.accounting.rejected)
    )
    skipped = [
        ((name, fate.name.lower()), int(fates[fate]))
        for name, fates in settled.items()
        for fate in SKIPPED
    ]
    dead = [((name,), int(fates[Fate.DEAD_LETTERED])) for name, fates in settled.items()]
    scored = (
        ((processor.stream, *key), n)
        for processor in processors
        for key, n in _counts(processor.stats.scored)
    )
    yield family("records_consumed", received)
    yield family("records_rejected", rejected)
    yield family("records_dead_lettered", dead)
    lost = (
        (processor.stream, topic, str(p), n)
        for processor in processors
        for (topic, p), n in _counts(processor.accounting.expired)
    )
    expired = [(labels, n) for *labels, n in lost]
    yield family("records_expired", expired)
    yield family("events_skipped", skipped)
    yield family("events_scored", scored)
    yield family("records_in_flight", in_flight)
    yield family("queue_items", _of(processors, lambda a: len(a.inlet.mailbox)))
    out_of_order = _of(processors, lambda processor: processor.partitions.out_of_order)
    yield family("events_out_of_order", out_of_order)


def _entities(service: Service) -> Iterator[Metric]:
    detectors = [
        (processor.stream, str(key), some)
        for processor in service.processors
        for key, some in processor.partitions.by_key().items()
    ]
    gone = [
        (processor.stream, str(key), n)
        for processor in service.processors
        for key, n in processor.partitions.evicted().items()
    ]
    active = [
        ((stream, key), sum(judge.entities_active for judge in some))
        for stream, key, some in detectors
    ]
    memory = [
        ((stream, key), sum(judge.memory_bytes for judge in some))
        for stream, key, some in detectors
    ]
    evicted = [
        ((stream, key, why), n) for stream, key, counts in gone for why, n in sorted(counts.items())
    ]
    yield family("entities_active", active)
    yield family("entities_evicted", evicted)
    yield family("ring_bytes", memory)


def _alerts(service: Service) -> Iterator[Metric]:
    processors = service.processors
    raised = (
        ((processor.stream, *key), n)
        for processor in processors
        for key, n in _counts(processor.stats.alerts)
    )
    still_open = _of(
        processors, lambda processor: sum(judge.open_incidents for judge in processor.detectors)
    )
    promised = _of(processors, lambda processor: processor.facts.promised_per_day)
    observed = _of(processors, lambda processor: processor.stats.observed_per_day)
    yield family("alerts", raised)
    yield family("alerts_open", still_open)
    yield family("alert_rate_promised", promised)
    yield family("alert_rate_observed", observed)


def _delivery(service: Service) -> Iterator[Metric]:
    outlets = service.outlets
    failures = [((outlet.name,), outlet.failures) for outlet in outlets]
    waiting = [((outlet.name,), outlet.undelivered) for outlet in outlets]
    broken = [((reader.stream,), reader.failures) for reader in service.readers]
    paused = [((reader.stream,), reader.pauses) for reader in service.readers]
    unwritten = _of(service.processors, lambda processor: processor.outlets.scores.failures)
    exposed = [((), float(service.exposed is not None))]
    yield family("broker_exposed", exposed)
    yield family("publish_failures", failures)
    yield family("spool_records", waiting)
    yield family("source_failures", broken)
    yield family("source_pauses", paused)
    yield family("score_write_failures", unwritten)


def _partitions(service: Service) -> Iterator[Metric]:
    moves = (
        ((processor.stream, how), n)
        for processor in service.processors
        for how, n in _counts(processor.partitions.moves)
    )
    lags = [
        ((r.stream, at.topic, str(at.partition)), records)
        for r in service.readers
        for at, records in r.lags
    ]
    yield family("consumer_lag_records", lags)
    cut = [((reader.stream,), reader.source.truncations) for reader in service.readers]
    yield family("log_truncations", cut)
    slower = [((r.stream,), float(r.source.degraded is not None)) for r in service.readers]
    yield family("source_degraded", slower)
    yield family("rebalances", moves)
    found = (
        ((processor.stream, how), n)
        for processor in service.processors
        if processor.facts.restores is not None
        for how, n in _counts(processor.facts.restores.outcomes)
    )
    yield family("partition_restores", found)


def _snapshots(service: Service) -> Iterator[Metric]:
    keepers = [
        (processor.stream, processor.snapshots.writer)
        for processor in service.processors
        if processor.snapshots.writer is not None
    ]
    outcomes = [
        ((name, outcome), n)
        for name, snapshot_writer in keepers
        for outcome, n in (
            ("written", snapshot_writer.stats.written),
            ("failed", snapshot_writer.stats.failed),
        )
    ]
    up = [((name,), float(snapshot_writer.problem is None)) for name, snapshot_writer in keepers]
    age = [((name,), snapshot_writer.age_s) for name, snapshot_writer in keepers]
    yield family("snapshots", outcomes)
    yield family("snapshot_age_seconds", age)
    yield family("store_up", up)


def _model(service: Service) -> Iterator[Metric]:
    model, streams = service.model, [processor.stream for processor in service.processors]
    at_work = [
        (model.ref, model.role),
        *([(model.challenger, "challenger")] if model.challenger else []),
    ]
    rows = [
        ((stream, ref.version, role, ref.backend), 1.0)
        for stream in streams
        for ref, role in at_work
    ]
    swaps = [((outcome,), n) for outcome, n in _counts(model.swaps)]
    trained = [] if model.trained_s is None else [((), model.trained_s)]
    differs = [] if model.disagreement is None else [((), model.disagreement)]
    yield family("model_info", rows)
    yield family("model_trained_timestamp_seconds", trained)
    yield family("model_swaps", swaps)
    yield family("shadow_disagreement_ratio", differs)


def _timings(service: Service) -> Iterator[Metric]:
    tallies = [processor.stats for processor in service.processors]
    score_s, batches = (
        merged([t.score_s for t in tallies]),
        merged([t.batch_events for t in tallies]),
    )
    delivery = [
        ((processor.stream,), processor.stats.delivery_s) for processor in service.processors
    ]
    alarms = [((processor.stream,), processor.stats.alarm) for processor in service.processors]
    yield histogram("stage_duration_seconds", [(("score",), score_s)])
    yield histogram("batch_events", [((), batches)])
    yield histogram("event_to_alert_seconds", delivery)
    yield histogram("score", alarms)


def _labels(service: Service) -> Iterator[Metric]:
    heard, listener = service.feedback.incident_recorder, service.feedback.listener
    kinds = [((kind,), count) for kind, count in _counts(listener.heard)]
    yield family("feedback", kinds)
    yield family("feedback_refused", [((), listener.refused)])
    yield family("feedback_waiting", [((), len(listener.waiting))])
    forgotten = [((), heard.forgotten)]
    yield family("journal_forgotten", forgotten)


def _learning(service: Service) -> Iterator[Metric]:
    if service.learning is None:
        return
    drifting, retrainer = service.learning.drifting, service.learning.retrainer
    signals = [
        ((one.stream, name), value)
        for one in drifting.monitors
        for name, value in dict(one.signals).items()
    ]
    outcomes = (
        [] if retrainer is None else [((outcome,), n) for outcome, n in _counts(retrainer.outcomes)]
    )
    yield family("drift", signals)
    yield family("retrain_runs", outcomes)
    if retrainer is not None:
        yield from _evaluations(retrainer)


def _evaluations(retrainer: Retrainer) -> Iterator[Metric]:
    """Yield the runs of this process, and the figures of the newest evaluation of any member."""
    runs = [((outcome,), n) for outcome, n in _counts(retrainer.evaluations)]
    figures = retrainer.evaluated.figures
    yield family("evaluation_runs", runs)
    for name, key in _FIGURES:
        known = isinstance(figures.get(key), int | float)
        rows = [((str(figures["version"]),), float(figures[key]))] if known else []
        yield family(name, rows)


def _loops(service: Service) -> Iterator[Metric]:
    rows = [((f"reader:{reader.stream}",), reader.silent_s) for reader in service.readers]
    rows.append((("scorer",), service.scoring_loop.silent_s))
    yield family("loop_silent_seconds", rows)
    crashed = [((one.name,), one.name in service.crashed) for one in service.background_tasks]
    yield family("attendant_crashed", crashed)


def _counts(counts: Counter[K]) -> list[tuple[K, int]]:
    """Return a copy of the counts, because their owner may change them during iteration."""
    return list(dict(counts).items())


_FIGURES = (
    ("evaluation_timestamp_seconds", "at_s"),
    ("evaluation_recall_ratio", "recall"),
    ("evaluation_false_alarms_per_day", "false_alarms_per_day"),
)
_FLOW = (_records, _entities, _alerts, _delivery, _partitions, _snapshots)
_LEARNING = (_model, _labels, _learning)
