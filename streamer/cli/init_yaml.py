"""The text of the config.yaml that `init` writes, with a comment on most settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*|\d+(/day|m|s|h|d)")
NOT_PLAIN = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"}


@dataclass(frozen=True, slots=True)
class Remarks:
    """What is said above the configuration."""

    notes: Sequence[str] = ()  # what was found
    unsure: Sequence[str] = ()  # what somebody should look at


@dataclass(frozen=True, slots=True)
class FoundStream:
    """The content of the new configuration.

    `kafka` is the section as data; None for a file source.
    """

    name: str
    looked_at: str
    source: Mapping[str, Any]
    entity: tuple[str, ...]
    time: str | None
    unit: str
    channels: tuple[str, ...]
    late: str
    entities: int
    kafka: Mapping[str, Any] | None = None
    schema_registry: Mapping[str, Any] | None = None
    remarks: Remarks = field(default_factory=Remarks)


def render(found: FoundStream) -> str:
    """Return the text of the whole file."""
    lines = [
        f"# Written by `streamer init` from {comment(found.looked_at)}.",
        "# Next: `streamer check`, then `streamer run`. Every key: `streamer schema config`.",
        *(f"# Found: {comment(note)}" for note in found.remarks.notes),
        *(f"# UNSURE: {comment(doubt)}" for doubt in found.remarks.unsure),
        "version: 1",
        "",
        *_section(
            "kafka", found.kafka, "how the brokers are reached; secrets as ${VAR} or ${file:/path}"
        ),
        *_section(
            "schema_registry", found.schema_registry, "where the schemas of avro records are"
        ),
        *_stream(found),
        *_rest(found),
    ]
    return "\n".join(lines) + "\n"


def _section(name: str, data: Mapping[str, Any] | None, why: str) -> list[str]:
    return [] if not data else [f"# {why[0].upper()}{why[1:]}.", f"{name}: {flow(data)}", ""]


def _stream(found: FoundStream) -> list[str]:
    time = "null" if found.time is None else flow({"path": found.time, "unit": found.unit})
    one = scalar(found.entity[0]) if len(found.entity) == 1 else flow(list(found.entity))
    entity = one if found.entity else "[]"
    return [
        "streams:",
        f"  - name: {scalar(found.name)}",
        "    # preset: sensors                 # sensors | transactions | metrics | edge: "
        "settings for a kind of data",
        f"    source: {flow(found.source)}",
        "    fields:",
        _with_reason(
            f"      entity: {entity}", "what is judged by itself; [] = the stream is one series"
        ),
        _with_reason(
            f"      time: {time}",
            "unit: auto | s | ms | us | ns | iso; null = records have no time",
        ),
        _with_reason(f"      channels: {flow(list(found.channels))}", "what is watched"),
        "      # units: {" + f"{scalar(found.channels[0])}: mm/s" + "}   # shown with every alert",
        "    window: "
        + flow({"late": found.late})
        + "               # an event this far behind its entity is left out",
        '    # detect: {direction: above, min_deviation: 0.3, for: "3 of 5", cooldown: 5m}',
        _with_reason(
            "    alerts: " + flow({"budget": "5/day", "expected_entities": found.entities}),
            "the budget is shared by so many entities",
        ),
        "",
    ]


def _rest(found: FoundStream) -> list[str]:
    topics = [
        "  # - {kind: kafka, topic: alerts}     # as CloudEvents, keyed by entity",
        "# dead_letters: {kind: kafka, topic: dead-letters}   # records that cannot be read, with "
        "the reason",
        "store: {kind: files, path: state/snapshots}   # the detectors' memory survives a restart",
    ]
    return [
        "sinks:",
        "  - {kind: stdout}                     # one plain sentence per alert",
        *(topics if found.kafka is not None else ["  # - {kind: file, path: state/alerts.jsonl}"]),
        'server: {listen: "127.0.0.1:8080"}     # /healthz /readyz /metrics /api/v1/alerts',
    ]


def _with_reason(setting: str, reason: str) -> str:
    return f"{setting:<40}  # {reason}"


def flow(value: Any) -> str:
    """Return plain data as YAML in one line."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{scalar(str(key))}: {flow(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """Return a scalar; text is quoted where YAML would read something else."""
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.fullmatch(value) and value.lower() not in NOT_PLAIN:
        return value
    return '"' + "".join(map(_quoted, value)) + '"'


def _quoted(char: str) -> str:
    """Escape a character for double quotes: Python's escapes are valid in YAML."""
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def literal(text: str) -> str:
    """Escape `$` in a text, so that it does not start a variable."""
    return text.replace("$", "$$")


def comment(text: str) -> str:
    """Return the text as one line without control characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
