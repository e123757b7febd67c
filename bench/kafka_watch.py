"""An independent consumer that stores when it saw each input record, or its alert.

    python -m bench.kafka_watch BOOTSTRAP TOPIC FILE

Runs until SIGTERM. FILE gets (offset, monotonic seconds) as a .npy file.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.kafka_bare import consumer_of

POLL_MS = 100


def opening(record: Any) -> int | None:
    """The input offset of a record: its own, or of the event that opened an incident."""
    if not record.headers:
        return int(record.offset)
    alert = json.loads(record.value)
    return (
        int(alert["window"]["last_offset"])
        if alert["event"] == "opened" and alert["window"]
        else None
    )


def main() -> None:
    bootstrap, topic, file = sys.argv[1:]
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    consumer, seen = consumer_of(bootstrap, topic), []
    while not stop:
        for found in consumer.poll(timeout_ms=POLL_MS).values():
            at_s = time.monotonic()
            seen += [(offset, at_s) for offset in map(opening, found) if offset is not None]
    np.save(Path(file), np.array(seen, np.float64).reshape(-1, 2))
    consumer.close()


if __name__ == "__main__":
    main()
