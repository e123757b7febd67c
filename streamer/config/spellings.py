"""Moves settings under names of librdkafka, the Java client and kafka-python to our names.

Dots and underlines are equal, `.ms` means milliseconds. Names without a counterpart have the
reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from streamer.config.document import Document
from streamer.config.kafka import Kafka, KafkaSink, KafkaSource
from streamer.config.origin import Path, dotted
from streamer.config.problems import Problem

SASL = ("security", "sasl")
TOKEN = (*SASL, "token")
CLUSTER: Mapping[str, Path] = {
    "bootstrap.servers": ("bootstrap_servers",),
    "metadata.broker.list": ("bootstrap_servers",),
    "client.id": ("client_id",),
    "request.timeout.ms": ("request_timeout",),
    "security.protocol": ("security", "protocol"),
    "ssl.ca.location": ("security", "ca"),
    "ssl.cafile": ("security", "ca"),
    "ssl.certificate.location": ("security", "certificate"),
    "ssl.certfile": ("security", "certificate"),
    "ssl.key.location": ("security", "key"),
    "ssl.keyfile": ("security", "key"),
    "ssl.key.password": ("security", "key_password"),
    "ssl.check.hostname": ("security", "verify_hostname"),
    "sasl.mechanism": (*SASL, "mechanism"),
    "sasl.mechanisms": (*SASL, "mechanism"),
    "sasl.username": (*SASL, "username"),
    "sasl.plain.username": (*SASL, "username"),
    "sasl.password": (*SASL, "password"),
    "sasl.plain.password": (*SASL, "password"),
    "sasl.oauthbearer.token.endpoint.url": (*TOKEN, "url"),
    "sasl.oauthbearer.client.id": (*TOKEN, "client_id"),
    "sasl.oauthbearer.client.secret": (*TOKEN, "client_secret"),
    "sasl.oauthbearer.scope": (*TOKEN, "scope"),
}
SOURCE: Mapping[str, Path] = {
    "group.id": ("group",),
    "group.instance.id": ("instance",),
    "auto.offset.reset": ("start",),
    "isolation.level": ("isolation",),
    "session.timeout.ms": ("session_timeout",),
    "auto.commit.interval.ms": ("commit_every",),
    "max.poll.records": ("poll_rows",),
}
SINK: Mapping[str, Path] = {
    "compression.type": ("compression",),
    "compression.codec": ("compression",),
    "delivery.timeout.ms": ("delivery_timeout",),
    "message.timeout.ms": ("delivery_timeout",),
}
REASONS = {
    "enable.auto.commit": "positions are committed once every alert is delivered, always",
    "enable.idempotence": "the producer is idempotent, always",
    "acks": "every replica in sync acknowledges an alert, always",
    "max.poll.interval.ms": "a member that judges for long keeps polling, so it needs no such "
    "bound",
    "partition.assignment.strategy": "partitions move one by one (cooperative-sticky), always",
    "sasl.jaas.config": "write security: {sasl: {mechanism, username, password}}",
    "ssl.endpoint.identification.algorithm": "write security: {verify_hostname: true or false}",
    "ssl.truststore.location": "write security: {ca: FILE}, in PEM; Java key stores are not read",
    "ssl.keystore.location": "write security: {certificate: FILE, key: FILE}, in PEM; Java key "
    "stores are not read",
    "fetch.max.bytes": "write max_record in the source",
}
ALIASES = {"largest": "latest", "smallest": "earliest", "end": "latest", "beginning": "earliest"}


def foreign(key: str) -> str:
    """Return what to write instead of another client's name; "" if it is none."""
    name = _plain(key)
    for table, home in ((CLUSTER, "kafka"), (SOURCE, "streams[].source"), (SINK, "sinks[]")):
        if name in table:
            return f"write {home}.{dotted(table[name])}"
    return REASONS.get(name, "")


def translate(document: Document) -> None:
    """Move settings under other clients' names to their places."""
    for path, section, table, model in list(_sections(document.data)):
        own = {*model.model_fields}
        for key in [key for key in section if key not in own and _plain(key) in table]:
            _move(document, path, section, key, table[_plain(key)])


def _sections(
    data: Any,
) -> Iterator[tuple[Path, dict[str, Any], Mapping[str, Path], type[BaseModel]]]:
    if not isinstance(data, dict):
        return
    if isinstance(data.get("kafka"), dict):
        yield ("kafka",), data["kafka"], CLUSTER, Kafka
    for i, stream in enumerate(_listed(data.get("streams"))):
        if isinstance(stream, dict) and _speaks_kafka(stream.get("source")):
            yield ("streams", i, "source"), stream["source"], SOURCE, KafkaSource
    for i, sink in enumerate(_listed(data.get("sinks"))):
        if _speaks_kafka(sink):
            yield ("sinks", i), sink, SINK, KafkaSink


def _listed(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []


def _speaks_kafka(section: Any) -> bool:
    return isinstance(section, dict) and section.get("kind") == "kafka"


def _move(document: Document, path: Path, section: dict[str, Any], key: str, target: Path) -> None:
    here: Any = section
    for part in target[:-1]:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here
    name, old, new = str(target[-1]), (*path, key), (*path, *target)
    if not isinstance(here, dict):
        return
    value = _value(section.pop(key), key)
    if name in here:
        origin = document.keys.get(old) or document.values[()]
        document.problems.append(
            Problem(old, f"says what {dotted(new)} says too; remove one", origin)
        )
        return
    here[name] = value
    _rebase(document, old, new)


def _value(raw: Any, key: str) -> Any:
    if (
        _plain(key).endswith(".ms")
        and isinstance(raw, int | float | str)
        and not isinstance(raw, bool)
    ):
        return f"{raw}ms" if str(raw).strip().isdigit() else raw
    return (
        ALIASES.get(raw, raw)
        if _plain(key) == "auto.offset.reset" and isinstance(raw, str)
        else raw
    )


def _rebase(document: Document, old: Path, new: Path) -> None:
    """Move the places and problems of the old path to the new one."""

    def moved(path: Path) -> Path:
        return (*new, *path[len(old) :])

    for places in (document.values, document.keys):
        for known in [path for path in places if path[: len(old)] == old]:
            places[moved(known)] = places.pop(known)
    document.problems = [
        replace(problem, path=moved(problem.path)) if problem.path[: len(old)] == old else problem
        for problem in document.problems
    ]


def _plain(key: str) -> str:
    return key.replace("_", ".").lower()
