"""The Kafka path against the raw client on a broker of its own: throughput, latency, memory.

python -m bench.kafka (writes bench/results/kafka.json and prints the table)
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from bench.figures import ROOT, Figure, rounded, table, write
from bench.kafka_load import Fleet
from streamer.event import F64
from tests.integration.runner import Daemon
from tests.servers.admin import Kafka
from tests.servers.child import wait_until
from tests.servers.cluster import KafkaCluster

ROUNDS = 3
RATIO, ADDED_P99_MS, GROWTH = 0.35, 20.0, 1.03  # promised
LOOK_S, LIMIT_S = 0.25, 600.0
# Fleet, records before the measurement (every entity has history then), measured records.
FLEETS = {
    "200": (Fleet(200, partitions=1), 100_000, 500_000),
    "2k": (Fleet(2000), 300_000, 500_000),
    "10k": (Fleet(10_000), 700_000, 500_000),
}
RATE_PER_S, BARE_SECONDS, SECONDS, WARM_SECONDS = 2000, 30, 60, 18
# Core of the daemon. The bare consumer uses one core as well: with two half-used cores each would
# seem to need more.
ITS_CORE = max(os.sched_getaffinity(0))
MILLION, LOOKED_AT = 1_000_000, 200_000
# Settings for many alerts in little time, each at the event that opens it.
SENSITIVE = {
    "detect": {"min_evidence": 2, "refractory": {"events": 5}, "close": {"events": 5}},
    "alerts": {"budget": "100000/day", "storm": {"alerts": 100_000}},
}
_numbers = itertools.count(1)


class Bench:
    """One broker, with daemons and raw clients, each in a process of its own."""

    def __init__(self, kafka: Kafka, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder

    def throughput(self) -> list[Figure]:
        """Events per CPU second of a daemon that catches up, and of the bare consume loop."""
        return [
            figure for name, load in FLEETS.items() for figure in shown(self._fleet(name, *load))
        ]

    def _fleet(self, name: str, fleet: Fleet, skip: int, events: int) -> list[Figure]:
        topic = f"fleet-{name}"
        fleet.fill(self.kafka, topic, skip + events)
        pairs = [
            (self._bare(topic, skip, events), self._caught_up(topic, fleet, skip, events))
            for _ in range(ROUNDS)
        ]
        self.kafka.delete_topic(topic)
        bare, ours = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        ratios = sorted(rounded(ours / bare) for bare, ours in pairs)
        anchor = (
            f"bare consumer, {fleet.entities:,} entities x {fleet.channels} channels, "
            f"{fleet.partitions} partitions"
        )
        return [
            Figure(
                f"kafka_ratio_{name}",
                rounded(ours / bare),
                "of the bare consumer",
                "higher",
                ratios[0],
                ratios[-1],
                anchor,
                1.0,
                must=RATIO,
            ),
            Figure(
                f"kafka_per_cpu_s_{name}",
                rounded(ours),
                "events per CPU second",
                anchor="bare consumer",
                anchor_value=rounded(bare),
            ),
        ]

    def _bare(self, topic: str, skip: int, events: int) -> float:
        told = json.loads(
            self._child("bench.kafka_bare", topic, str(skip), str(events)).communicate()[0]
        )
        return told["events"] / told["cpu_s"]

    def _caught_up(self, topic: str, fleet: Fleet, skip: int, events: int) -> float:
        with self._daemon(topic, fields_of(fleet)) as daemon:
            began, ended = (self._look(daemon, count) for count in (skip, skip + events))
        return (ended[0] - began[0]) / (ended[1] - began[1])

    def _look(self, daemon: Daemon, count: int) -> tuple[float, float]:
        """Events judged and CPU seconds used, once at least `count` events are judged."""
        wait_until(
            lambda: daemon.scored >= count,
            timeout_s=LIMIT_S,
            what=f"{count} events judged",
            every_s=LOOK_S,
        )
        took = psutil.Process(daemon.child.pid).cpu_times()
        return daemon.scored, took.user + took.system

    def latency(self) -> list[Figure]:
        """Milliseconds from `send` of an event to its alert, and of the transport alone.

        An independent consumer receives the alert. The daemon stays on one core (`runtime.cores`);
        broker, producer and consumer have all.
        """
        bare, alerts = [], []
        for _ in range(2):
            bare.append(self._travel(self._topic(), None, BARE_SECONDS, 2))
            topic = self._topic()
            config = {"entity": "device", "time": {"path": "ts", "unit": "s"}, "channels": ["x"]}
            with self._daemon(topic, config, SENSITIVE) as daemon:
                daemon.wait_ready(60.0)
                alerts.append(self._travel(topic, f"{topic}.alerts", SECONDS, WARM_SECONDS))
        return latency_figures(np.concatenate(bare), np.concatenate(alerts))

    def _travel(self, topic: str, alerts: str | None, seconds: int, warm_s: int) -> F64:
        """Milliseconds of each record, or of each alert, sent after `warm_s`."""
        sent_at, seen_at = (self.folder / f"{topic}-{name}.npy" for name in ("sent", "seen"))
        watch = self._child("bench.kafka_watch", alerts or topic, str(seen_at))
        time.sleep(2.0)  # so that it runs before the first record
        self._child(
            "bench.kafka_pump", topic, str(RATE_PER_S), str(seconds), str(sent_at)
        ).communicate()
        time.sleep(1.0)
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=30.0)
        sent, seen = np.load(sent_at), np.load(seen_at)
        at = seen[:, 0].astype(np.int64)
        return 1e3 * (seen[:, 1] - sent[at])[at >= warm_s * RATE_PER_S]

    def memory(self) -> list[Figure]:
        """Resident memory after one, two and three million events.

        Each is the median over the last fifth of its million. A snapshot in progress takes some 8
        MiB for some seconds, every ten seconds, so a single measurement would be random.
        """
        fleet, topic = Fleet(200), "memory"
        fleet.fill(self.kafka, topic, 3 * MILLION)
        with self._daemon(topic, fields_of(fleet), snapshots="10s") as daemon:
            found = [self._resident(daemon, count * MILLION) for count in (1, 2, 3)]
        first, _, last = found
        return [
            Figure("kafka_resident_1m", rounded(first), "MiB", "lower"),
            Figure(
                "kafka_resident_3m",
                rounded(last),
                "MiB",
                "lower",
                rounded(min(found)),
                rounded(max(found)),
                "after 1 million events",
                rounded(first),
                must=rounded(first * GROWTH),
            ),
        ]

    def _resident(self, daemon: Daemon, count: int) -> float:
        self._look(daemon, count - LOOKED_AT)
        found = [resident(daemon)]
        while daemon.scored < count:
            time.sleep(LOOK_S)
            found.append(resident(daemon))
        return median(found)

    def _topic(self) -> str:
        return self.kafka.create_topic(f"steady-{next(_numbers)}")

    @contextmanager
    def _daemon(
        self,
        topic: str,
        fields: Mapping[str, Any],
        detect: Mapping[str, Any] | None = None,
        snapshots: str = "60s",
    ) -> Iterator[Daemon]:
        """A daemon in a new group, otherwise with defaults; it must end cleanly."""
        name = f"{topic}-{next(_numbers)}"
        if f"{topic}.alerts" not in self.kafka.admin.list_topics(timeout=10.0).topics:
            self.kafka.create_topic(f"{topic}.alerts")
        source = {"kind": "kafka", "topic": topic, "group": name}
        config = {
            "streams": [
                {"name": "bench", "source": source, "fields": dict(fields), **(detect or {})}
            ],
            "kafka": {"bootstrap_servers": self.kafka.bootstrap},
            "sinks": [{"kind": "kafka", "topic": f"{topic}.alerts"}],
            "store": {"kind": "files", "path": str(self.folder / name / "state")},
            "snapshots": {"every": snapshots},
            "runtime": {"cores": [ITS_CORE]},
        }
        daemon = Daemon(self.folder / name, config).start()
        try:
            yield daemon
            code = daemon.terminate()
        finally:
            if daemon.running:
                daemon.kill()
        if code:
            raise SystemExit(f"the daemon ended with {code}:\n{daemon.child.tail()}")

    def _child(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, self.kafka.bootstrap, *words]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE)


def resident(daemon: Daemon) -> float:
    """Resident memory in MiB."""
    return float(psutil.Process(daemon.child.pid).memory_info().rss / 2**20)


def shown(figures: list[Figure]) -> list[Figure]:
    """Print the figures at once, because all of them take minutes."""
    print(table(figures), flush=True)
    return figures


def fields_of(fleet: Fleet) -> dict[str, Any]:
    return {
        "entity": "entity",
        "time": {"path": "time", "unit": "s"},
        "channels": list(fleet.names),
    }


def latency_figures(bare: F64, alerts: F64) -> list[Figure]:
    (low50, low99), (p50, p99) = np.percentile(bare, [50, 99]), np.percentile(alerts, [50, 99])
    anchor = "producer to consumer alone"
    return [
        Figure(
            "kafka_alert_p50",
            rounded(p50),
            "ms",
            "lower",
            anchor=anchor,
            anchor_value=rounded(low50),
        ),
        Figure(
            "kafka_alert_p99",
            rounded(p99),
            "ms",
            "lower",
            rounded(alerts.min()),
            rounded(alerts.max()),
            anchor,
            rounded(low99),
            must=rounded(low99 + ADDED_P99_MS),
        ),
        Figure("kafka_alerts_timed", len(alerts), "alerts"),
    ]


def main() -> None:
    wanted = sys.argv[1:] or ["throughput", "latency", "memory"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = KafkaCluster(folder / "broker")
        try:
            bench = Bench(cluster.start(), folder)
            parts: list[Callable[[], list[Figure]]] = [getattr(bench, part) for part in wanted]
            figures = [figure for part in parts for figure in part()]
        finally:
            cluster.close()
    print(table(figures))
    if not sys.argv[1:]:
        print(f"written: {write('kafka', figures).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
