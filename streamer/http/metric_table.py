"""Every exported metric: name, kind, labels, help, and what to do when it is high.

docs/metrics.md is generated from this table, and `metrics` fills it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamer.http.metric_entry import MetricEntry

STREAM = ("stream",)
PLACE = ("stream", "topic", "partition")
FINE = "Nothing: it tells how much work there is."

RECORDS = (
    MetricEntry("counter", "records_consumed", "Records read, good and bad.", STREAM, FINE),
    MetricEntry(
        "counter",
        "records_rejected",
        "Records that could not become events.",
        ("stream", "reason"),
        "Look at them with `streamer dlq list --rows` or `streamer tap`, and correct `fields` or "
        "the producer.",
    ),
    MetricEntry(
        "counter",
        "records_dead_lettered",
        "Records set aside as undecodable.",
        STREAM,
        "See `streamer_records_rejected_total`. Send them back with `streamer dlq replay` once "
        "they can be read.",
    ),
    MetricEntry(
        "counter",
        "records_expired",
        "Records that retention removed before they were read.",
        PLACE,
        "These records are lost. Keep the topic's log longer, or add members or cores.",
    ),
    MetricEntry(
        "counter",
        "events_skipped",
        "Records settled without a score of their own, by why.",
        ("stream", "reason"),
        "Of late ones raise `window.late`, of duplicate ones look at the producer. Warming is the "
        "beginning of an entity; replayed and returned follow a rebalance.",
        "Reasons: warming, duplicate, late, missing, expired, replayed, returned.",
    ),
    MetricEntry(
        "counter", "events_scored", "Events judged.", ("stream", "backend", "model_version"), FINE
    ),
    MetricEntry(
        "gauge",
        "records_in_flight",
        "Records read and not settled yet.",
        STREAM,
        "Scoring or delivery is behind: see `streamer_stage_duration_seconds` and "
        "`streamer_spool_records`.",
    ),
    MetricEntry(
        "gauge",
        "queue_items",
        "Polls waiting between reader and scorer.",
        STREAM,
        "Scoring is slower than reading. At `runtime.mailbox_batches` the source is paused.",
    ),
    MetricEntry(
        "counter",
        "events_out_of_order",
        "Events older than their entity's newest one.",
        STREAM,
        "Key the records by entity, so that one partition holds an entity in order.",
    ),
)
ENTITIES = (
    MetricEntry(
        "gauge",
        "entities_active",
        "Entities in memory.",
        ("stream", "key"),
        "Near `detect.max_entities` raise that setting, or entities are evicted.",
    ),
    MetricEntry(
        "counter",
        "entities_evicted",
        "Entities that lost their memory.",
        ("stream", "key", "reason"),
        "Many with the reason lru say that `detect.max_entities` is too small.",
        "Reasons: lru, for room, and idle, after `detect.idle_after` or `window.max_gap`.",
    ),
    MetricEntry(
        "gauge",
        "ring_bytes",
        "Memory reserved for entities.",
        ("stream", "key"),
        "Lower `detect.max_entities`, or choose the lean profile.",
    ),
)
ALERTS = (
    MetricEntry(
        "counter",
        "alerts",
        "Alert messages, by what happened.",
        ("stream", "severity", "outcome"),
        "Label false alarms, lower `alerts.budget`, or raise `detect.min_evidence`.",
        "Outcomes: opened, updated, resolved.",
    ),
    MetricEntry(
        "gauge",
        "alerts_open",
        "Incidents that are open.",
        STREAM,
        "Look for a common cause with `streamer alerts list --open`.",
    ),
    MetricEntry(
        "gauge",
        "alert_rate_promised",
        "Incidents per day that the operator asked for.",
        STREAM,
        "Nothing: it is `alerts.budget`.",
    ),
    MetricEntry(
        "gauge",
        "alert_rate_observed",
        "Incidents opened per day of event time.",
        STREAM,
        "Above the promised rate: check `alerts.expected_entities`, and whether data drifted.",
    ),
    MetricEntry(
        "histogram",
        "score",
        "Scores on the alarm scale: 1 is the alarm line.",
        STREAM,
        "Many scores near 1 say that the alarm line cuts through ordinary events: see "
        "`streamer_drift`.",
    ),
)
DELIVERY = (
    MetricEntry(
        "counter",
        "publish_failures",
        "Attempts to deliver alerts that failed.",
        ("sink",),
        "The log and /readyz say why. Attempts go on until the sink takes the alerts.",
    ),
    MetricEntry(
        "gauge",
        "spool_records",
        "Alerts kept until their sink acknowledges them.",
        ("sink",),
        "The sink is down or slow. At `runtime.undelivered_alerts` scoring stops.",
    ),
    MetricEntry(
        "histogram",
        "event_to_alert_seconds",
        "From a poll to its last alert's delivery.",
        STREAM,
        "See `streamer_queue_items` for waiting, `streamer_stage_duration_seconds` for scoring, "
        "`streamer_spool_records` for the sink. `runtime.cores` makes the slowest alerts faster.",
    ),
    MetricEntry(
        "counter",
        "score_write_failures",
        "Attempts to write scores that failed.",
        STREAM,
        "Check space and permissions of `scores.path`; the log says why.",
    ),
)
SOURCES = (
    MetricEntry(
        "gauge",
        "broker_exposed",
        "Whether Kafka is reached in the clear beyond this machine.",
        (),
        "At 1 set `kafka.security`; `streamer check --security` lists what is exposed.",
    ),
    MetricEntry(
        "counter",
        "source_failures",
        "Polls that failed, and outages that a source told of.",
        STREAM,
        "/readyz and the log say why. `streamer check --connect` tries every server.",
    ),
    MetricEntry(
        "counter",
        "source_pauses",
        "Times the source was paused because scoring was behind.",
        STREAM,
        "Add members or cores, or choose the lean profile.",
    ),
    MetricEntry(
        "gauge",
        "consumer_lag_records",
        "Records of a partition that are there and not read yet.",
        PLACE,
        "If it grows, add members up to the number of partitions, or cores.",
    ),
    MetricEntry(
        "counter",
        "log_truncations",
        "Logs that ended before our position, and were read anew.",
        STREAM,
        "A topic was made again, or brokers lost records in a failover: check their replication.",
    ),
    MetricEntry(
        "gauge",
        "source_degraded",
        "Whether a source reads slower than it could.",
        STREAM,
        "The reason stands in /readyz. Install the version of kafka-python that it names.",
    ),
    MetricEntry(
        "counter",
        "rebalances",
        "Partitions that came and went.",
        ("stream", "change"),
        "Members restart or time out. Set `source.instance`, or raise `source.session_timeout`.",
    ),
)
MEMORY = (
    MetricEntry(
        "counter",
        "partition_restores",
        "How the memory of partitions was found.",
        ("stream", "outcome"),
        "Of outcomes other than restored and none check the store; short entities warm up again.",
        "Outcomes: restored, stale, none; and of snapshots that could not be used missing, "
        "store_down, torn, foreign, other_schema, newer_than_commit, expired.",
    ),
    MetricEntry(
        "counter",
        "snapshots",
        "Snapshots of partitions.",
        ("stream", "outcome"),
        "Of failed ones /readyz says why: check the store.",
        "Outcomes: written, failed.",
    ),
    MetricEntry(
        "gauge",
        "snapshot_age_seconds",
        "Age of the oldest among the partitions' newest snapshots.",
        STREAM,
        "Many times `snapshots.every`: the store is away or too slow. A restart reads more again.",
    ),
    MetricEntry(
        "gauge",
        "store_up",
        "Whether the store of snapshots answers.",
        STREAM,
        "At 1 nothing. At 0 the store is away: scoring goes on, and snapshots grow old.",
    ),
)
MODELS = (
    MetricEntry("info", "build", "Which program this is.", ("version",), "Nothing."),
    MetricEntry(
        "gauge",
        "model_info",
        "The models at work: who judges, and who shadows.",
        ("stream", "model_version", "role", "backend"),
        "Always 1. The role fallback says that the baseline judges: /readyz says why.",
    ),
    MetricEntry(
        "gauge",
        "model_trained_timestamp_seconds",
        "When the model that judges was trained.",
        (),
        "Nothing. If it is long ago, `streamer_retrain_runs_total` says why no newer model came.",
    ),
    MetricEntry(
        "counter",
        "model_swaps",
        "Models that took over, and that were refused.",
        ("outcome",),
        "The log says why a model was refused or rolled back.",
        "Outcomes: promoted, rolledback, refused.",
    ),
    MetricEntry(
        "gauge",
        "shadow_disagreement_ratio",
        "Share of incidents that only one of two models opened.",
        (),
        "Compare both in `/api/v1/models` before you promote the challenger.",
    ),
    MetricEntry(
        "gauge",
        "drift",
        "How far live traffic is from what the model was trained on, or first saw; 0: no further "
        "than by chance.",
        ("stream", "signal"),
        "Above `drift.threshold` look at the signal. If the change is meant to stay, train anew.",
    ),
    MetricEntry(
        "counter",
        "retrain_runs",
        "Trainings that were started here.",
        ("outcome",),
        "The reports in `retrain.reports` say why a model was refused, the log why one failed.",
        "Outcomes: published, refused, not_due, busy, failed, stopped.",
    ),
    MetricEntry(
        "counter",
        "evaluation_runs",
        "Evaluations of the champion that were started here.",
        ("outcome",),
        "The log says why one failed.",
        "Outcomes: evaluated, not_due, busy, failed, stopped.",
    ),
    MetricEntry(
        "gauge",
        "evaluation_timestamp_seconds",
        "When the newest evaluation began.",
        ("model_version",),
        "Nothing. If it is long ago, see `streamer_evaluation_runs_total`.",
    ),
    MetricEntry(
        "gauge",
        "evaluation_recall_ratio",
        "Share of the planted anomalies that it caught.",
        ("model_version",),
        "High is good. If it falls, the champion has aged: train anew.",
    ),
    MetricEntry(
        "gauge",
        "evaluation_false_alarms_per_day",
        "False alarms per day of the rows that it judged.",
        ("model_version",),
        "The champion has aged: train anew, and label false alarms.",
    ),
)
FEEDBACK = (
    MetricEntry("counter", "feedback", "Labels that people gave, by kind.", ("label",), FINE),
    MetricEntry(
        "counter",
        "feedback_refused",
        "Labels that were none, or about nothing known.",
        (),
        "The log says why. Members of a group that hear one topic must share a Redis.",
    ),
    MetricEntry(
        "gauge",
        "feedback_waiting",
        "Labels that wait for their incident.",
        (),
        "Labels name incidents that are not known yet; after five minutes they are refused.",
    ),
    MetricEntry(
        "counter",
        "journal_forgotten",
        "Alerts that the journal never took: labels cannot find them.",
        (),
        "The store is away or too slow: check it.",
    ),
)
LOOPS = (
    MetricEntry(
        "histogram",
        "stage_duration_seconds",
        "Time of one batch in a stage.",
        ("stage",),
        "Scoring is slow: lower `runtime.batch_rows`, choose the lean profile, or add cores.",
    ),
    MetricEntry("histogram", "batch_events", "Events judged together.", (), FINE),
    MetricEntry(
        "gauge",
        "loop_silent_seconds",
        "Since when a loop has not come round.",
        ("loop",),
        "Above 60 /healthz fails. Restart the service, and report its log.",
    ),
    MetricEntry(
        "gauge",
        "attendant_crashed",
        "Whether an error ended what goes on beside the flow.",
        ("attendant",),
        "At 1 the log has the error. Scoring goes on; a restart brings the attendant back.",
    ),
)
GROUPS: Mapping[str, Sequence[MetricEntry]] = {
    "Records and events": RECORDS,
    "Entities": ENTITIES,
    "Alerts": ALERTS,
    "Delivery": DELIVERY,
    "Sources": SOURCES,
    "Memory of partitions": MEMORY,
    "Models and learning": MODELS,
    "Labels": FEEDBACK,
    "The service itself": LOOPS,
}
TABLE: Mapping[str, MetricEntry] = {
    entry.name: entry for group in GROUPS.values() for entry in group
}
