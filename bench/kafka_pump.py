"""Sends records at a steady rate with librdkafka and stores when each was sent.

    python -m bench.kafka_pump BOOTSTRAP TOPIC RATE_PER_S SECONDS FILE

FILE gets monotonic seconds as a .npy file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamer.event import F64

ENTITIES = 200
# Every SPIKE_EVERY-th event of an entity is a spike, after at least WARM events.
SPIKE_EVERY, WARM = 240, 160
SPIKE = 12.0
# Milliseconds for which records are collected: one by one, 2,000 requests a second would be most of
# the broker's work. kafka-python as the pump took 0.7 of a core, which daemon and broker then
# lacked, so the machine was measured.
LINGER_MS = 2


def values(rng: np.random.Generator, steps: int) -> F64:
    """Values (steps, ENTITIES): slow waves and noise, with single spikes in turn."""
    step, entity = np.arange(steps)[:, None], np.arange(ENTITIES)
    calm = 5 + np.sin(step / 40 + entity) + 0.1 * rng.standard_normal((steps, ENTITIES))
    spiked = ((step + entity * 7) % SPIKE_EVERY == 0) & (step >= WARM)
    return calm + SPIKE * spiked


def lines(rate_per_s: float, seconds: float, start_s: float) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each record in the order of sending; event times are real time."""
    steps = int(seconds * rate_per_s / ENTITIES)
    for number, row in enumerate(values(np.random.default_rng(7), steps).tolist()):
        for entity, value in enumerate(row):
            at_s = start_s + (number * ENTITIES + entity) / rate_per_s
            key = f"pump-{entity:03d}"
            yield key.encode(), b'{"device":"%b","ts":%.4f,"x":%.4f}' % (key.encode(), at_s, value)


def pump(bootstrap: str, topic: str, rate_per_s: float, seconds: float) -> F64:
    """Send the records; return when `produce` was called for each, in log order (N,)."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": LINGER_MS, "acks": "all"})
    producer.list_topics(topic, timeout=10.0)
    records = list(lines(rate_per_s, seconds, time.time()))
    sent, began = np.empty(len(records)), time.monotonic()
    for number, (key, value) in enumerate(records):
        left_s = began + number / rate_per_s - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)
        sent[number] = time.monotonic()
        producer.produce(topic, value, key, partition=0)
        producer.poll(0)
    if producer.flush(30.0):
        raise SystemExit(f"{topic}: not all records were acknowledged")
    return sent


def main() -> None:
    bootstrap, topic, rate_per_s, seconds, file = sys.argv[1:]
    np.save(Path(file), pump(bootstrap, topic, float(rate_per_s), float(seconds)))


if __name__ == "__main__":
    main()
