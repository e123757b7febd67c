"""The sections of Kafka: cluster, source topics, alert topic, dead letter topic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema

from streamer.config.address import is_loopback, split_host
from streamer.config.base import Count, Names, Rule, Section, Text, Whole, between, repeated
from streamer.config.kafka_security import KafkaSecurity
from streamer.config.parts import DeadLetterSection, Framing, Membership, SinkSection, SourceSection
from streamer.config.units import Duration, Size
from streamer.timefmt import seconds

Format = Literal["json", "avro", "msgpack", "csv"]
TOPIC = r"^[A-Za-z0-9._-]{1,249}$"
INSTANCE = r"^[A-Za-z0-9._-]{1,249}$"


def _servers(raw: object) -> object:
    """Return host:port addresses; texts are split at commas, since a variable may hold several."""
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
    """Return an RFC 3339 time, or `-2h` from now, as seconds since 1970; None otherwise."""
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


class Kafka(Section):
    """The cluster: its brokers, and how they are reached."""

    bootstrap_servers: Servers = Field(
        default=("localhost:9092",),
        description="Brokers to begin with, as host:port; a list, or one text with commas. Name "
        "two or three, so that one may be down.",
    )
    client_id: Text = Field(
        default="streamer", description="Name of this client in the logs and quotas of the brokers."
    )
    request_timeout: Duration = Field(
        default=Duration(5),
        description="Longest wait for an answer of the cluster, 1s to 5m. Raise it where the "
        "network is slow.",
    )
    security: KafkaSecurity = Field(
        default=KafkaSecurity(), description="How the brokers are reached: encryption and login."
    )

    @property
    def exposed(self) -> tuple[str, ...]:
        """The brokers outside this machine that are reached in plain text."""
        return self.in_the_clear(self.bootstrap_servers)

    def in_the_clear(self, servers: Iterable[str]) -> tuple[str, ...]:
        """Return the servers (host:port) outside this machine, if nothing is encrypted."""
        if self.security.encrypted:
            return ()
        return tuple(
            server for server in servers if not is_loopback((split_host(server) or ("",))[0])
        )

    def rules(self) -> Iterator[Rule]:
        # The client itself waits half a second for records, and closes connections after nine
        # minutes idle.
        yield from between(self, "request_timeout", Duration(1), Duration(300))


class KafkaSource(SourceSection):
    """Topics read by a consumer group, whose members share the partitions.

    Each partition has its own memory, with room for `ceil(1.5 * detect.max_entities / partitions)`
    entities, where `partitions` are those of its topic. So max_entities bounds the memory of the
    whole group.
    """

    speaks_kafka: ClassVar[bool] = True
    has_history: ClassVar[bool] = True
    takes_fields: ClassVar[bool] = True
    keys_beside: ClassVar[tuple[str, ...]] = ("@key", "@topic", "@partition")
    times_beside: ClassVar[tuple[str, ...]] = ("@timestamp",)

    kind: Literal["kafka"] = Field(description="Selects topics of Kafka as the source.")
    topic: Topic | None = Field(
        default=None,
        description="The topic to read. Write exactly one of topic, topics and pattern.",
    )
    topics: tuple[Topic, ...] = Field(
        default=(), description="Several topics to read as one stream."
    )
    pattern: Annotated[Text | None, BeforeValidator(_pattern)] = Field(
        default=None,
        description="Regular expression of topics to read; it must match from the first letter of "
        "the name. New topics are found within half a minute.",
    )
    group: Text = Field(
        default="streamer",
        description="Consumer group. Members of one group share the partitions; change it to read "
        "everything again beside the old group.",
    )
    instance: Annotated[Text | None, BeforeValidator(_instance)] = Field(
        default=None,
        description="Name of this member for static membership. Set a name of its own for each "
        "replica, so that a short restart moves no partitions.",
    )
    start: Annotated[Text, BeforeValidator(_start)] = Field(
        default="earliest",
        description="Where a group without a committed position begins: earliest, latest, a time "
        "such as 2026-11-01T00:00:00Z, or a time ago such as -2h.",
    )
    isolation: Literal["read_uncommitted", "read_committed"] = Field(
        default="read_uncommitted",
        description="Whether records of open or aborted transactions are read. Set read_committed "
        "where producers use transactions.",
    )
    format: Format = Field(
        default="json",
        description="Format of the records. Avro needs `schema_registry`; csv needs columns.",
    )
    columns: Names = Field(
        default=(), description="Names of the cells of a csv record, in their order."
    )
    poll_rows: Annotated[Count, Field(le=1_000_000)] = Field(
        default=4096,
        description="Records that one poll brings at most. Lower it for less memory, raise it for "
        "throughput.",
    )
    max_record: Size = Field(
        default=Size(2**20),
        description="Longest record that is decoded, 1KiB to 1GiB; a longer one is a dead letter. "
        "Raise it where records are large.",
    )
    session_timeout: Duration = Field(
        default=Duration(6),
        description="How long a dead member holds its partitions, 6s to 30m. Lower values move "
        "them sooner, higher ones survive longer pauses.",
    )
    commit_every: Duration = Field(
        default=Duration(1),
        description="How often positions are committed, 50ms to 5m. Raise it to spare the brokers; "
        "a crash then repeats more alerts.",
    )
    rebuild_events: Annotated[Whole, Field(le=10_000_000)] = Field(
        default=2048,
        description="Records that each partition reads again to rebuild its memory where there is "
        "no snapshot. Raise it where a partition holds many entities.",
    )

    @property
    def framing(self) -> Framing:
        return Framing(self.format, self.columns, int(self.max_record))

    @property
    def membership(self) -> Membership:
        return Membership(self.group, self.rebuild_events)

    def for_worker(self, number: int) -> Self:
        if self.instance is None:
            return self
        return self.model_copy(update={"instance": f"{self.instance}-{number}"})

    @property
    def named_topics(self) -> tuple[str, ...]:
        """The topics by name; empty if a pattern selects them."""
        return self.topics if self.topic is None else (self.topic,)

    def reads(self, topic: str) -> bool:
        """Return whether this source reads a topic of that name."""
        if self.pattern is not None:
            return re.match(self.pattern, topic) is not None  # match, as the client does
        return topic in self.named_topics

    def overlaps(self, other: KafkaSource) -> bool:
        """Return whether both may read one topic; two patterns count as overlapping."""
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
        # The default limits of brokers: group.min.session.timeout.ms and
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


class KafkaSink(SinkSection):
    """Alerts to a topic as CloudEvents, keyed by entity."""

    speaks_kafka: ClassVar[bool] = True

    kind: Literal["kafka"] = Field(description="Selects a topic of Kafka as the sink.")
    topic: Topic = Field(
        description="The topic that alerts are written to. It must not be one that a stream reads."
    )
    format: Literal["cloudevents"] = Field(
        default="cloudevents",
        description="Format of the messages: CloudEvents 1.0 in binary mode, with attributes in "
        "headers.",
    )
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        default="none",
        description="Compression of the messages. Windows make alerts long; gzip needs nothing "
        "else installed.",
    )
    delivery_timeout: Duration = Field(
        default=Duration(120),
        description="An alert that is not acknowledged within this time is sent anew, 1s to 24h.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "delivery_timeout", Duration(1), Duration(86_400))


class DeadLetterTopic(DeadLetterSection):
    """Rejected records to a topic: bytes, key and headers, and the reason in headers `x-dlq-*`."""

    speaks_kafka: ClassVar[bool] = True

    kind: Literal["kafka"] = Field(description="Selects a topic of Kafka for dead letters.")
    topic: Topic = Field(
        description="The topic that rejected records are written to. It must not be one that a "
        "stream reads."
    )
