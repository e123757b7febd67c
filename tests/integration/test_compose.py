"""What deploy/compose.yaml runs, on the tests' own servers: the producer's file in, alerts about
its faults out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.admin import Kafka
from tests.servers.redis_server import RunningRedis

ROOT = Path(__file__).parents[2]
PARTITIONS = 4


def streamer(*words: object) -> str:
    """Standard output of a command that ends well."""
    command = [sys.executable, "-m", "streamer.cli", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs_kafka
@pytest.mark.needs_redis
def test_the_daemon_of_compose_finds_the_producers_faults(
    kafka: Kafka, redis_server: RunningRedis, tmp_path: Path, topic: str
) -> None:
    out, dead = f"{topic}.out", f"{topic}.dead"
    for name in (topic, out, dead):
        kafka.create_topic(name, partitions=PARTITIONS)
    (tmp_path / "streamer_token").write_text("t" * 32)
    (tmp_path / "redis_password").write_text("")
    text = (
        (ROOT / "deploy/compose/streamer.yaml").read_text().replace("/run/secrets", str(tmp_path))
    )
    changes = {
        "kafka:9092": kafka.bootstrap,
        "redis://redis:6379/0": redis_server.url,
        "topic: sensors.raw": f"topic: {topic}",
        "topic: alerts": f"topic: {out}",
        "dead-letters": dead,
        "group: streamer": f"group: {topic}",
        "0.0.0.0:8080": "127.0.0.1:0",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "config.yaml").write_text(text)
    streamer("check", "-c", tmp_path / "config.yaml", "--connect")
    pushed = json.loads(
        streamer(
            "replay",
            "deploy/compose/plant.csv",
            "--to",
            f"kafka://{kafka.bootstrap}/{topic}",
            "--shift",
            "now",
            "--format",
            "json",
        )
    )
    rows = len((ROOT / "deploy/compose/plant.csv").read_text().splitlines()) - 1
    assert (pushed["acked"], pushed["failed"], pushed["skipped"]) == (rows, 0, 0)
    told = streamer("run", "-c", tmp_path / "config.yaml", "--until-idle", "3s")
    assert "fan-02 pressure" in told
    first = ("--alerts", "--from", "start", "--limit", 1, "--format", "json")
    tapped = json.loads(streamer("tap", "-c", tmp_path / "config.yaml", *first))
    assert tapped["alert"]["entity"] in {"fan-02", "pump-01"}
