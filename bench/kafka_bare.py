"""kafka-python alone with the settings of our source: poll and touch each record.

python -m bench.kafka_bare BOOTSTRAP TOPIC SKIP COUNT (one JSON object on stdout)
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from bench.flow import one_core


def consumer_of(bootstrap: str, topic: str, **settings: Any) -> Any:
    """A KafkaConsumer at the beginning of every partition of a topic, in no group."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metrics_enabled=False,
        **settings,
    )
    consumer.assign(
        [
            TopicPartition(topic, partition)
            for partition in sorted(consumer.partitions_for_topic(topic))
        ]
    )
    return consumer


def consume(consumer: Any, count: int) -> int:
    """Touch at least `count` records; return how many."""
    records = octets = 0
    while records < count:
        for found in consumer.poll(timeout_ms=200).values():
            for record in found:
                octets += len(record.value)
            records += len(found)
    return records


def main() -> None:
    bootstrap, topic, skip, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    one_core()
    consumer = consumer_of(bootstrap, topic, max_poll_records=4096)
    before = consume(consumer, skip)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    records = consume(consumer, skip + count - before)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    consumer.close()
    print(json.dumps({"events": records, "cpu_s": cpu_s, "wall_s": wall_s}))


if __name__ == "__main__":
    main()
