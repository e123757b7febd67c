"""A deterministic stream of records with planted spikes, and the pump that sends it at a given
rate.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from confluent_kafka import Message, Producer

from tests.integration.history import Place

EPOCH_S = 1_780_000_000
WARM_STEPS = 200  # a young entity is not judged strictly: no spikes there
TICK_S = 0.02


class Record(NamedTuple):
    """What is sent."""

    partition: int
    key: bytes
    value: bytes | None
    poison: bool
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True)
class Load:
    """`entities` machines in turn, each always in one partition; each has a step in `step_s` of its
    own time.

    A spike stands in one of `spike_every` steps, for three steps; one of `poison_every` records is
    not JSON (0: none). The same arguments give the same records.
    """

    entities: int = 64
    partitions: int = 4
    seed: int = 0
    spike_every: int = 300
    poison_every: int = 0
    step_s: int = 1

    def records(self, count: int, first: int = 0) -> Iterator[Record]:
        """The records `first` to `count`, in the order they are sent; `first` begins a step."""
        for number in range(first, count):
            step, entity = divmod(number, self.entities)
            if entity == 0:
                values = self._step(step).tolist()
            yield self._record(number, entity, step, *values[entity])

    def _record(self, number: int, entity: int, step: int, rms: float, temp: float) -> Record:
        name, poison = (
            f"pump-{entity:03d}",
            bool(self.poison_every) and number % self.poison_every == 7,
        )
        event = {
            "device": name,
            "ts": EPOCH_S + step * self.step_s,
            "rms": round(rms, 4),
            "temp": round(temp, 3),
        }
        text = json.dumps(event)
        return Record(
            entity % self.partitions,
            name.encode(),
            (text[:-9] if poison else text).encode(),
            poison,
        )

    def _step(self, step: int) -> np.ndarray:
        """(entities, 2) of this step, which hang on its number alone."""
        return self.calm(step) + self._spikes(step)[:, None] * [6.0, 0.0]

    def calm(self, step: int) -> np.ndarray:
        """(entities, 2) of this step as long as nothing happens."""
        noise = np.random.default_rng((self.seed, step)).normal(size=(self.entities, 2))
        phase = step / 40 + np.arange(self.entities)
        level = np.stack([5 + np.sin(phase), 40 + 3 * np.cos(phase / 3)], axis=1)
        return level + noise * [0.15, 0.3]

    def _spikes(self, step: int) -> np.ndarray:
        """(entities,) 1 where a spike stands, begun at this step or up to two before it."""
        begun = np.zeros(self.entities)
        for before in range(max(WARM_STEPS, step - 2), step + 1):
            drawn = np.random.default_rng((self.seed, 1, before)).random(self.entities)
            begun = np.maximum(begun, drawn < 1 / self.spike_every)
        return begun


class Pump:
    """Sends a load to a topic at `rate_per_s`, in a thread; idempotent: every record is there once,
    in order.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        load: Load,
        *,
        rate_per_s: float,
        count: int,
        first: int = 0,
    ) -> None:
        options = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "log_level": 0,
        }
        patient = {"message.timeout.ms": 300_000, "reconnect.backoff.max.ms": 500}
        self._producer = Producer(options | patient)
        self._topic, self._load, self._rate = topic, load, rate_per_s
        self._first, self._count = first, count
        self._thread = threading.Thread(target=self._run, name=f"pump:{topic}", daemon=True)
        self._stop = threading.Event()
        self.sent = 0
        self.poison: dict[Place, bytes] = {}
        self.problems: list[str] = []

    def start(self) -> Pump:
        self._thread.start()
        return self

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def finish(self, timeout_s: float = 300.0) -> None:
        """Wait until everything is sent and acknowledged."""
        self._thread.join(timeout_s)
        assert self.done, (
            f"the pump sent {self.sent} of {self._count - self._first} records in {timeout_s:g} s"
        )
        assert not self.problems, self.problems[:3]

    def stop(self) -> None:
        """Send no more; what was sent is acknowledged."""
        self._stop.set()
        self.finish()

    def _run(self) -> None:
        started = time.monotonic()
        for record in self._load.records(self._count, self._first):
            while self.sent > (time.monotonic() - started) * self._rate and not self._stop.is_set():
                self._producer.poll(TICK_S)
            if self._stop.is_set():
                break
            self._send(record)
        if self._producer.flush(300.0):
            self.problems.append("records were never acknowledged")

    def _send(self, record: Record) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    record.value,
                    record.key,
                    record.partition,
                    headers=list(record.headers),
                    on_delivery=self._told(record),
                )
            except BufferError:  # a broker is away: wait for room
                self._producer.poll(TICK_S)
            else:
                break
        self.sent += 1

    def _told(self, record: Record) -> Callable[[object, Message], None]:
        def told(error: object, message: Message) -> None:
            if error is not None:
                self.problems.append(str(error))
            elif record.poison:
                self.poison[Place(message.partition() or 0, message.offset() or 0)] = (
                    record.value or b""
                )

        return told
