"""Daemons that follow a registry in a real Redis: a promotion reaches all of them at once, and a
bad one goes again.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.config import RedisStore
from streamer.connect.storage.redis_registry import RedisRegistry
from streamer.lifecycle import promotion
from tests.integration.redises import section
from tests.integration.runner import Daemon
from tests.lifecycle.training_world import written
from tests.servers.child import wait_until
from tests.servers.redis_server import RedisServer

pytestmark = [pytest.mark.integration, pytest.mark.needs_redis]

STREAM = "plant"
SOON_S = 5.0  # from the promotion until every replica judges by it
BAD = 10.0  # times the weights


@pytest.fixture
def store(redis_server: RedisServer) -> RedisStore:
    return section(redis_server.url, timeout="5s")


@pytest.fixture
def registry(store: RedisStore, tmp_path: Path) -> Iterator[RedisRegistry]:
    made = RedisRegistry(store, cache=tmp_path / "cache")
    for version, factor in (("v0", 1.0), ("v1", 1.01), ("bad", BAD)):
        made.publish(written(tmp_path / version, version, factor))
    promotion.promote(made, "v0", "first")
    yield made
    made.close()


def replica(place: Path, store: RedisStore, **model: Any) -> Daemon:
    """A daemon that judges a plant of its own, some 2,000 events a second, by the registry's
    champion.
    """
    source = {
        "kind": "synthetic",
        "world": "plant",
        "entities": 40,
        "faults": False,
        "pace": 1500,
        "poll_rows": 128,
    }
    return Daemon(
        place,
        {
            "streams": [{"name": STREAM, "source": source}],
            "store": {"kind": "redis", "url": store.url, "prefix": store.prefix},
            "model": {
                "registry": "redis",
                "backend": "numpy",
                "shadow": {"share": 0.1, "promote": "manual"},
                **model,
            },
            "sinks": [{"kind": "file", "path": str(place / "alerts.jsonl")}],
            "scores": {"kind": "csv", "path": str(place / "scores.csv")},
        },
    )


def judging(daemon: Daemon) -> set[str]:
    return at_work(daemon, "champion")


def shadowing(daemon: Daemon) -> set[str]:
    return at_work(daemon, "challenger")


def at_work(daemon: Daemon, role: str) -> set[str]:
    return {
        labels["model_version"]
        for labels, _ in daemon.rows("streamer_model_info")
        if labels["role"] == role
    }


def wait_judging(daemons: list[Daemon], version: str, timeout_s: float) -> float:
    """Seconds until all of them are judged by the version."""
    started = time.monotonic()
    wait_until(
        lambda: all(judging(daemon) == {version} for daemon in daemons),
        timeout_s=timeout_s,
        what=f"{version} judges",
        every_s=0.05,
    )
    return time.monotonic() - started


@pytest.fixture
def pair(registry: RedisRegistry, store: RedisStore, tmp_path: Path) -> Iterator[list[Daemon]]:
    daemons = [replica(tmp_path / f"replica-{i}", store).start() for i in range(2)]
    for daemon in daemons:
        daemon.wait_scored(5000, timeout_s=90)
    yield daemons
    for daemon in daemons:
        if daemon.running:
            daemon.kill()


def assert_whole(daemon: Daemon, place: Path, versions: int) -> None:
    """A clean end, every record with its fate, every row in the file once, by so many models."""
    assert daemon.terminate() == 0, daemon.child.tail()
    account = daemon.account(STREAM)
    with (place / "scores.csv").open(newline="") as file:
        rows = [(int(row["row"]), row["model"]) for row in csv.DictReader(file)]
    assert len(rows) == account["in"]
    assert [row for row, _ in rows] == list(range(len(rows)))
    stretches = [model for i, (_, model) in enumerate(rows) if not i or model != rows[i - 1][1]]
    assert len(stretches) == versions


def test_a_promotion_reaches_two_replicas_in_seconds_and_nothing_is_lost(
    registry: RedisRegistry, pair: list[Daemon], tmp_path: Path
) -> None:
    promotion.shadow(registry, "v1", "try it")
    wait_until(
        lambda: all("v1" in shadowing(daemon) for daemon in pair), timeout_s=60, what="the shadows"
    )
    promotion.promote(registry, "v1", "it is better")
    took_s = wait_judging(pair, "v1", timeout_s=60)
    print(f"both judge by it after {took_s:.1f} s")
    assert took_s < SOON_S
    for i, daemon in enumerate(pair):
        daemon.wait_scored(daemon.scored + 2000, timeout_s=60)
        assert_whole(daemon, tmp_path / f"replica-{i}", versions=2)


def test_a_bad_promotion_rolls_itself_back_in_both(
    registry: RedisRegistry, pair: list[Daemon], tmp_path: Path
) -> None:
    promotion.promote(registry, "bad", "forced")
    wait_until(
        lambda: registry.aliases().get("champion") == "v0",
        timeout_s=90,
        what="the rollback",
        every_s=0.1,
    )
    wait_judging(pair, "v0", timeout_s=60)
    assert "incidents" in registry.moves()[-1].why
    for i, daemon in enumerate(pair):
        swaps = {
            labels["outcome"]: count for labels, count in daemon.rows("streamer_model_swaps_total")
        }
        assert swaps.get("rolledback", 0) == swaps.get("promoted", 0)
        assert_whole(
            daemon, tmp_path / f"replica-{i}", versions=1 + 2 * int(swaps.get("promoted", 0))
        )
    told = [(tmp_path / f"replica-{i}" / "alerts.jsonl").read_text() for i in range(2)]
    assert any("io.streamer.model.rolledback.v1" in text for text in told)
