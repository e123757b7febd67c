"""Builds a KafkaSource from its configuration section."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from streamer.connect.base.opening import SourceContext, cluster
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.factory import decoder_for
from streamer.connect.kafka.consumer import end_offsets, group_member, standalone
from streamer.connect.kafka.consumer.assignment import Commits
from streamer.connect.kafka.consumer.committer import Committer
from streamer.connect.kafka.consumer.decode_queue import DecodeQueue
from streamer.connect.kafka.consumer.offset_lookup import Lookup
from streamer.connect.kafka.consumer.partition_init import PartitionInit
from streamer.connect.kafka.consumer.rebalance_listener import HeldPartitions
from streamer.connect.kafka.consumer.source import KafkaSource, SourceParts
from streamer.connect.kafka.consumer.source_health import SourceHealth
from streamer.connect.kafka.consumer.start_offset import parse_start
from streamer.connect.kafka.diagnosis.background import BackgroundDiagnosis, SourceProblem
from streamer.connect.kafka.diagnosis.broker_check import words
from streamer.connect.kafka.diagnosis.causes import Cause, diagnosis
from streamer.connect.kafka.diagnosis.explain import reason
from streamer.event import Lease
from streamer.protocols import Clock, Restorer

if TYPE_CHECKING:
    from streamer import config


def open_source(
    stream: config.Stream, section: config.KafkaSource, context: SourceContext
) -> KafkaSource:
    """The source of a section. ConfigError or BrokerError if it cannot be read."""
    registry = None if context.config is None else context.config.schema_registry
    return open_topics(
        cluster(context.config),
        section,
        decoder_for(stream, registry),
        context.restore,
        joins=context.joins,
    )


def open_topics(
    kafka: config.Kafka,
    section: config.KafkaSource,
    decoder: Callable[[Lease], Decoder],
    restore: Restorer,
    *,
    joins: bool = True,
    clock: Clock = time.monotonic,
) -> KafkaSource:
    """Build the source.

    With `joins` False it reads all partitions without joining the group, and commits nothing.
    `decoder` makes one decoder per lease. `restore` is called on the reader's thread. BrokerError
    if the cluster cannot be used.
    """
    name = f"kafka {', '.join(kafka.bootstrap_servers)}"
    channels = decoder(Lease("", 0)).fields.channels
    start = parse_start(section.start, time.time())
    commits = Commits(float(section.commit_every))
    held = HeldPartitions(commits)
    access = (group_member.join if joins else standalone.open_standalone)(kafka, section, held)
    held.consumer = access.consumer
    access.begin()
    decode_queue = DecodeQueue(decoder, int(section.max_record), held.leases.holds)
    lookup = Lookup(access.consumer, start, access.known, commits=access.commits, clock=clock)
    admission = PartitionInit(held, lookup, restore, decode_queue.admit, clock)
    committer = Committer(access.consumer, commits, float(kafka.request_timeout), clock)
    poller = end_offsets.EndOffsetPoller(
        end_offsets.ends_of(access.consumer), end_offsets.client_errors(), clock=clock
    )
    # A rebalance is seen at the next heartbeat, a third of the session later. Only a longer calm
    # counts as settled.
    quiet_s = section.session_timeout / 2
    background = BackgroundDiagnosis(
        lambda causes: reason(kafka, causes, access.topics, section.group), clock=clock
    )

    def others() -> Iterator[SourceProblem]:
        if section.pattern is not None and access.unmatched:
            yield _unmatched(kafka, section.pattern)
        yield from filter(None, (admission.problem, decode_queue.problem, committer.problem))

    health = SourceHealth(name, access, held, poller, quiet_s, others, background, clock)
    parts = SourceParts(access, held, commits, admission, decode_queue, committer, poller, health)
    return KafkaSource(name, section, channels, parts, clock)


def _unmatched(kafka: config.Kafka, pattern: str) -> SourceProblem:
    return SourceProblem(
        str(diagnosis(Cause.PATTERN_EMPTY, **words(kafka, name=pattern))), known=True
    )
