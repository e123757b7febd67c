"""The sections that speak Kafka: the cluster, a topic to read, a topic of alerts, a topic of dead
letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from streamer.config.address import HttpUrl, MaybeSecret, host_of, is_loopback, split_host
from streamer.config.base import Count, Names, Rule, Section, Text, Whole, between, repeated
from streamer.config.units import Duration, Size
from streamer.timefmt import seconds

Format = Literal["json", "avro", "msgpack", "csv"]
TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
INSTANCE = r"^[A-Za-z0-9._-]{1,249}$"


def _servers(raw: object) -> object:
    """A list of host:port; texts are split at commas, since a variable may hold several."""
    items = [raw] if isinstance(raw, str) else raw
    if not isinstance(items, list | tuple):
        raise ValueError('must be host:port, or a list of them: ["kafka-1:9092", "kafka-2:9092"]')
    servers = tuple(
        server.strip()
        for item in items
        for server in (item.split(",") if isinstance(item, str) else ())
    )
    if len(servers) < len(items) or not servers:
        raise ValueError("must be one or more of host:port")
    for server in servers:
        _refuse_server(server)
    return servers


def _refuse_server(server: str) -> None:
    if "@" in server:
        raise ValueError("must not hold a user or a password; they belong to kafka.security.sasl")
    if "://" in server:
        host = server.partition("://")[2]
        raise ValueError(f"{server!r}: write {host}; the protocol is kafka.security.protocol")
    if split_host(server) is None:
        raise ValueError(f"{server!r} is not host:port, such as localhost:9092")


def _topic(raw: object) -> object:
    if not isinstance(raw, str) or not re.fullmatch(TOPIC, raw) or raw in {".", ".."}:
        raise ValueError(
            f"must be the name of a topic (letters, digits, '.', '_' and '-'), got {raw!r}"
        )
    return raw


def _instance(raw: object) -> object:
    if isinstance(raw, str) and not re.fullmatch(INSTANCE, raw):
        raise ValueError(f"must be letters, digits, '.', '_' and '-', got {raw!r}")
    return raw


def _pattern(raw: object) -> object:
    try:
        re.compile(raw) if isinstance(raw, str) else None
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    return raw


def _start(raw: object) -> object:
    if not isinstance(raw, str) or (
        raw not in {"earliest", "latest"} and started_at(raw, 0.0) is None
    ):
        raise ValueError(
            f"must be earliest, latest, a time such as 2026-11-01T00:00:00Z, or -2h, got {raw!r}"
        )
    return raw


def started_at(start: str, now_s: float) -> float | None:
    """Seconds since 1970 of an RFC 3339 time or of `-2h` from now; None for anything else."""
    try:
        if start.startswith("-"):
            return now_s - Duration.parse(start[1:])
        return seconds(start, zoned=True)
    except ValueError:
        return None


Server = tuple[str, ...]
_SERVERS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
Servers = Annotated[Server, BeforeValidator(_servers), WithJsonSchema(_SERVERS)]
Topic = Annotated[
    str, BeforeValidator(_topic), WithJsonSchema({"type": "string", "pattern": TOPIC})
]


class TokenEndpoint(Section):
    """Where tokens come from, for OAUTHBEARER: OAuth 2.0 client credentials."""

    url: HttpUrl
    client_id: Text
    client_secret: MaybeSecret
    scope: Text | None = None

    @property
    def plaintext(self) -> bool:
        """Whether the client secret would cross a network unencrypted."""
        return self.url.startswith("http:") and not is_loopback(host_of(self.url))

    def rules(self) -> Iterator[Rule]:
        if self.client_secret is None:
            yield ("client_secret",), "must not be empty"
        if self.plaintext:
            yield ("url",), "must be https: the client secret travels to it"


class Sasl(Section):
    """Who we are, to the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    username: Text | None = None
    password: MaybeSecret = None
    token: TokenEndpoint | None = None

    def rules(self) -> Iterator[Rule]:
        named = {"username": self.username, "password": self.password, "token": self.token}
        needed = {"token"} if self.mechanism == "OAUTHBEARER" else {"username", "password"}
        for name, value in named.items():
            if name in needed and value is None:
                yield (name,), f"is needed for {self.mechanism}"
            if name not in needed and value is not None:
                yield (
                    (name,),
                    f"does not belong to {self.mechanism}, which needs "
                    f"{' and '.join(sorted(needed))}",
                )


