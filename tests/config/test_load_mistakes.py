"""Each mistake in a configuration is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.examples import GOOD, problems

WRONG = [
    (
        "window: {length: 32",
        "windw: {length: 32",
        "c.yaml:7:5: streams[0].windw: unknown key; did you mean window?",
    ),
    (
        "cooldown: 2m",
        "coolDown: 2m",
        "c.yaml:8:67: streams[0].detect.coolDown: unknown key; did you mean cooldown?",
    ),
    (
        "cooldown: 2m",
        "cooldown: 120",
        "streams[0].detect.cooldown: a duration needs a unit: write 120s or 120m",
    ),
    ("cooldown: 2m", "cooldown: 2 minutes", "'2 minutes' is not a duration; write 250ms, 5m"),
    (
        "budget: 5/day",
        "budget: 5",
        "c.yaml:9:22: streams[0].alerts.budget: a rate needs a unit of time: write 5/day",
    ),
    (
        "budget: 5/day",
        "bugdet: 5/day",
        "streams[0].alerts.bugdet: unknown key; did you mean budget?",
    ),
    (
        "cooldown: 2m",
        "budget: 5/day",
        "streams[0].detect.budget: unknown key here; it belongs to streams[].alerts",
    ),
    (
        "direction: above",
        "direction: up",
        "c.yaml:8:25: streams[0].detect.direction: must be both, above or below",
    ),
    ("direction: above", "direction: abov", "got 'abov'; did you mean above?"),
    ('"3 of 5"', '"6 of 5"', '"6 of 5" cannot be'),
    ('"3 of 5"', "3", 'write "3 of 5"'),
    ("length: 32", "length: 0", "streams[0].window.length: must be at least 1, got 0"),
    ("length: 32", "length: many", "streams[0].window.length: must be a whole number, got 'many'"),
    ("length: 32", "length: true", "streams[0].window.length: must be a number, got true"),
    ("length: 32", "length: 100000", "streams[0].window.length: must be at most 256"),
    ("min_deviation: 0.3", "min_deviation: .nan", "min_deviation: must be a"),
    ("min_deviation: 0.3", "min_deviation: -1", "min_deviation: must be at least 0"),
    (
        "preset: sensors",
        "preset: sensor",
        "c.yaml:4:13: streams[0].preset: must be sensors, transactions",
    ),
    ("name: vibration", "name: a b", "streams[0].name: must be letters, digits"),
    (
        "name: vibration",
        "name: 7",
        'c.yaml:3:11: streams[0].name: must be text; write it in quotes: "7"',
    ),
    ("  - name: vibration\n    preset", "  - preset", "c.yaml:2:1: streams[0].name: is missing"),
    (
        "kind: file",
        "kind: flie",
        "streams[0].source.kind: unknown kind 'flie', known: file, host, kafka, memory, sy",
    ),
    ("kind: file", "kind: flie", "did you mean file?"),
    ("kind: file", "kind: mqtt", "c.yaml:5:20: streams[0].source.kind: unknown kind 'mqtt'"),
    ("kind: file, ", "", "c.yaml:5:13: streams[0].source.kind: is missing"),
    ("path: data.csv", "pth: data.csv", "streams[0].source.pth: unknown key; did you mean path?"),
    ("path: data.csv", 'path: ""', "streams[0].source.path: must not be empty"),
    ("path: data.csv", 'path: "a\\x1b[0m"', "must not hold control characters"),
    ("path: data.csv", "path: x, separator: ab", 'separator: must be one character or "auto"'),
    ("path: data.csv", "path: x, pace: 0", "streams[0].source.pace: must be above 0"),
    ("path: data.csv", "path: x, world: plant", "streams[0].source.world: unknown key here; it"),
    (
        "unit: s}",
        "unit: secs}",
        "c.yaml:6:53: streams[0].fields.time.unit: must be auto, s, ms, us, ns or iso",
    ),
    (
        "time: {path: ts, unit: s}, ",
        "",
        "streams[0].fields.time: is missing: name the time column, or write null",
    ),
    (
        "time: {path: ts, unit: s}",
        "time: [ts]",
        "streams[0].fields.time: must be a mapping of settings, got ['ts']",
    ),
    (
        "channels: [rms, temp]",
        "channels: [rms, rms]",
        "streams[0].fields.channels[1]: 'rms' is named twice",
    ),
    ("channels: [rms, temp]", "channels: rms", 'must be "auto" or a list: write [rms]'),
    (
        "channels: [rms, temp]",
        "channels: [rms, ts]",
        "'ts' is the time; it cannot be a channel too",
    ),
    (
        "entity: device",
        "entity: [device, rms]",
        "streams[0].fields.entity[1]: 'rms' cannot be a channel too",
    ),
    (
        "units: {rms: mm/s}",
        "units: {rsm: mm/s}",
        "streams[0].fields.units.rsm: 'rsm' is not one of the channels",
    ),
    ("units: {rms: mm/s}", "context: [load]", "streams[0].fields.context: not in this version"),
    (
        "cooldown: 2m",
        "watch: [load]",
        "streams[0].detect.watch[0]: 'load' is not one of the channels",
    ),
    ("critical: 2.0", "critical: 0.5", "severity.critical: must be at least 1"),
    (
        "warning: 1.0",
        "warning: 3",
        "streams[0].alerts.severity.critical: must not be below warning (3), got 2",
    ),
    (
        "127.0.0.1:8080",
        "0.0.0.0:8080",
        "server.token: is needed: 0.0.0.0:8080 can be reached from outside",
    ),
    ("127.0.0.1:8080", "8080", "server.listen: must be host:port"),
    ("127.0.0.1:8080", "127.0.0.1:99999", "server.listen: must be host:port"),
    (
        "level: info",
        "level: chatty",
        "c.yaml:11:14: log.level: must be debug, info, warning or error",
    ),
    ("level: info", 'level: "${LEVEL}"', "c.yaml:11:14: log.level: the variable LEVEL is not set"),
    ("level: info", "level: [info]", "log.level: must be debug, info, warning or error"),
    ("log: {", "lgo: {", "c.yaml:11:1: lgo: unknown key; did you mean log?"),
    ("version: 1", "version: 2", "c.yaml:1:10: version: must be 1, got 2"),
    ("version: 1\n", "", "version: is missing"),
    ("level: info", "level: ${LEVEL}", 'inside braces, write "${...}" in quotes'),
    (
        "log: {level: info, format: auto}",
        "retrain: {evry: 24h}",
        "retrain.evry: unknown key; did you mean every?",
    ),
    ("log: {level: info, format: auto}", "retrain: {every: 24h}", "retrain: needs model.registry"),
    (
        "log: {level: info, format: auto}",
        "retrain: {timezone: Mars/Olympus}",
        "retrain.timezone: 'Mars/Olympus' is no",
    ),
    (
        "log: {level: info, format: auto}",
        'retrain: {cron: "0 0 30 2 *"}',
        "retrain.cron: Bad day-of-month; write five fields",
    ),
    (
        "log: {level: info, format: auto}",
        'retrain: {cron: "0 3 * * *", every: 1h}',
        "retrain.cron: excludes every",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {evaluate: {every: 5s, jitter: 1s}}",
        "retrain.evaluate.every: mu",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {every: 5m, jitter: 5m}",
        "retrain.jitter: must be shorter than ev",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {evaluate: {min_rows: 5}}",
        "retrain.evaluate.min_rows: unknown",
    ),
    (
        "log: {level: info, format: auto}",
        "retrain: {limits: {memory: 100MiB}}",
        "retrain.limits.memory: must be at le",
    ),
    (
        "log: {level: info, format: auto}",
        "store: {kind: rediss}",
        "store.kind: unknown kind 'rediss', known: fi",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {alias: edge}",
        "model.alias: needs model.registry",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {backend: tflite}",
        "model.backend: must be auto, litert",
    ),
    (
        "log: {level: info, format: auto}",
        "model: {threads: 0}",
        "model.threads: must be at least 1",
    ),
    (
        "log: {level: info, format: auto}",
        "sinks: [{kind: webhook}]",
        "sinks[0].kind: unknown kind 'webhook'",
    ),
    ("log: {level: info, format: auto}", "sinks: [{kind: file}]", "sinks[0].path: is missing"),
    ("log: {level: info, format: auto}", "sinks: {kind: stdout}", "sinks: must be a list"),
    (
        "log: {level: info, format: auto}",
        "scores: {kind: xml, path: x}",
        "scores.kind: must be jsonl or csv",
    ),
    (
        "log: {level: info, format: auto}",
        "runtime: {retry_first: 1h}",
        "runtime.retry_first: must be above 0s and",
    ),
    (
        "log: {level: info, format: auto}",
        "log: {level: info, level: info}",
        "log.level: the key is set twice",
    ),
    (
        "log: {level: info, format: auto}",
        "sinks: [{kind: file, path: a}, {kind: file, path: a}]",
        "sinks[1].path: 'a' is written by two sinks",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_each_mistake_is_named_with_its_place(
    tmp_path: Path, right: str, wrong: str, words: str
) -> None:
    assert right in GOOD
    (shown,) = problems(tmp_path, GOOD.replace(right, wrong, 1))
    assert words in shown
    assert shown.startswith("c.yaml:")
