"""Prometheus metrics, read from the running parts at each scrape: no second set of books, no cost
per event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from streamer.lifecycle.retrain_scheduler import Retrainer
from streamer.runtime.stats import Histogram, merged
from streamer.runtime.stream_processor import StreamProcessor

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "streamer_"
SKIPPED = tuple(fate for fate in Fate if fate not in (Fate.SCORED, Fate.DEAD_LETTERED))
Row = tuple[Sequence[str], float]
K = TypeVar("K")


class Metrics(Collector):
    """The exposition text of the given parts; any thread may ask."""

    def __init__(self, parts: Service) -> None:
        self._parts = parts
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(f"{PREFIX}build", "Which program this is.", {"version": __version__})
        for family in (*_FLOW, *_LEARNING, _timings, _loops):
            yield from family(self._parts)


def counter(
    name: str, text: str, labels: Sequence[str], rows: Iterator[Row] | Sequence[Row]
) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, count in rows:
        family.add_metric(values, count)
    return family


def gauge(
    name: str, text: str, labels: Sequence[str], rows: Iterator[Row] | Sequence[Row]
) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def histogram(
    name: str, text: str, labels: Sequence[str], rows: Sequence[tuple[Sequence[str], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, one in rows:
        family.add_metric(values, one.cumulative(), one.total)
    return family


def _of(lines: Sequence[StreamProcessor], value: Callable[[StreamProcessor], float]) -> list[Row]:
    return [((line.stream,), value(line)) for line in lines]


def _records(parts: Service) -> Iterator[Metric]:
    lines, stream = parts.lines, ("stream",)
    settled = {
        line.stream: line.accounting.fates.copy() for line in lines
    }  # before `received`: in flight stays >= 0
    received = _of(lines, lambda line: line.accounting.received)
    in_flight = [((name,), count - int(settled[name].sum())) for (name,), count in received]
    rejected = (
        ((line.stream, why), n) for line in lines for why, n in _counts(line.accounting.rejected)
    )
    skipped = [
        ((name, fate.name.lower()), int(fates[fate]))
        for name, fates in settled.items()
        for fate in SKIPPED
    ]
    dead = [((name,), int(fates[Fate.DEAD_LETTERED])) for name, fates in settled.items()]
    scored = (((line.stream, *key), n) for line in lines for key, n in _counts(line.stats.scored))
    yield counter("records_consumed", "Records read, good and bad.", stream, received)
    yield counter(
        "records_rejected", "Records that could not become events.", ("stream", "reason"), rejected
    )
    yield counter("records_dead_lettered", "Records set aside as undecodable.", stream, dead)
    lost = (
        (line.stream, topic, str(p), n)
        for line in lines
        for (topic, p), n in _counts(line.accounting.expired)
    )
    expired = [(labels, n) for *labels, n in lost]
    where = ("stream", "topic", "partition")
    yield counter(
        "records_expired", "Records that retention removed before they were read.", where, expired
    )
    yield counter(
        "events_skipped",
        "Records settled without a score of their own, by why.",
        ("stream", "reason"),
        skipped,
    )
    yield counter("events_scored", "Events judged.", ("stream", "backend", "model_version"), scored)
    yield gauge("records_in_flight", "Records read and not settled yet.", stream, in_flight)
    yield gauge(
        "queue_items",
        "Polls waiting between reader and scorer.",
        stream,
        _of(lines, lambda a: len(a.mailbox)),
    )
    out_of_order = _of(lines, lambda line: line.partitions.out_of_order)
    yield counter(
        "events_out_of_order", "Events older than their entity's newest one.", stream, out_of_order
    )


def _entities(parts: Service) -> Iterator[Metric]:
    detectors = [
        (line.stream, str(key), some)
        for line in parts.lines
        for key, some in line.partitions.by_key().items()
    ]
    gone = [
        (line.stream, str(key), n)
        for line in parts.lines
        for key, n in line.partitions.evicted().items()
    ]
    keyed = ("stream", "key")
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
    yield gauge("entities_active", "Entities in memory.", keyed, active)
    yield counter(
        "entities_evicted", "Entities that lost their memory.", (*keyed, "reason"), evicted
    )
    yield gauge("ring_bytes", "Memory reserved for entities.", keyed, memory)


def _alerts(parts: Service) -> Iterator[Metric]:
    lines, stream = parts.lines, ("stream",)
    raised = (((line.stream, *key), n) for line in lines for key, n in _counts(line.stats.alerts))
    still_open = _of(lines, lambda line: sum(judge.open_incidents for judge in line.detectors))
    promised = _of(lines, lambda line: line.promised_per_day)
    observed = _of(lines, lambda line: line.stats.observed_per_day)
    yield counter(
        "alerts", "Alert messages, by what happened.", ("stream", "severity", "outcome"), raised
    )
    yield gauge("alerts_open", "Incidents that are open.", stream, still_open)
    yield gauge(
        "alert_rate_promised", "Incidents per day that the operator asked for.", stream, promised
    )
    yield gauge("alert_rate_observed", "Incidents opened per day of event time.", stream, observed)


def _delivery(parts: Service) -> Iterator[Metric]:
    outlets, sink, stream = parts.outlets, ("sink",), ("stream",)
    failures = [((outlet.name,), outlet.failures) for outlet in outlets]
    waiting = [((outlet.name,), outlet.undelivered) for outlet in outlets]
    broken = [((reader.stream,), reader.failures) for reader in parts.readers]
    paused = [((reader.stream,), reader.pauses) for reader in parts.readers]
    unwritten = _of(parts.lines, lambda line: line.scores.failures)
    exposed = [((), float(parts.exposed is not None))]
    yield gauge(
        "broker_exposed", "Whether Kafka is reached in the clear beyond this machine.", (), exposed
    )
    yield counter("publish_failures", "Attempts to deliver alerts that failed.", sink, failures)
    yield gauge("spool_records", "Alerts kept until their sink acknowledges them.", sink, waiting)
    yield counter(
        "source_failures", "Polls that failed, and outages that a source told of.", stream, broken
    )
    yield counter(
        "source_pauses", "Times the source was paused because scoring was behind.", stream, paused
    )
    yield counter(
        "score_write_failures", "Attempts to write scores that failed.", stream, unwritten
    )


def _partitions(parts: Service) -> Iterator[Metric]:
    moves = (
        ((line.stream, how), n) for line in parts.lines for how, n in _counts(line.partitions.moves)
    )
    where = ("stream", "topic", "partition")
    lags = [
        ((r.stream, at.topic, str(at.partition)), records)
        for r in parts.readers
        for at, records in r.lags
    ]
    yield gauge(
        "consumer_lag_records",
        "Records of a partition that are there and not read yet.",
        where,
        lags,
    )
    cut = [((reader.stream,), reader.source.truncations) for reader in parts.readers]
    yield counter(
        "log_truncations",
        "Logs that ended before our position, and were read anew.",
        ("stream",),
        cut,
    )
    slower = [((r.stream,), float(r.source.degraded is not None)) for r in parts.readers]
    yield gauge(
        "source_degraded", "Whether a source reads slower than it could.", ("stream",), slower
    )
    yield counter("rebalances", "Partitions that came and went.", ("stream", "change"), moves)
    found = (
        ((line.stream, how), n)
        for line in parts.lines
        if line.restores is not None
        for how, n in _counts(line.restores.outcomes)
    )
    yield counter(
        "partition_restores",
        "How the memory of partitions was found.",
        ("stream", "outcome"),
        found,
    )


def _snapshots(parts: Service) -> Iterator[Metric]:
    keepers = [
        (line.stream, line.snapshot_writer)
        for line in parts.lines
        if line.snapshot_writer is not None
    ]
    stream = ("stream",)
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
    yield counter("snapshots", "Snapshots of partitions.", ("stream", "outcome"), outcomes)
    yield gauge(
        "snapshot_age_seconds",
        "Age of the oldest among the partitions' newest snapshots.",
        stream,
        age,
    )
    yield gauge("store_up", "Whether the store of snapshots answers.", stream, up)


def _model(parts: Service) -> Iterator[Metric]:
    model, streams = parts.model, [line.stream for line in parts.lines]
    at_work = [
        (model.ref, model.role),
        *([(model.challenger, "challenger")] if model.challenger else []),
    ]
    rows = [
        ((stream, ref.version, role, ref.backend), 1.0)
        for stream in streams
        for ref, role in at_work
    ]
    labels = ("stream", "model_version", "role", "backend")
    swaps = [((outcome,), n) for outcome, n in _counts(model.swaps)]
    trained = [] if model.trained_s is None else [((), model.trained_s)]
    differs = [] if model.disagreement is None else [((), model.disagreement)]
    yield gauge("model_info", "The models at work: who judges, and who shadows.", labels, rows)
    yield gauge(
        "model_trained_timestamp_seconds", "When the model that judges was trained.", (), trained
    )
    yield counter(
        "model_swaps", "Models that took over, and that were refused.", ("outcome",), swaps
    )
    yield gauge(
        "shadow_disagreement_ratio",
        "Share of incidents that only one of two models opened.",
        (),
        differs,
    )


def _timings(parts: Service) -> Iterator[Metric]:
    tallies = [line.stats for line in parts.lines]
    score_s, batches = (
        merged([t.score_s for t in tallies]),
        merged([t.batch_events for t in tallies]),
    )
    delivery = [((line.stream,), line.stats.delivery_s) for line in parts.lines]
    alarms = [((line.stream,), line.stats.alarm) for line in parts.lines]
    yield histogram(
        "stage_duration_seconds",
        "Time of one batch in a stage.",
        ("stage",),
        [(("score",), score_s)],
    )
    yield histogram("batch_events", "Events judged together.", (), [((), batches)])
    yield histogram(
        "event_to_alert_seconds", "From a poll to its last alert's delivery.", ("stream",), delivery
    )
    yield histogram("score", "Scores on the alarm scale: 1 is the alarm line.", ("stream",), alarms)


def _labels(parts: Service) -> Iterator[Metric]:
    heard, listener = parts.feedback.incident_recorder, parts.feedback.listener
    kinds = [((kind,), count) for kind, count in _counts(listener.heard)]
    yield counter("feedback", "Labels that people gave, by kind.", ("label",), kinds)
    yield counter(
        "feedback_refused",
        "Labels that were none, or about nothing known.",
        (),
        [((), listener.refused)],
    )
    yield gauge(
        "feedback_waiting",
        "Labels that wait for their incident.",
        (),
        [((), len(listener.waiting))],
    )
    forgotten = [((), heard.forgotten)]
    yield counter(
        "journal_forgotten",
        "Alerts that the journal never took: labels cannot find them.",
        (),
        forgotten,
    )


def _learning(parts: Service) -> Iterator[Metric]:
    if parts.learning is None:
        return
    drifting, retrainer = parts.learning.drifting, parts.learning.retrainer
    signals = [
        ((one.stream, name), value)
        for one in drifting.monitors
        for name, value in dict(one.signals).items()
    ]
    outcomes = (
        [] if retrainer is None else [((outcome,), n) for outcome, n in _counts(retrainer.outcomes)]
    )
    text = (
        "How far live traffic is from what the model was trained on, or first saw; 0: no "
        "further than by chance."
    )
    yield gauge("drift", text, ("stream", "signal"), signals)
    yield counter("retrain_runs", "Trainings that were started here.", ("outcome",), outcomes)
    if retrainer is not None:
        yield from _evaluations(retrainer)


def _evaluations(retrainer: Retrainer) -> Iterator[Metric]:
    """Runs of this process; the figures are those of the newest one, whichever member made it."""
    runs = [((outcome,), n) for outcome, n in _counts(retrainer.evaluations)]
    figures = retrainer.evaluated.figures
    yield counter(
        "evaluation_runs", "Evaluations of the champion that were started here.", ("outcome",), runs
    )
    for name, key, text in _FIGURES:
        known = isinstance(figures.get(key), int | float)
        rows = [((str(figures["version"]),), float(figures[key]))] if known else []
        yield gauge(name, text, ("model_version",), rows)


def _loops(parts: Service) -> Iterator[Metric]:
    rows = [((f"reader:{reader.stream}",), reader.silent_s) for reader in parts.readers]
    rows.append((("scorer",), parts.scorer.silent_s))
    yield gauge("loop_silent_seconds", "Since when a loop has not come round.", ("loop",), rows)
    crashed = [((one.name,), one.name in parts.crashed) for one in parts.background_tasks]
    yield gauge(
        "attendant_crashed",
        "Whether an error ended what goes on beside the flow.",
        ("attendant",),
        crashed,
    )


def _counts(counts: Counter[K]) -> list[tuple[K, int]]:
    """A copy: the owner goes on counting."""
    return list(dict(counts).items())


_FIGURES = (
    ("evaluation_timestamp_seconds", "at_s", "When the newest evaluation began."),
    ("evaluation_recall_ratio", "recall", "Share of the planted anomalies that it caught."),
    (
        "evaluation_false_alarms_per_day",
        "false_alarms_per_day",
        "False alarms per day of the rows that it judged.",
    ),
)
_FLOW = (_records, _entities, _alerts, _delivery, _partitions, _snapshots)
_LEARNING = (_model, _labels, _learning)
