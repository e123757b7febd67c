"""At-least-once delivery to a topic: records are kept and resent until confirmed.

The client's `flush` returns although records failed. Its producer can hang, or die: a refused
record is fatal to an idempotent one. So each future is watched, and the producer is replaced when
it is dead or stalls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from streamer.connect.kafka.producer.client_factory import (
    discard,
    explained,
    is_retriable,
    is_too_large,
    open_producer,
)
from streamer.connect.kafka.producer.in_flight import Outstanding, SendTicket
from streamer.errors import SinkError
from streamer.failpoints import failpoint
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config

log = structlog.get_logger()

Headers = tuple[tuple[str, bytes], ...]

TICK_S = 0.25  # interval of checks while nothing happens
BURST = 256  # records sent before answers are looked at
# between attempts after failures, doubling; alerts should flow within 5 s
FIRST_PAUSE_S, LAST_PAUSE_S = (0.25, 4.0)
# A leader's failure costs 8-15 s without a fault of the producer. A producer silent for longer is
# replaced.
STALLED_S = 20.0


class OutgoingRecord(NamedTuple):
    """The contents of one record of a topic."""

    key: bytes | None
    value: bytes
    headers: Headers = ()


# what to send instead of a record that is too large; None if nothing
Shrink = Callable[[OutgoingRecord], OutgoingRecord | None]


def whole(record: OutgoingRecord) -> None:
    """Return None: nothing replaces a record that is too large."""


@dataclass(frozen=True, slots=True)
class SendRules:
    """What is done about records that do not arrive."""

    shrink: Shrink
    request_timeout_s: float  # without an answer for longer, the reason is looked for
    stalled_s: float  # without an answer for longer, the producer is replaced


class RetryPause:
    """The time between attempts after failures, doubled with each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_s, self._again_at = FIRST_PAUSE_S, float("-inf")

    @property
    def over(self) -> bool:
        return self._clock() >= self._again_at

    def longer(self) -> None:
        self._again_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def reset(self) -> None:
        """Something arrived: the next failure is the first again."""
        self._pause_s = FIRST_PAUSE_S


class DeliveryTrouble:
    """Why nothing arrives, in words, found out on a thread of its own.

    To look at a broker that says nothing takes seconds, in which answers may come.
    """

    def __init__(self, kafka: config.Kafka, topic: str, changed: threading.Condition) -> None:
        """`changed` guards `problem`."""
        self.problem: str | None = None
        # of the first failure since the last confirmation, to be explained
        self.cause: BaseException | None = None
        self._kafka, self._topic, self._changed = kafka, topic, changed
        self._deliveries = 0
        self._thread: threading.Thread | None = None

    def delivered(self) -> None:
        """Something arrived. Call it with `changed` held."""
        self.problem, self.cause = None, None
        self._deliveries += 1

    def tell(self, problem: str) -> None:
        with self._changed:
            self.problem = problem
            self._changed.notify_all()

    def explain(self) -> None:
        """Find out why, unless that is under way."""
        if self._thread is None or not self._thread.is_alive():
            look = partial(self._look, self.cause, self._deliveries)
            name = f"kafka-about-{self._topic}"
            self._thread = threading.Thread(target=look, name=name, daemon=True)
            self._thread.start()

    def _look(self, cause: BaseException | None, deliveries: int) -> None:
        try:
            problem = explained(self._kafka, self._topic, cause)
        except Exception as exc:  # the edge of the thread: without an explanation the cause must do
            problem = (
                f"kafka topic {self._topic}: {cause or 'no answer'} ({type(exc).__name__} "
                f"while asking why)"
            )
        with self._changed:
            if self._deliveries == deliveries:
                self.problem = problem
                self._changed.notify_all()


class ClientSlot:
    """The client in use. Only the producer's thread changes it."""

    def __init__(self, open_client: Callable[[], Any]) -> None:
        self._open = open_client
        self.client = open_client()
        self.spent = False  # it is to be replaced before anything else is sent

    def fresh(self) -> Any:
        """Another client, not in use yet. SinkError if none can be had."""
        return self._open()

    def replace(self, fresh: Any) -> None:
        self.client, old = fresh, self.client
        discard(old)
        self.spent = False


