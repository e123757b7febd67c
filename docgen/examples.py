"""A short example of each kind of source, sink and store; tests/test_references.py loads them."""

from __future__ import annotations

from collections.abc import Mapping

FIRST = """\
version: 1
streams:
  - name: vibration
    preset: sensors
    source: {kind: file, path: measurements.csv}
    fields: {entity: device, time: ts, channels: [rms, temperature]}
    alerts: {budget: 5/day, expected_entities: 12}
sinks:
  - {kind: stdout}
  - {kind: file, path: state/alerts.jsonl}
"""

EXAMPLES: Mapping[str, str] = {
    "streams[].source:file": """\
streams:
  - name: vibration
    source: {kind: file, path: measurements.csv, pace: 1}
    fields: {entity: device, time: {path: ts, unit: iso}, channels: [rms, temperature]}
""",
    "streams[].source:synthetic": """\
streams:
  - name: plant
    source: {kind: synthetic, world: plant, entities: 8, seed: 7, pace: 10}
""",
    "streams[].source:host": """\
streams:
  - name: host
    preset: metrics
    source: {kind: host, every: 1s}
""",
    "streams[].source:memory": """\
streams:
  - name: embedded
    source: {kind: memory}
""",
    "streams[].source:kafka": """\
streams:
  - name: vibration
    source: {kind: kafka, topic: sensors.raw, group: streamer}
    fields: {entity: "@key", time: "@timestamp", channels: [rms, temperature]}
kafka: {bootstrap_servers: "kafka-1:9092,kafka-2:9092"}
""",
    "sinks[]:stdout": """\
sinks:
  - {kind: stdout}
""",
    "sinks[]:file": """\
sinks:
  - {kind: file, path: state/alerts.jsonl, fsync: true}
""",
    "sinks[]:memory": """\
sinks:
  - {kind: memory}
""",
    "sinks[]:kafka": """\
sinks:
  - {kind: kafka, topic: alerts, compression: gzip}
kafka: {bootstrap_servers: "kafka-1:9092"}
""",
    "dead_letters:file": """\
dead_letters: {kind: file, path: state/dead.jsonl}
""",
    "dead_letters:kafka": """\
dead_letters: {kind: kafka, topic: sensors.dead}
""",
    "labels:file": """\
labels: {kind: file, path: labels.jsonl}
""",
    "labels:kafka": """\
labels: {kind: kafka, topic: labels}
""",
    "store:none": """\
store: {kind: none}
""",
    "store:files": """\
store: {kind: files, path: state}
""",
    "store:redis": """\
store: {kind: redis, url: "rediss://redis:6379/0", password: "${REDIS_PASSWORD}"}
""",
    "kafka.security": """\
kafka:
  bootstrap_servers: ["kafka-1:9093"]
  security:
    protocol: SASL_SSL
    ca: /etc/streamer/ca.pem
    sasl: {mechanism: SCRAM-SHA-512, username: streamer, password: "${KAFKA_PASSWORD}"}
""",
    "model": """\
model: {registry: state/registry, backend: auto}
""",
    "retrain": """\
model: {registry: state/registry}
store: {kind: files, path: state}
retrain: {every: 24h, history: 14d}
""",
    "streams[].detect": """\
streams:
  - name: vibration
    source: {kind: host}
    detect: {direction: above, min_deviation: 0.3, for: "3 of 5", cooldown: 5m}
""",
    "scores": """\
scores: {kind: csv, path: "state/scores-{stream}.csv"}
""",
    "server": """\
server: {listen: "0.0.0.0:8080", token: "${STREAMER_TOKEN}"}
""",
}
