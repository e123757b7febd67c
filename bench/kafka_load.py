"""Topics for the Kafka benchmarks: machines that send a JSON object every ten seconds.

They are written by another client than the daemon's, in batches of the default size.
"""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Producer

from streamer.offline.capacity import LoadRounds, lines_of
from tests.servers.admin import Kafka

BATCH_BYTES = 16_384  # default batch size of the Java client and kafka-python
FLUSH_S = 120.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """`entities` machines spread over the partitions, each always in the same one."""

    entities: int = 200
    channels: int = 2
    partitions: int = 4
    seed: int = 7

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"channel_{i + 1}" for i in range(self.channels))

    def fill(self, kafka: Kafka, topic: str, events: int) -> None:
        """Create the topic and write `events` records, in the order of their times."""
        # Retention would delete old event times at once.
        kafka.create_topic(topic, self.partitions, retention_ms=-1)
        options = {
            "batch.size": BATCH_BYTES,
            "linger.ms": 50,
            "enable.idempotence": True,
            "log_level": 0,
        }
        producer = Producer({"bootstrap.servers": kafka.bootstrap, **options})
        world = LoadRounds(self.entities, self.channels, self.seed)
        for _ in range(-(-events // self.entities)):
            self._send_round(producer, topic, world)
        if producer.flush(FLUSH_S):
            raise SystemExit(f"topic {topic} could not be filled in {FLUSH_S:g} s more")

    def _send_round(self, producer: Producer, topic: str, world: LoadRounds) -> None:
        batch = world.next()
        for line, code in zip(
            lines_of(batch, self.names), batch.entity[:, 0].tolist(), strict=True
        ):
            while True:
                try:
                    producer.produce(topic, line, batch.keys[code].encode(), code % self.partitions)
                except BufferError:  # the producer's queue is full
                    producer.poll(0.1)
                else:
                    break
        producer.poll(0)