class DeliveringProducer:
    """Sends records to one topic at least once each.

    The last copies of a key's records are in the order of `send`. One thread may call `send` and
    `flush`, any thread `undelivered`. A thread of its own uses the client, so `send` never waits.
    Until it is confirmed, a record costs its bytes twice and about 3 KB: the caller must bound
    their number.
    """

    def __init__(
        self,
        kafka: config.Kafka,
        topic: str,
        *,
        compression: str = "none",
        delivery_timeout_s: float = 120.0,
        shrink: Shrink = whole,
        stalled_s: float = STALLED_S,
        clock: Clock = time.monotonic,
    ) -> None:
        """SinkError if no broker answers within the request timeout, or the topic is not there."""
        self._topic, self._clock, timeout_s = topic, clock, float(kafka.request_timeout)
        self._rules = SendRules(shrink, timeout_s, max(stalled_s, 4 * timeout_s))
        self._slot = ClientSlot(
            partial(open_producer, kafka, topic, compression, delivery_timeout_s)
        )
        self._outstanding: Outstanding[OutgoingRecord] = Outstanding()
        self._answers: deque[tuple[SendTicket, BaseException | None]] = (
            deque()
        )  # filled by the client's own thread
        self._changed = threading.Condition()  # guards `_outstanding` and the problem
        self._bell = threading.Event()
        self._trouble, self._pause = DeliveryTrouble(kafka, topic, self._changed), RetryPause(clock)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kafka-to-{topic}", daemon=True)
        self._thread.start()

    @property
    def undelivered(self) -> int:
        """Number of records from the oldest unconfirmed one on."""
        return self._outstanding.undelivered

    def send(self, record: OutgoingRecord) -> None:
        """Take the record; never waits. SinkError after `close`."""
        if self._closing.is_set():
            raise SinkError(f"kafka topic {self._topic}: is closed")
        with self._changed:
            self._outstanding.add(record.key, record)
        self._bell.set()

    def flush(self, timeout_s: float) -> int:
        """Wait for confirmations; return `undelivered`.

        SinkError says why nothing arrives now; all records are kept.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not self.undelivered or self._trouble.problem is not None, timeout_s
            )
            if self.undelivered and self._trouble.problem is not None:
                raise SinkError(self._trouble.problem)
            return self.undelivered

    def close(self) -> None:
        """Wait for confirmations up to the request timeout, then close. Idempotent."""
        if self._closing.is_set():
            return
        limit_s = self._rules.request_timeout_s
        with self._changed:
            self._changed.wait_for(
                lambda: not self.undelivered or self._trouble.problem is not None, limit_s
            )
        self._closing.set()
        self._bell.set()
        self._thread.join(limit_s)
        discard(self._slot.client)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._bell.wait(TICK_S)
            self._bell.clear()
            try:
                self._turn()
            # outermost edge of the thread: an unexpected error replaces the client
            except Exception as exc:
                log.warning(
                    "producer_failed", topic=self._topic, problem=f"{type(exc).__name__}: {exc}"
                )
                self._trouble.cause, self._slot.spent = self._trouble.cause or exc, True
                self._pause.longer()

    def _turn(self) -> None:
        self._settle()
        self._mend()
        if not self._slot.spent and self._pause.over:
            self._hand_over()

    def _settle(self) -> None:
        """Process the answers of the client."""
        while self._answers:
            with self._changed:
                for _ in range(min(BURST, len(self._answers))):
                    ticket, error = self._answers.popleft()
                    self._confirmed(ticket) if error is None else self._failed(ticket, error)
                self._changed.notify_all()

    def _confirmed(self, ticket: SendTicket) -> None:
        failpoint("after_confirm")
        if self._outstanding.delivered(ticket):
            self._trouble.delivered()
            self._pause.reset()

    def _failed(self, ticket: SendTicket, error: BaseException) -> None:
        """Handle a failed record.

        The first failure is the cause; later ones are records given up with it.
        """
        first = not self._outstanding.failing
        if not self._outstanding.failed(ticket):
            return
        self._slot.spent = self._slot.spent or not is_retriable(error)
        if first and not (is_too_large(error) and self._shrunk(ticket)):
            self._trouble.cause = error
            self._pause.longer()

    def _shrunk(self, ticket: SendTicket) -> bool:
        smaller = self._rules.shrink(self._outstanding.record(ticket))
        if smaller is not None:
            self._outstanding.replace(ticket, smaller)
        return smaller is not None

    def _mend(self) -> None:
        """Explain a problem, and replace a producer that is dead or silent too long."""
        silent_s = self._outstanding.waited_s(self._clock())
        if self._trouble.problem is None and (
            self._trouble.cause is not None or silent_s > self._rules.request_timeout_s
        ):
            self._trouble.explain()
        due = self._pause.over
        if due and (self._slot.spent or silent_s > self._rules.stalled_s):
            self._replace()

    def _replace(self) -> None:
        """Open a new producer, then discard the old one.

        If none can be opened, the old one stays, because it may recover.
        """
        try:
            fresh = self._slot.fresh()
        except SinkError as exc:
            self._trouble.tell(str(exc))
            self._pause.longer()
            return
        if self._closing.is_set():
            discard(fresh)
            return
        log.warning("producer_replaced", topic=self._topic, undelivered=self.undelivered)
        self._slot.replace(fresh)
        with self._changed:
            self._outstanding.change_client()

    def _hand_over(self) -> None:
        for _ in range(BURST):
            with self._changed:
                found = self._outstanding.next()
                if found is None:
                    return
                self._outstanding.handed(found[0], self._clock())
            self._produce(*found)
        self._bell.set()

    def _produce(self, ticket: SendTicket, record: OutgoingRecord) -> None:
        from kafka.errors import KafkaError

        answer = partial(self._answer, ticket)
        try:
            sent = self._slot.client.send(
                self._topic, record.value, record.key, list(record.headers)
            )
        except (KafkaError, ValueError) as exc:
            answer(exc)
        else:
            sent.add_both(answer)
            failpoint("after_produce")

    def _answer(self, ticket: SendTicket, answer: Any) -> None:
        """Queue an answer; called on the client's thread, which must not be blocked."""
        self._answers.append((ticket, answer if isinstance(answer, BaseException) else None))
        self._bell.set()