class KafkaSecurity(Section):
    """How we reach the brokers: in plain text or encrypted, and with which proof of who we are.
    Paths are PEM files.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca: Text | None = None  # null = the system's
    certificate: Text | None = None  # of the client, where the brokers ask for one
    key: Text | None = None
    key_password: MaybeSecret = None
    verify_hostname: bool = True
    sasl: Sasl | None = None

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    def rules(self) -> Iterator[Rule]:
        if self.sasl is None and self.protocol.startswith("SASL"):
            yield ("sasl",), f"is needed for {self.protocol}"
        if self.sasl is not None and not self.protocol.startswith("SASL"):
            yield (
                ("protocol",),
                f"must be SASL_SSL or SASL_PLAINTEXT where sasl is set, got {self.protocol}",
            )
        yield from self._file_rules()

    def _file_rules(self) -> Iterator[Rule]:
        if not self.encrypted:
            useless = [
                name
                for name in ("ca", "certificate", "key", "key_password")
                if getattr(self, name) is not None
            ]
            useless += [] if self.verify_hostname else ["verify_hostname"]
            yield from (
                ((name,), f"needs protocol SSL or SASL_SSL, not {self.protocol}")
                for name in useless
            )
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            yield (missing,), "is missing: certificate and key go together"
        if self.key_password is not None and self.key is None:
            yield ("key_password",), "needs a key"


class Kafka(Section):
    """The cluster: its brokers, and how we reach them."""

    bootstrap_servers: Servers = ("localhost:9092",)
    client_id: Text = "streamer"
    request_timeout: Duration = Duration(5)  # bounds every call to the cluster
    security: KafkaSecurity = KafkaSecurity()

    @property
    def exposed(self) -> tuple[str, ...]:
        """The brokers outside of this machine that are reached in plain text."""
        return self.in_the_clear(self.bootstrap_servers)

    def in_the_clear(self, servers: Iterable[str]) -> tuple[str, ...]:
        """Those of them (host:port) that lie outside of this machine, where nothing is
        encrypted.
        """
        if self.security.encrypted:
            return ()
        return tuple(
            server for server in servers if not is_loopback((split_host(server) or ("",))[0])
        )

    def rules(self) -> Iterator[Rule]:
        # The client waits half a second for records by itself, and closes connections that were
        # idle for nine minutes.
        yield from between(self, "request_timeout", Duration(1), Duration(300))


class KafkaSource(Section):
    """Topics read by a consumer group: the replicas of a group share the partitions, and each has
    its own memory.

    A partition has room for ceil(1.5 * detect.max_entities / partitions of its topic) entities, so
    that max_entities bounds the memory of the whole group however its partitions are spread.
    """

    kind: Literal["kafka"]
    topic: Topic | None = None  # exactly one of these three
    topics: tuple[Topic, ...] = ()
    pattern: Annotated[Text | None, BeforeValidator(_pattern)] = (
        None  # must match from the first letter of the name
    )
    group: Text = "streamer"
    instance: Annotated[Text | None, BeforeValidator(_instance)] = (
        None  # static membership: one name per replica
    )
    start: Annotated[Text, BeforeValidator(_start)] = (
        "earliest"  # of a group without a committed position
    )
    isolation: Literal["read_uncommitted", "read_committed"] = "read_uncommitted"
    format: Format = "json"
    columns: Names = ()  # of csv: one row a record, and what its cells are called
    poll_rows: Annotated[Count, Field(le=1_000_000)] = 4096
    max_record: Size = Size(2**20)  # longer ones are dead letters
    session_timeout: Duration = Duration(6)  # so long a dead member holds its partitions
    commit_every: Duration = Duration(1)
    rebuild_events: Annotated[Whole, Field(le=10_000_000)] = (
        2048  # per partition, read again where no snapshot is
    )

    @property
    def named_topics(self) -> tuple[str, ...]:
        """The topics by name; none where a pattern chooses them."""
        return self.topics if self.topic is None else (self.topic,)

    def reads(self, topic: str) -> bool:
        """Whether this source would read a topic of that name."""
        if self.pattern is not None:
            return re.match(self.pattern, topic) is not None  # as the client does
        return topic in self.named_topics

    def overlaps(self, other: KafkaSource) -> bool:
        """Whether both may read one topic; two patterns are taken to."""
        if self.pattern is not None and other.pattern is not None:
            return True
        return any(map(self.reads, other.named_topics)) or any(map(other.reads, self.named_topics))

    def rules(self) -> Iterator[Rule]:
        given = [name for name in ("topic", "topics", "pattern") if getattr(self, name)]
        if not given:
            yield ("topic",), "is missing: write one of topic, topics and pattern"
        for extra in given[1:]:
            yield (
                (extra,),
                f"cannot stand beside {given[0]}: write one of topic, topics and pattern",
            )
        yield from (
            (("topics", i), f"{self.topics[i]!r} is named twice") for i in repeated(self.topics)
        )
        yield from self._column_rules()
        # What brokers accept unless told otherwise: group.min.session.timeout.ms and
        # group.max.session.timeout.ms.
        yield from between(self, "session_timeout", Duration(6), Duration(1800))
        yield from between(self, "commit_every", Duration(0.05), Duration(300))
        if not 1024 <= self.max_record <= 2**30:
            yield ("max_record",), f"must be 1KiB to 1GiB, got {self.max_record}"

    def _column_rules(self) -> Iterator[Rule]:
        if self.format == "csv" and not self.columns:
            yield (
                ("columns",),
                "is missing: a csv record has no header, so name its cells: [ts, device, rms]",
            )
        if self.format != "csv" and self.columns:
            yield (
                ("columns",),
                f"belongs to format csv only; a record of {self.format} names its fields",
            )
        yield from (
            (("columns", i), f"{self.columns[i]!r} is named twice") for i in repeated(self.columns)
        )


class KafkaSink(Section):
    """Alerts to a topic, keyed by entity, as CloudEvents."""

    kind: Literal["kafka"]
    topic: Topic
    format: Literal["cloudevents"] = "cloudevents"
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = "none"
    delivery_timeout: Duration = Duration(
        120
    )  # an alert that is not acknowledged by then is sent anew

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "delivery_timeout", Duration(1), Duration(86_400))


class DeadLetterTopic(Section):
    """Rejected records to a topic: their bytes, key and headers, and why, in headers `x-dlq-*`."""

    kind: Literal["kafka"]
    topic: Topic
