"""The Kafka source: leases, restored positions, commits and health of a reader.

The reader's thread polls, asks and commits. The client's thread reports rebalances to
HeldPartitions while the reader waits in a poll. A third thread asks the brokers for end offsets
(EndOffsetPoller).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from streamer.connect.kafka.client import columnar_patch
from streamer.connect.kafka.consumer import group_member
from streamer.connect.kafka.consumer.assignment import Commits
from streamer.connect.kafka.consumer.committer import Committer
from streamer.connect.kafka.consumer.decode_queue import DecodeQueue
from streamer.connect.kafka.consumer.end_offsets import EndOffsetPoller
from streamer.connect.kafka.consumer.group_member import Access
from streamer.connect.kafka.consumer.partition_init import PartitionInit
from streamer.connect.kafka.consumer.rebalance_listener import HeldPartitions
from streamer.connect.kafka.consumer.source_health import SourceHealth
from streamer.errors import InputError
from streamer.event import Lease, Poll, Position
from streamer.failpoints import failpoint
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config

log = structlog.get_logger()

SHORTEST_POLL_S = 0.001  # with less, the client gives up before it looks
JOIN_POLL_S = 0.5  # a join that is answered between two polls must be repeated by the whole group
REST_S = 0.05  # longest sleep after an empty poll that returned early
LEAVE_S = 2.0


@dataclass(frozen=True, slots=True)
class SourceParts:
    """The parts of a source; factory.open_topics builds them."""

    access: Access
    held: HeldPartitions
    commits: Commits
    admission: PartitionInit
    decode_queue: DecodeQueue
    committer: Committer
    end_offsets: EndOffsetPoller
    health: SourceHealth


class KafkaSource:
    """A Source over Kafka topics.

    A poll takes at most its timeout and a few bounded requests about new partitions. An unreachable
    broker is reported in `problem`, not raised.
    """

    def __init__(
        self,
        name: str,
        section: config.KafkaSource,
        channels: tuple[str, ...],
        parts: SourceParts,
        clock: Clock = time.monotonic,
    ) -> None:
        """Create the source; `name` is the cluster's name in messages."""
        self.channels = channels
        self._name, self._section, self._clock = name, section, clock
        self._parts, self._consumer = parts, parts.access.consumer
        self._guard = threading.RLock()
        self._closed = self._paused = False
        self._parts.end_offsets.start()

    @property
    def problem(self) -> str | None:
        """None once closed: all that was owed is committed then, however its group fares."""
        return None if self._closed else self._parts.health.problem

    @property
    def at_end(self) -> bool:
        return self._parts.health.at_end

    @property
    def lags(self) -> Mapping[Lease, int]:
        """Records not read yet, per lease, as of half a second ago."""
        return self._parts.health.lags

    @property
    def truncations(self) -> int:
        """How often a log turned out to end before our position."""
        return self._parts.admission.truncations

    @property
    def degraded(self) -> str | None:
        return columnar_patch.degraded()

    def poll(self, timeout_s: float) -> Poll | None:
        """Return records and changes of partitions; None once closed.

        Changes found before an error are returned by the next poll.
        """
        with self._guard:
            if self._closed:
                return None
            until_s = self._clock() + timeout_s
            self._keep_back()
            self._fetch(timeout_s)
            self._parts.admission.turn()
            self._parts.decode_queue.decode()
            self._parts.committer.send()
            poll = self._brought()
            self._parts.health.look(
                poll, busy=self._parts.held.waiting or self._parts.decode_queue.pending
            )
        if poll.records:
            failpoint("after_poll")
        if poll.empty:
            self._rest(until_s - self._clock())
        return poll

    def pause(self) -> None:
        self._paused = True
        self._keep_back()

    def resume(self) -> None:
        self._paused = False
        self._keep_back()

    def holds(self, lease: Lease) -> bool:
        return self._parts.held.leases.holds(lease)

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Note positions for the next commit; any thread may call it.

        Polls send them, at most every `commit_every`; the newest position per lease wins. Leases
        that are gone are skipped. A standalone reader sends nothing.
        """
        if not self._closed and self._parts.access.commits:
            self._parts.commits.put(
                {lease: at for lease, at in positions.items() if self.holds(lease)}
            )

    def committed(self, lease: Lease) -> int | None:
        return self._parts.commits.confirmed(lease) if self.holds(lease) else None

    def close(self) -> None:
        """Commit what is owed, within the request timeout, and leave the group.

        InputError if the last commit failed.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = self._parts.held.closing = True
            self._parts.end_offsets.stop()
            self._keep_back()
            problem = self._last_commit()
            group_member.leave(self._consumer, LEAVE_S)
            self._parts.held.end()
        if problem is not None:
            raise InputError(
                f"{self._name}: the last positions of group {self._section.group} could not be "
                f"committed "
                f"({problem}); what lies behind the committed ones will be read again"
            )

    def _last_commit(self) -> str | None:
        """Commit what is owed; return the problem, or None.

        Polls between the attempts return no records, but let a rebalance proceed.
        """
        try:
            return self._parts.committer.last(lambda: self._fetch(0.1))
        except InputError as exc:
            return str(exc)

    def _fetch(self, timeout_s: float) -> None:
        """Poll the client and queue its records for decoding.

        Its errors are about offsets, or problems that may pass.
        """
        from kafka import errors

        shortest_s = SHORTEST_POLL_S if self._parts.access.settled else JOIN_POLL_S
        try:
            found = self._consumer.poll(timeout_ms=max(timeout_s, shortest_s) * 1000)
        except errors.OffsetOutOfRangeError as exc:
            self._parts.admission.set_outside(exc.args[0])
        except errors.LogTruncationError as exc:
            self._parts.admission.set_truncated(exc.divergent_offsets)
        except errors.FencedInstanceIdError as exc:
            raise InputError(self._fenced()) from exc
        except errors.KafkaError as exc:
            self._parts.health.complain(exc)
        else:
            for tp, rows in found.items():
                lease = self._parts.held.leases.of(tp.topic, tp.partition)
                if lease is not None:
                    self._parts.decode_queue.add(lease, rows)
        self._parts.access.turn()

    def _fenced(self) -> str:
        return (
            f"{self._name}: another member of group {self._section.group} runs as instance "
            f"{self._section.instance}: give each replica a source.instance of its own"
        )

    def _brought(self) -> Poll:
        """All that was found out since the last poll."""
        batches, rejected = self._parts.decode_queue.take()
        assigned, self._parts.admission.assigned = self._parts.admission.assigned, []
        expired, self._parts.admission.expired = self._parts.admission.expired, []
        gone = self._parts.held.take_gone()
        for lease in gone:
            self._parts.decode_queue.forget(lease)
            self._parts.admission.forget(lease)
        return Poll(tuple(batches), tuple(rejected), gone, tuple(assigned), tuple(expired))

    def _keep_back(self) -> None:
        """Pause all partitions while paused or while records wait to be decoded."""
        with self._guard:
            held_back = self._paused or self._closed or self._parts.decode_queue.pending
            if held_back != self._parts.admission.held_back:
                self._parts.admission.held_back = held_back
                (self._consumer.pause if held_back else self._consumer.resume)(
                    *self._parts.held.ready()
                )

    def _rest(self, left_s: float) -> None:
        """Sleep briefly: the client returns at once while it looks for its coordinator."""
        if left_s > 0:
            time.sleep(min(left_s, REST_S))
