"""Recent history of a stream's topics as a finite source, read without a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.connect.base.unpartitioned import WholeSource
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.factory import decoder_for
from streamer.connect.kafka.client import columnar_patch
from streamer.connect.kafka.consumer.decode import decode
from streamer.connect.kafka.consumer.peek import SILENT_S, Peek, broker_errors
from streamer.connect.kafka.consumer.polled_records import gathered
from streamer.errors import BrokerError
from streamer.event import EventBatch, Lease, Poll
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config

POLL_RECORDS = 5000


class PartitionLog(Peek):
    """Partitions from a time on, up to their end at the start."""

    def begin(self, since_s: float, most: int) -> dict[Any, int]:
        """Seek to the first record written at or after a time; return the end offsets.

        If that is more than `most` records in total, start later, by the same fraction in every
        partition.
        """
        self._timed(since_s)
        starts = {each: self._at(each) for each in self.partitions}
        ends = {each: max(end, starts[each]) for each, end in self._bounds()[1].items()}
        count = sum(ends[each] - starts[each] for each in starts)
        share = min(1.0, most / max(count, 1))
        self._seek({each: ends[each] - int((ends[each] - starts[each]) * share) for each in starts})
        columnar_patch.install(self._consumer)
        return ends

    def fetch(self, timeout_s: float, most: int) -> Mapping[Any, Sequence[Any]]:
        """Return new records per partition, as the client returns them."""
        with broker_errors(self._kafka):
            found: Mapping[Any, Sequence[Any]] = self._consumer.poll(
                round(timeout_s * 1000), max_records=most
            )
        return found

    def behind(self, ends: Mapping[Any, int]) -> bool:
        """Whether a partition is not yet read up to its end."""
        return self._behind(ends)

    def _timed(self, since_s: float) -> None:
        self.from_time(max(since_s, 0.0))

    def _at(self, partition: Any) -> int:
        with broker_errors(self._kafka):
            return int(self._consumer.position(partition, timeout_ms=self._timeout_ms))


class Archive(WholeSource):
    """A finite Source: the records that the topics hold now.

    Records that cannot be decoded are skipped and counted. It joins no group and commits nothing.
    BrokerError if the cluster cannot be used.
    """

    def __init__(
        self,
        kafka: config.Kafka,
        section: config.KafkaSource,
        decoder: Callable[[Lease], Decoder],
        *,
        since_s: float,
        most: int,
        clock: Clock = time.monotonic,
    ) -> None:
        """Open the topics.

        `since_s`, seconds since 1970, refers to the records' own timestamps. About `most` records
        are read in total.
        """
        self._make, self._decoders = decoder, dict[Lease, Decoder]()
        self._max_record, self._clock = int(section.max_record), clock
        self.channels = decoder(Lease("", 0)).fields.channels
        self.rejected = 0
        self._log = PartitionLog(kafka, section.named_topics or (), section.pattern)
        self._servers, self._heard_at, self._closed = kafka.bootstrap_servers[0], clock(), False
        try:
            self._ends = self._log.begin(since_s, most)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_s: float) -> Poll | None:
        """Return records of any partitions; None once all records present at the start are read."""
        if self._closed or not self._log.behind(self._ends):
            return None
        found = self._log.fetch(timeout_s, POLL_RECORDS)
        if found:
            self._heard_at = self._clock()
        elif self._clock() - self._heard_at > SILENT_S:
            raise BrokerError(f"{self._servers}: stopped answering before the end of the history")
        batches = (self._batch(each, rows) for each, rows in found.items())
        return Poll(tuple(batch for batch in batches if len(batch)))

    def pause(self) -> None:
        """Do nothing: records only come when polled."""

    def resume(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._log.close()

    def _batch(self, partition: Any, rows: Sequence[Any]) -> EventBatch:
        """Decoded records before the end that the partition had at the start."""
        lease = Lease(partition.topic, partition.partition)
        if lease not in self._decoders:
            self._decoders[lease] = self._make(lease)
            self._decoders[lease].max_line_bytes = self._max_record
        batch, rejected = decode(gathered(rows), self._decoders[lease], lease)
        self.rejected += len(rejected)
        before = slice(0, int(np.searchsorted(batch.offset, self._ends[partition])))
        # a batch is kept long, and traces would keep its records
        return replace(batch.rows(before), traces=None)


def open_history(
    stream: config.Stream,
    section: config.KafkaSource,
    whole: config.Config,
    *,
    since_s: float,
    most: int,
) -> Archive:
    """The past of a section's topics. BrokerError if it cannot be read."""
    decoder = decoder_for(stream, whole.schema_registry)
    return Archive(whole.kafka, section, decoder, since_s=since_s, most=most)
