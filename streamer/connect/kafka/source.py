"""A consumer group's share of its topics as a Source: leases, restored beginnings, commits, the truth about trouble.

The reader's thread polls, asks and commits. The client's own thread tells of rebalances while the reader waits in a
poll (`Share`). A third thread asks the brokers where the logs end (`Pulse`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from streamer.connect.codec import Decoder
from streamer.connect.kafka import member
from streamer.connect.kafka.admission import Admission
from streamer.connect.kafka.assignment import Commits
from streamer.connect.kafka.committer import Committer
from streamer.connect.kafka.decode import decode
from streamer.connect.kafka.lookup import Lookup
from streamer.connect.kafka.polled import Records, gathered
from streamer.connect.kafka.pulse import Pulse
from streamer.connect.kafka.share import Share
from streamer.connect.kafka.start import parse_start
from streamer.connect.kafka.vitals import Vitals
from streamer.errors import InputError, RetryLater
from streamer.event import EventBatch, Lease, Poll, Position, Rejected
from streamer.failpoints import failpoint
from streamer.protocols import Clock, Restorer

if TYPE_CHECKING:
    from streamer import config

log = structlog.get_logger()

SHORTEST_POLL_S = 0.001  # with less the client gives up before it looks
JOIN_POLL_S = 0.5  # a join that is answered between two polls must be begun again, by the whole group
REST_S = 0.05  # a poll that came back early with nothing rests so long at most
LEAVE_S = 2.0


class KafkaSource:
    """protocols.Source. No poll takes longer than its time and a few bounded questions about partitions that came.

    BrokerError at the start if the cluster cannot be used; later a broker that is away is `trouble`, never an error.
    """

    def __init__(
        self,
        kafka: config.Kafka,
        section: config.KafkaSource,
        decoder: Callable[[Lease], Decoder],
        restore: Restorer,
        *,
        earned: Callable[[], Mapping[Lease, Position]] = dict,
        clock: Clock = time.monotonic,
    ) -> None:
        """`decoder` makes one per lease; `restore` is called on the reader's thread, `earned` on the client's own."""
        self._section, self._make_decoder, self._clock = section, decoder, clock
        self._servers = ", ".join(kafka.bootstrap_servers)
        self.channels = decoder(Lease("", 0)).fields.channels
        start = parse_start(section.start, time.time())
        self._commits = Commits(float(section.commit_every))
        self._share = Share(self._commits, earned)
        self._consumer, known = member.join(kafka, section, self._share)
        self._share.consumer = self._consumer
        lookup = Lookup(self._consumer, start, known, clock=clock)
        self._admission = Admission(self._share, lookup, restore, self._admitted, clock)
        self._committer = Committer(self._consumer, self._commits, float(kafka.request_timeout), clock)
        self._pulse = Pulse(self._ask_ends, _client_errors(), clock=clock)
        # A rebalance is known at the next heartbeat, a third of the session later: only after that is quiet quiet.
        self._vitals = Vitals(
            f"kafka {self._servers}", self._consumer, self._share, self._pulse, section.session_timeout / 2,
            self._other_trouble, clock,
        )  # fmt: skip
        self._guard = threading.RLock()
        self._closed = self._paused = False
        self._decoders: dict[Lease, Decoder] = {}
        self._undecoded: list[tuple[Lease, Records]] = []
        self._decoded: tuple[list[EventBatch], list[Rejected]] = ([], [])
        self._waiting = ""  # what decoding waits for
        self._pulse.start()

    @property
    def trouble(self) -> str | None:
        """None once closed: all that was owed is committed then, however its group fares."""
        return None if self._closed else self._vitals.trouble

    @property
    def at_end(self) -> bool:
        return self._vitals.at_end

    @property
    def lags(self) -> Mapping[Lease, int]:
        """Records not read yet, per lease, as of half a second ago."""
        return self._vitals.lags

    @property
    def truncations(self) -> int:
        """How often a log turned out to end before our position."""
        return self._admission.truncations

    def poll(self, timeout_s: float) -> Poll | None:
        """Records, and what happened to the partitions; None once closed. What an error leaves behind comes next."""
        with self._guard:
            if self._closed:
                return None
            until_s = self._clock() + timeout_s
            self._keep_back()
            self._fetch(timeout_s)
            self._admission.turn()
            self._decode()
            self._committer.send()
            poll = self._brought()
            self._vitals.look(poll, busy=bool(self._share.waiting or self._undecoded))
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
        return self._share.leases.holds(lease)

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Sent at most every `commit_every`; the newest per lease wins, and leases that are gone are passed over."""
        with self._guard:
            if self._closed:
                return
            self._commits.put({lease: at for lease, at in positions.items() if self.holds(lease)})
            self._committer.send()

    def committed(self, lease: Lease) -> int | None:
        return self._commits.confirmed(lease) if self.holds(lease) else None

    def close(self) -> None:
        """Commit what is owed, within the request timeout, and leave. InputError if the last commit failed."""
        with self._guard:
            if self._closed:
                return
            self._closed = self._share.closing = True
            self._pulse.stop()
            self._keep_back()
            problem = self._last_commit()
            member.leave(self._consumer, LEAVE_S)
            self._share.end()
        if problem is not None:
            raise InputError(
                f"kafka {self._servers}: the last positions of group {self._section.group} could not be committed "
                f"({problem}); what lies behind the committed ones will be read again"
            )

    def _last_commit(self) -> str | None:
        """What went wrong, or None. Polls between the tries bring no records, but let a rebalance go on."""
        try:
            return self._committer.last(lambda: self._fetch(0.1))
        except InputError as exc:
            return str(exc)

    def _fetch(self, timeout_s: float) -> None:
        """What the client brings waits to be decoded. What it raises is about offsets, or trouble that may pass."""
        from kafka import errors

        shortest_s = SHORTEST_POLL_S if member.is_settled(self._consumer) else JOIN_POLL_S
        try:
            found = self._consumer.poll(timeout_ms=max(timeout_s, shortest_s) * 1000)
        except errors.OffsetOutOfRangeError as exc:
            self._admission.set_outside(exc.args[0])
        except errors.LogTruncationError as exc:
            self._admission.set_truncated(exc.divergent_offsets)
        except errors.FencedInstanceIdError as exc:
            raise InputError(self._fenced()) from exc
        except errors.KafkaError as exc:
            self._vitals.complain(f"{type(exc).__name__}: {exc}")
        else:
            leases = ((self._share.leases.of(tp.topic, tp.partition), rows) for tp, rows in found.items())
            self._undecoded += [(lease, gathered(rows)) for lease, rows in leases if lease is not None]
        member.keep_joining(self._consumer)

    def _fenced(self) -> str:
        return (
            f"kafka {self._servers}: another member of group {self._section.group} runs as instance "
            f"{self._section.instance}: give each replica a source.instance of its own"
        )

    def _decode(self) -> None:
        """In the order they came. What cannot be decoded now waits, and nothing more is read meanwhile."""
        batches, rejected = self._decoded
        self._waiting = ""
        while self._undecoded:
            lease, records = self._undecoded[0]
            if self.holds(lease):
                try:
                    batch, bad = decode(records, self._decoders[lease], lease)
                except RetryLater as exc:
                    self._waiting = str(exc)
                    return
                batches += [batch] if len(batch) else []
                rejected += bad
            self._undecoded.pop(0)

    def _brought(self) -> Poll:
        """All that was found out since the last poll."""
        (batches, rejected), self._decoded = self._decoded, ([], [])
        assigned, self._admission.assigned = self._admission.assigned, []
        expired, self._admission.expired = self._admission.expired, []
        gone = self._share.take_gone()
        for lease in gone:
            self._decoders.pop(lease, None)
            self._admission.forget(lease)
        return Poll(tuple(batches), tuple(rejected), gone, tuple(assigned), tuple(expired))

    def _admitted(self, lease: Lease) -> None:
        decoder = self._decoders[lease] = self._make_decoder(lease)
        decoder.max_line_bytes = int(self._section.max_record)

    def _keep_back(self) -> None:
        """While paused, and while records wait to be decoded, the client leaves all partitions alone."""
        with self._guard:
            held_back = self._paused or self._closed or bool(self._undecoded)
            if held_back != self._admission.held_back:
                self._admission.held_back = held_back
                (self._consumer.pause if held_back else self._consumer.resume)(*self._share.ready())

    def _rest(self, left_s: float) -> None:
        """The client returns at once, many times in a row, while it looks for its coordinator."""
        if left_s > 0:
            time.sleep(min(left_s, REST_S))

    def _other_trouble(self) -> str | None:
        if self._admission.unanswered:
            return f"a new partition waits: no answer about {self._admission.unanswered}"
        return self._waiting or self._committer.trouble

    def _ask_ends(self, timeout_s: float) -> Mapping[Any, int]:
        """On the pulse's thread: the ends of what is assigned; a member without partitions asks its coordinator."""
        assigned = list(self._consumer.assignment())
        if assigned:
            ends: Mapping[Any, int] = self._consumer.end_offsets(assigned, timeout_ms=round(timeout_s * 1000))
            return ends
        for topic in sorted(self._consumer.subscription() or ())[:1]:
            self._consumer.committed(_partition(topic), timeout_ms=round(timeout_s * 1000))
        return {}


def _partition(topic: str) -> Any:
    from kafka.structs import TopicPartition

    return TopicPartition(topic, 0)


def _client_errors() -> tuple[type[Exception], ...]:
    """What a question to the cluster may raise: its KeyError is a partition without a leader."""
    from kafka.errors import KafkaError

    return KafkaError, KeyError, RuntimeError
