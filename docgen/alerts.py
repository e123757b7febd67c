"""docs/alerts.md: every field of an alert and of a model event, from the schemas of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from docgen.markdown import (
    WIDTH,
    code,
    entry,
    fence,
    generated,
    heading,
    items,
    link,
    page,
    table,
    wrap,
)
from docgen.types import type_of
from streamer.cli.schema import schema_of
from streamer.connect.formats.alert_event import message_json
from streamer.connect.kafka.producer.cloudevents import alert_headers
from streamer.detect.alerts import describe
from streamer.event import (
    Alert,
    AttentionStep,
    ChannelPart,
    Message,
    ModelEvent,
    ModelRef,
    RhythmPart,
    WindowSlice,
)

MODEL = ModelRef("v7", "litert", "1b7e0c5d")
CHANNEL = ChannelPart("vibration", 7.1, 2.4, 1.9, 3.1, "mm/s", 0.82)
RHYTHM = RhythmPart(61.0, 60.0, 55.0, 66.0, 0.18)
EXAMPLE = Alert(
    alert_id="6f1c2a9be0d34c58",
    incident_key="plant:pump-17",
    event="opened",
    status="open",
    severity="critical",
    stream="plant",
    entity="pump-17",
    labels={"site": "north"},
    started_at="2026-01-31T12:00:00.000Z",
    detected_at="2026-01-31T12:00:00.000Z",
    resolved_at=None,
    summary=describe.sentence("pump-17", [CHANNEL], RHYTHM, 2.31),
    score=2.31,
    p_value=2.8e-12,
    threshold=1.0,
    channels=[CHANNEL],
    rhythm=RHYTHM,
    attention=[AttentionStep(0, 0.41), AttentionStep(3, 0.12)],
    reasons=["VALUE_ABOVE_BAND", "SURPRISE"],
    window=WindowSlice(
        "2026-01-31T11:58:00.000Z",
        "2026-01-31T12:00:00.000Z",
        3,
        "sensors.raw",
        0,
        918282,
        918284,
        ((2.3,), (2.5,), (7.1,)),
    ),
    model=MODEL,
)
MOVED = ModelEvent(
    event_id="0b9f6c1d",
    event="promoted",
    at="2026-02-01T03:30:00.000Z",
    streams=["plant"],
    model=MODEL,
    previous=replace(MODEL, version="v6", sha256="77aa02f4"),
    why="fewer false alarms",
    summary="v7 judges now, instead of v6: fewer false alarms",
)
INTRO = (
    "An alert is one message about an incident: it was opened, it got worse, or it is resolved. A "
    "file, the HTTP interface and a topic carry the same JSON object, one a line in a file. "
    "`streamer schema alert` prints its JSON schema, `streamer explain FILE` explains one in full.",
    "Messages come at least once. Recognise a repeated one by `alert_id` and `event`, and an "
    "updated one by `window.last_offset` too. New fields may be added: ignore those that you do "
    "not know.",
)
KINDS = {
    "an incident of an entity": "The ordinary case, with channels, rhythm and window.",
    "a resolved incident": "`event` is resolved and `resolved_at` is set. `channels` and `window` "
    "are empty where no event ended it: the entity was forgotten, or somebody labelled it.",
    "silence": "An entity sends nothing although it should (`detect.silence`). `incident_key` ends "
    "in `:silence`, `reasons` is `SILENCE`, `rhythm.gap_s` is the time it has been silent, "
    "`rhythm.high_s` the longest credible one, `channels` is empty. Its score is their ratio.",
    "an alert storm": "The stream opened more than `alerts.storm.alerts` alerts. `entity` is `*`, "
    "`reasons` is `STORM`, and `extra.held_back` counts the alerts that were held back.",
    "removed records": "Retention removed records before they were read. `entity` is the partition "
    "and `reasons` is `RECORDS_EXPIRED`. It is never resolved.",
}
REASONS = {
    "VALUE_ABOVE_BAND": "a channel is above its band of ordinary values",
    "VALUE_BELOW_BAND": "a channel is below its band of ordinary values",
    "SURPRISE": "the forecast error is strange; it weighed most",
    "RHYTHM": "the gaps between events are strange; they weighed most",
    "STUCK": "a value repeats for longer than the past makes credible; it weighed most",
    "NOVELTY": "a value is far from all that were seen; it weighed most",
    "SUSTAINED_K_OF_N": "`detect.for` was met, such as SUSTAINED_3_OF_5",
    "SILENCE": "the entity sends nothing",
    "STORM": "the stream opened too many alerts",
    "RECORDS_EXPIRED": "records were removed before they were read",
    "IDLE": "resolved: the entity was silent for too long and starts anew",
    "EVICTED": "resolved: the entity was forgotten to make room",
    "LABELLED_KIND": "resolved: somebody labelled the incident, such as LABELLED_FALSE_ALARM",
}
MODEL_INTRO = (
    "Another model judges from now on. Every replica tells it, under the same `event_id`. `type` "
    "tells it from an alert; `streamer schema model-event` prints its JSON schema."
)
CLOUD = (
    "A Kafka sink writes alerts and model events as CloudEvents 1.0 in binary mode: the value is "
    "the JSON object, its attributes are headers. The key of an alert is its entity, so that the "
    "messages of an incident keep their order. A record with a `traceparent` passes it on. The "
    "source of a model event is `/models`."
)


def document() -> str:
    headers = [(code(name), code(value.decode())) for name, value in alert_headers(EXAMPLE)]
    return page(
        generated("streamer/event.py and docgen/alerts.py"),
        heading(1, "Alerts"),
        *map(wrap, INTRO),
        fence(pretty(EXAMPLE), "json"),
        *sections("alert", EXAMPLE),
        heading(2, "Kinds of alerts"),
        items([entry(kind, "", text) for kind, text in KINDS.items()]),
        heading(2, "Reasons"),
        table(("reason", "meaning"), [(code(word), text) for word, text in REASONS.items()]),
        heading(2, "Model events"),
        wrap(MODEL_INTRO),
        fence(pretty(MOVED), "json"),
        *sections("model-event", MOVED),
        heading(2, "As CloudEvents"),
        wrap(CLOUD),
        table(("header", "example"), headers),
    )


def pretty(message: Message) -> str:
    """The message as indented JSON; what fits stands on a line."""
    return laid_out(json.loads(message_json(message)))


def laid_out(value: Any, before: str = "") -> str:
    """A value as JSON behind `before` on its line; an object that does not fit has a line a key."""
    line = json.dumps(value)
    if not isinstance(value, dict) or (before and len(before) + len(line) < WIDTH):
        return line
    indent = " " * (len(before) - len(before.lstrip()) + 2)
    keys = [f'{indent}"{key}": ' for key in value]
    lines = [start + laid_out(value[key], start) for start, key in zip(keys, value, strict=True)]
    return "{\n" + ",\n".join(lines) + f"\n{indent[2:]}}}"


def sections(what: str, example: Message) -> Iterator[str]:
    """A section for the message and one for each of its parts that no other message has."""
    made, body = schema_of(what), json.loads(message_json(example))
    main = made["$ref"].rpartition("/")[2]
    parts = {main: body} | dict(parts_of(made["$defs"][main], body))
    for name, part in parts.items():
        if name == main or what == "alert":
            yield heading(2 if what == "alert" else 3, name)
            yield wrap(made["$defs"][name]["description"])
            yield fields(made["$defs"][name], part)


def parts_of(node: Mapping[str, Any], body: Any) -> Iterator[tuple[str, Any]]:
    """The definitions that fields refer to, each with its part of the example."""
    for name, one in node["properties"].items():
        for ref in refs(one):
            part = body[name]
            yield ref, part[0] if isinstance(part, list) else part


def refs(node: Mapping[str, Any]) -> list[str]:
    options = [node, node.get("items", {}), *node.get("anyOf", ())]
    return [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]


def fields(node: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    return items([field(name, one, body.get(name)) for name, one in node["properties"].items()])


def field(name: str, node: Mapping[str, Any], value: Any) -> str:
    found = refs(node)
    kind = type_of(node)
    for ref in found:
        kind = kind.replace("section", link(ref), 1)
    shown = "" if found or value in (None, {}) else f"; example {code(json.dumps(value))}"
    return entry(code(name), kind + shown, node["description"])
